package authpipetest

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// target is whom a node of the Graph API stands for: a person, a page, or a business.
type target struct{ person, page, business string }

// target finds the node of the call that this token may see. For others a node does not exist.
func (f *Facebook) target(c *call, t *token) (target, error) {
	switch {
	case c.node == "me" && t.kind == KindApp:
		return target{}, oauthError(codeQuery, noTokenForMe)
	case t.kind == KindPage && (c.node == "me" || c.node == t.page):
		return target{page: t.page}, nil
	case c.node == "me":
		return target{person: t.person}, nil
	case t.personal() && f.mayRead(t, c.node):
		return target{page: c.node}, nil
	case t.personal() && t.has("business_management") && slices.Contains(f.books.businessesOf(t), c.node):
		return target{business: c.node}, nil
	case t.business != "" && t.person == c.node:
		return target{person: t.person}, nil
	}
	for person := range f.books.users {
		if c.node == f.ScopedID(t.app, person) && (t.kind == KindApp && f.books.grantOf(t.app, person) != nil || t.person == person) {
			return target{person: person}, nil
		}
	}
	return target{}, noSuchObject(c, c.node)
}

// me answers /me and /{id}: the person, the page, the business or the post ("User", "Page", "Business", "Page Post"). Fields
// come in the order asked for, and id always.
func (f *Facebook) me(c *call) (any, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	n, err := f.nodeOf(c, t)
	if err != nil {
		return nil, err
	}
	asked, err := fieldsOf(c.param("fields"))
	if err != nil {
		return nil, err
	}
	return n.pick(asked)
}

func (f *Facebook) nodeOf(c *call, t *token) (node, error) {
	if post := f.books.post(c.node); post != nil {
		if _, err := f.pageOfPosts(c, t, post.PageID); err != nil {
			return node{}, err
		}
		return f.postNode(c, t, post), nil
	}
	whom, err := f.target(c, t)
	switch {
	case err != nil:
		return node{}, err
	case whom.business != "":
		return businessNode(f.books.businesses[whom.business]), nil
	case whom.page != "":
		return f.pageNode(c, t, f.books.pages[whom.page]), nil
	}
	return f.userNode(c, t, f.books.users[whom.person]), nil
}

func businessNode(b *Business) node {
	return node{"Business", []string{"id", "name"}, businessFieldNames, map[string]any{"id": b.ID, "name": b.Name}}
}

// userNode is a person as the token sees them ("User").
func (f *Facebook) userNode(c *call, t *token, u *User) node {
	id := f.ScopedID(t.app, u.ID)
	first, last, _ := strings.Cut(u.Name, " ")
	values := map[string]any{
		"first_name": first, "last_name": last, "short_name": first, "name_format": "{first} {last}", "installed": true,
		"link": "https://www.facebook.com/app_scoped_user_id/" + id + "/", "is_guest_user": false,
	}
	for name, value := range u.Profile {
		values[name] = value
	}
	if u.Email != "" {
		values["email"] = u.Email
	}
	for name := range values {
		if needed := userFieldPermissions[name]; needed != "" && !(t.kind == KindUser && t.has(needed)) {
			values[name] = nil
		}
	}
	values["id"], values["name"] = id, u.Name
	values["picture"] = expansion(func(x field) (any, error) { return f.pictureOf(c, id, x.args).expand(x) })
	if t.client && t.kind == KindSystemUser {
		values["client_business_id"] = t.business
	}
	f.addUserEdges(c, t, u, values)
	return node{"User", []string{"id", "name"}, userFieldNames, values}
}

// addUserEdges adds the lists that may stand among a person's fields. Another person's, and an app token's, are absent.
func (f *Facebook) addUserEdges(c *call, t *token, u *User, values map[string]any) {
	for _, name := range []string{"accounts", "businesses", "permissions"} {
		values[name] = nil
	}
	if !t.personal() || t.person != u.ID {
		return
	}
	values["accounts"] = expansion(func(x field) (any, error) {
		return expanded(f.accountsOf(c, t, x.edge(f.accountsPath(t))))
	})
	values["permissions"] = expansion(func(field) (any, error) {
		return map[string]any{"data": f.books.grantOf(t.app, u.ID).list("", "")}, nil
	})
	if t.has("business_management") {
		values["businesses"] = expansion(func(x field) (any, error) {
			return expanded(f.businessesListed(c, t, x.edge(f.ScopedID(t.app, u.ID)+"/businesses")))
		})
	}
}

// accountFields are the default fields of a page in the list.
var accountFields = []string{"access_token", "category", "category_list", "name", "id", "tasks"}

// accounts lists the pages that the person selected for the app, each with its own token ("User Accounts"). Without
// pages_show_list the list is empty.
func (f *Facebook) accounts(c *call) (any, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	whom, err := f.target(c, t)
	switch {
	case err != nil:
		return nil, err
	case whom.page != "":
		return nil, noSuchField("accounts", "Page")
	case whom.business != "":
		return nil, noSuchField("accounts", "Business")
	case t.kind == KindApp:
		return nil, oauthError(codeSession, "A user access token is required to request this resource.")
	}
	e, err := c.edgeOf(f.accountsPath(t))
	if err != nil {
		return nil, err
	}
	return f.accountsOf(c, t, e)
}

func (f *Facebook) accountsPath(t *token) string { return f.ScopedID(t.app, t.person) + "/accounts" }

func (f *Facebook) accountsOf(c *call, t *token, e edge) (listing, error) {
	return f.list(c, t, e, f.listed(t), func(id string) node {
		n := f.pageNode(c, t, f.books.pages[id])
		n.byDefault = accountFields
		return n
	})
}

// listed are the pages in the list of a user token.
func (f *Facebook) listed(t *token) []string {
	return slices.DeleteFunc(f.readable(t), func(page string) bool {
		return f.books.pages[page].Portfolio != "" && !t.has("business_management")
	})
}

// readable are the pages that a user token reaches.
func (f *Facebook) readable(t *token) []string {
	if !t.has("pages_show_list") {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(f.books.users[t.person].Pages), func(page string) bool {
		return f.books.pages[page] == nil || !t.selected(page)
	})
}

func (f *Facebook) mayRead(t *token, page string) bool { return slices.Contains(f.readable(t), page) }

// pageNode is a page as the token sees it ("Page").
func (f *Facebook) pageNode(c *call, t *token, p *Page) node {
	link := "https://www.facebook.com/" + p.ID
	if p.Username != "" {
		link = "https://www.facebook.com/" + p.Username
	}
	values := map[string]any{"is_published": true, "link": link}
	for name, value := range p.Fields {
		values[name] = value
	}
	if p.Username != "" {
		values["username"] = p.Username
	}
	if p.Instagram != "" {
		values["instagram_business_account"] = f.instagramAccount(p.Instagram)
	}
	for name := range values {
		if needed := pageFieldPermission(name); needed != "" && !t.has(needed) {
			values[name] = nil
		}
	}
	values["id"], values["name"], values["category"], values["tasks"] = p.ID, p.Name, p.Category, p.Tasks
	values["category_list"] = []object{{{"id", "1605186416478696"}, {"name", p.Category}}}
	values["picture"] = expansion(func(x field) (any, error) { return f.pictureOf(c, p.ID, x.args).expand(x) })
	values["access_token"] = t.value
	if t.personal() {
		values["access_token"] = f.pageTokenOf(t, p.ID).value
	}
	for _, name := range []string{"feed", "posts", "published_posts"} {
		values[name] = expansion(func(x field) (any, error) {
			if err := f.mayReadPosts(t); err != nil {
				return nil, err
			}
			return expanded(f.postsOf(c, t, p, x.edge(p.ID+"/"+name)))
		})
	}
	return node{"Page", []string{"id", "name"}, pageFieldNames, values}
}

// instagramAccount is the professional account at Instagram that a page is linked with. The simulator knows its id only.
func (f *Facebook) instagramAccount(id string) expansion {
	return func(x field) (any, error) {
		return node{"IGUser", []string{"id"}, "biography followers_count follows_count has_profile_pic ig_id media_count name " +
			"profile_picture_url username website", map[string]any{"id": id}}.pick(x.fields)
	}
}

// pictureSides are the sides of the picture by its type, in pixels ("User Picture").
var pictureSides = map[string]int{"small": 50, "square": 50, "album": 50, "normal": 100, "large": 200}

// pictureLimit is the longest side that the simulator draws.
const pictureLimit = 2048

// profilePicture describes the picture of a person or a page.
type profilePicture struct {
	url           string
	width, height int
}

// pictureOf reads type, width and height, as arguments of the field or as parameters of the call. A side that is not given is
// as long as the other.
func (f *Facebook) pictureOf(c *call, id string, args url.Values) profilePicture {
	side := pictureSides[args.Get("type")]
	if side == 0 {
		side = pictureSides["square"]
	}
	width, height := pixels(args.Get("width")), pixels(args.Get("height"))
	switch {
	case width == 0 && height == 0:
		width, height = side, side
	case width == 0:
		width = height
	case height == 0:
		height = width
	}
	q := url.Values{"asid": {id}, "width": {strconv.Itoa(width)}, "height": {strconv.Itoa(height)}}
	return profilePicture{c.base() + "/platform/profilepic/?" + q.Encode(), width, height}
}

// pixels is zero for a text that is no length.
func pixels(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil || n <= 0 {
		return 0
	}
	return min(n, pictureLimit)
}

func (p profilePicture) node() node {
	return node{"ProfilePictureSource", []string{"height", "is_silhouette", "url", "width"}, "bottom cache_key left right top", map[string]any{
		"height": p.height, "is_silhouette": false, "url": p.url, "width": p.width, "id": nil,
	}}
}

// expand is the field picture.
func (p profilePicture) expand(x field) (any, error) {
	data, err := p.node().pick(x.fields)
	if err != nil {
		return nil, err
	}
	return object{{"data", data}}, nil
}

// picture answers /{node}/picture by a redirect to the picture, or with redirect=0 by its description ("User Picture").
func (f *Facebook) picture(c *call) answer {
	var location string
	a := graph(func(f *Facebook, c *call) (any, error) {
		t, err := f.authenticate(c)
		if err != nil {
			return nil, err
		}
		whom, err := f.target(c, t)
		if err != nil {
			return nil, err
		}
		if whom.business != "" {
			return nil, noSuchField("picture", "Business")
		}
		id := whom.page
		if id == "" {
			id = f.ScopedID(t.app, whom.person)
		}
		asked, err := fieldsOf(c.param("fields"))
		if err != nil {
			return nil, err
		}
		shown := f.pictureOf(c, id, url.Values{"type": {c.param("type")}, "width": {c.param("width")}, "height": {c.param("height")}})
		if redirect := c.param("redirect"); redirect != "0" && redirect != "false" {
			location = shown.url
		}
		return shown.expand(field{fields: asked})
	})(f, c)
	if location != "" {
		a.status, a.body = http.StatusFound, nil
		a.header.Set("Location", location)
		a.header.Set("Content-Type", "image/png")
	}
	return a
}

// pictureFile draws a picture: a square in one colour. At Facebook it comes from another host.
func (f *Facebook) pictureFile(c *call) answer {
	width, height := max(1, pixels(c.query.Get("width"))), max(1, pixels(c.query.Get("height")))
	drawn := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.RGBA{0x18, 0x77, 0xf2, 0xff}})
	var body bytes.Buffer
	if err := png.Encode(&body, drawn); err != nil {
		panic("drawing a picture: " + err.Error()) // nothing in it can fail
	}
	a := answer{status: http.StatusOK, header: f.noStore(), body: body.Bytes()}
	a.header.Set("Content-Type", "image/png")
	return a
}
