package authpipetest

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	pageTokenWanted = "This method must be called with a Page Access Token"
	mayNotPost      = "(#200) If posting to a group, requires app being installed in the group, and either publish_to_groups " +
		"permission with user token, or both pages_read_engagement and pages_manage_posts permission with page token; If posting " +
		"to a page, requires both pages_read_engagement and pages_manage_posts as an admin with sufficient administrative permission"
	mayNotRead = "(#10) This endpoint requires the 'pages_read_engagement' permission or the 'Page Public Content Access' feature. " +
		"Refer to https://developers.facebook.com/docs/apps/review/login-permissions#manage-pages and " +
		"https://developers.facebook.com/docs/apps/review/feature#reference-PAGES_ACCESS for details."
)

// graphTime is the time format of the Graph API.
const graphTime = "2006-01-02T15:04:05-0700"

// Post is what an app published on a page.
type Post struct {
	ID      string // {page}_{post}
	PageID  string
	Message string
	Link    string
	App     string
	User    string // the person behind the page token
	Time    time.Time
}

// posts has the posts of pages and their endpoints.
type posts struct {
	*settings
	graph     *graph
	directory *directory
	tokens    *tokens
	nodes     *nodes

	byPage    map[string][]Post
	published map[string]int // by page: how many were ever published
}

func newPosts(gr *graph, d *directory, ts *tokens) *posts {
	return &posts{settings: gr.settings, graph: gr, directory: d, tokens: ts, byPage: map[string][]Post{}, published: map[string]int{}}
}

// Posts returns the posts of a page that were not deleted, oldest first.
func (f *Facebook) Posts(pageID string) []Post {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.endpoints.posts.byPage[pageID])
}

// find returns a post by its id, or nil.
func (ps *posts) find(id string) *Post {
	page, _, _ := strings.Cut(id, "_")
	if at := slices.IndexFunc(ps.byPage[page], func(p Post) bool { return p.ID == id }); at >= 0 {
		return &ps.byPage[page][at]
	}
	return nil
}

// publish publishes on a page ("Page Feed"). A user token gets error 190, although it is valid.
func (ps *posts) publish(c *call) (any, error) {
	t, err := ps.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	page := ps.directory.pages[c.node]
	switch {
	case c.node == "me" && t.kind == KindPage:
		page = ps.directory.pages[t.page]
	case page == nil || t.kind == KindPage && t.page != page.ID:
		return nil, noSuchObject(c, c.node)
	case t.kind != KindPage:
		return nil, tokenError(0, pageTokenWanted)
	}
	return ps.add(c, t, page)
}

// mayPost reports whether a page token may publish, change and delete.
func (ps *posts) mayPost(t *token, page *Page) bool {
	return t.has(readsPages) && t.has("pages_manage_posts") && slices.Contains(ps.directory.tasksOf(t.person, page.ID), "CREATE_CONTENT")
}

func (ps *posts) add(c *call, t *token, page *Page) (any, error) {
	message, link := c.param("message"), c.param("link")
	switch {
	case !ps.mayPost(t, page):
		return nil, ps.graph.permissionError(mayNotPost)
	case message == "" && link == "":
		return nil, oauthError(codeInvalid, "(#100) Missing message or attachment")
	}
	number := 1_000_000_000_000_000 + ps.published[page.ID]
	ps.published[page.ID]++
	post := Post{
		ID: page.ID + "_" + strconv.Itoa(number), PageID: page.ID, Message: message, Link: link,
		App: t.app, User: t.person, Time: ps.options().Now(),
	}
	ps.byPage[page.ID] = append(ps.byPage[page.ID], post)
	return map[string]string{"id": post.ID}, nil
}

// list lists the posts of a page, newest first ("Page Feed", "Page Posts").
func (ps *posts) list(c *call) (any, error) {
	t, err := ps.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	page, err := ps.page(c, t, c.node)
	if err != nil {
		return nil, err
	}
	_, name, _ := strings.Cut(c.path, "/")
	e, err := c.edgeOf(page.ID + "/" + name)
	if err != nil {
		return nil, err
	}
	return ps.listOf(c, t, page, e)
}

// page returns the page if the token may read its posts: the token's own page, or one of the person's.
func (ps *posts) page(c *call, t *token, id string) (*Page, error) {
	switch {
	case t.kind == KindPage && id == "me":
		id = t.page
	case t.kind == KindUser && id == "me":
		return nil, unknownPath(c) // the feed of a person, which is not simulated
	}
	page := ps.directory.pages[id]
	if page == nil {
		return nil, noSuchObject(c, c.node)
	}
	own, err := ps.nodes.accessTo(c, t, page)
	switch {
	case err != nil:
		return nil, err
	case !own:
		return nil, noSuchObject(c, c.node)
	}
	return page, ps.mayRead(t)
}

func (ps *posts) mayRead(t *token) error {
	if t.has(readsPages) {
		return nil
	}
	r := ps.graph.permissionError(mayNotRead)
	r.Code = codeAppPermission
	return r
}

func (ps *posts) listOf(c *call, t *token, page *Page, e edge) (listing, error) {
	var ids []string
	for _, post := range slices.Backward(ps.byPage[page.ID]) {
		ids = append(ids, post.ID)
	}
	return ps.graph.list(c, t, e, ids, func(id string) node { return ps.node(c, t, ps.find(id)) })
}

// node is a post as visible to the token ("Page Post").
func (ps *posts) node(c *call, t *token, post *Post) node {
	values := map[string]any{
		"id": post.ID, "created_time": post.Time.UTC().Format(graphTime), "updated_time": post.Time.UTC().Format(graphTime),
		"is_published": true, "is_hidden": false, "permalink_url": "https://www.facebook.com/" + post.ID,
		"application": object{{"name", ps.directory.apps[post.App].Name}, {"id", post.App}},
		"from": expansion(func(x field) (any, error) {
			from := ps.nodes.pageNode(c, t, ps.directory.pages[post.PageID])
			from.byDefault = []string{"name", "id"}
			return from.pick(x.fields)
		}),
	}
	if post.Message != "" {
		values["message"] = post.Message
	}
	if post.Link != "" {
		values["attachments"] = object{{"data", []object{{{"type", "share"}, {"unshimmed_url", post.Link}, {"url", post.Link}}}}}
	}
	return node{"Post", []string{"created_time", "message", "id"}, postFieldNames, values}
}

// change serves POST and DELETE /{post}: it changes the message, or deletes the post ("Page Post").
func (ps *posts) change(c *call) (any, error) {
	t, err := ps.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	post := ps.find(c.node)
	switch {
	case post == nil || t.kind == KindPage && t.page != post.PageID:
		return nil, noSuchObject(c, c.node)
	case t.kind != KindPage:
		return nil, tokenError(0, pageTokenWanted)
	case !ps.mayPost(t, ps.directory.pages[post.PageID]) || post.App != t.app:
		return nil, ps.graph.permissionError(mayNotPost)
	}
	if c.method() == "DELETE" {
		page := post.PageID // post points into the slice, which DeleteFunc clears
		ps.byPage[page] = slices.DeleteFunc(ps.byPage[page], func(p Post) bool { return p.ID == c.node })
	} else if message := c.param("message"); message != "" {
		post.Message = message
	}
	return map[string]bool{"success": true}, nil
}
