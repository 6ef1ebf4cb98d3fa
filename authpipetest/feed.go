package authpipetest

import (
	"slices"
	"strconv"
	"time"
)

const (
	pageTokenWanted = "This method must be called with a Page Access Token"
	mayNotPost      = "(#200) If posting to a group, requires app being installed in the group, and either publish_to_groups " +
		"permission with user token, or both pages_read_engagement and pages_manage_posts permission with page token; If posting " +
		"to a page, requires both pages_read_engagement and pages_manage_posts as an admin with sufficient administrative permission"
)

// Post is what an app published on a page.
type Post struct {
	ID      string // {page}_{post}
	PageID  string
	Message string
	Link    string
	App     string
	User    string // the person who gave the page token
	Time    time.Time
}

// Posts returns what was published on a page, oldest first.
func (f *Facebook) Posts(pageID string) []Post {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.books.posts[pageID])
}

// feed publishes on a page ("Page Feed"). A user token gets error 190 although nothing is wrong with it.
func (f *Facebook) feed(c *call) (any, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	page := f.books.pages[c.node]
	switch {
	case c.node == "me" && t.kind == KindPage:
		page = f.books.pages[t.page]
	case page == nil || t.kind == KindPage && t.page != page.ID:
		return nil, noSuchObject(c, c.node)
	case t.kind != KindPage:
		return nil, tokenError(0, pageTokenWanted)
	}
	return f.publish(c, t, page)
}

func (f *Facebook) publish(c *call, t *token, page *Page) (any, error) {
	may := t.has("pages_read_engagement") && t.has("pages_manage_posts") && slices.Contains(page.Tasks, "CREATE_CONTENT")
	message, link := c.param("message"), c.param("link")
	switch {
	case !may:
		return nil, f.permissionError(mayNotPost)
	case message == "" && link == "":
		return nil, oauthError(codeInvalid, "(#100) Missing message or attachment")
	}
	posts := f.books.posts[page.ID]
	post := Post{
		ID: page.ID + "_" + strconv.Itoa(1_000_000_000_000_000+len(posts)), PageID: page.ID, Message: message, Link: link,
		App: t.app, User: t.person, Time: f.opts.Now(),
	}
	f.books.posts[page.ID] = append(posts, post)
	return map[string]string{"id": post.ID}, nil
}
