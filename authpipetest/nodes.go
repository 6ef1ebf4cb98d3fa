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

// nodes has the endpoints of people, pages and businesses, and of their lists.
type nodes struct {
	*settings
	graph      *graph
	directory  *directory
	grants     *grants
	tokens     *tokens
	businesses *businesses
	posts      *posts
	lists      *pageLists
}

// target is the person, page or business that a node of the Graph API identifies.
type target struct{ person, page, business string }

// target returns the target of the call's node if the token can see it. Otherwise the node does not exist.
func (ns *nodes) target(c *call, t *token) (target, error) {
	switch {
	case c.node == "me" && t.kind == KindApp:
		return target{}, oauthError(codeQuery, noTokenForMe)
	case t.kind == KindPage && (c.node == "me" || c.node == t.page):
		return target{page: t.page}, nil
	case c.node == "me":
		return target{person: t.person}, nil
	case t.personal() && t.has(managesBusinesses) && slices.Contains(ns.directory.businessesOf(t), c.node):
		return target{business: c.node}, nil
	case t.business != "" && t.person == c.node:
		return target{person: t.person}, nil
	}
	if p := ns.directory.pages[c.node]; p != nil {
		_, err := ns.accessTo(c, t, p)
		return target{page: p.ID}, err
	}
	for person := range ns.directory.users {
		if c.node == scopedID(t.app, person) && (t.kind == KindApp && ns.grants.of(t.app, person) != nil || t.person == person) {
			return target{person: person}, nil
		}
	}
	return target{}, noSuchObject(c, c.node)
}

// me serves /me and /{id}: a person, page, business or post ("User", "Page", "Business", "Page Post"). Fields come in
// the order asked for, and id always.
func (ns *nodes) me(c *call) (any, error) {
	t, err := ns.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	n, err := ns.nodeOf(c, t)
	if err != nil {
		return nil, err
	}
	asked, err := fieldsOf(c.param("fields"))
	if err != nil {
		return nil, err
	}
	return n.pick(asked)
}

// multiple serves /?ids=…: an object with a member for each id.
func (ns *nodes) multiple(c *call) (any, error) {
	all := object{}
	for _, id := range listOrArray(c.param("ids")) {
		c.node = id
		one, err := ns.me(c)
		if err != nil {
			return nil, err
		}
		all = append(all, member{id, one})
	}
	return all, nil
}

func (ns *nodes) nodeOf(c *call, t *token) (node, error) {
	if post := ns.posts.find(c.node); post != nil {
		if _, err := ns.posts.page(c, t, post.PageID); err != nil {
			return node{}, err
		}
		return ns.posts.node(c, t, post), nil
	}
	subject, err := ns.target(c, t)
	switch {
	case err != nil:
		return node{}, err
	case subject.business != "":
		return businessNode(ns.directory.businesses[subject.business]), nil
	case subject.page != "":
		return ns.pageNode(c, t, ns.directory.pages[subject.page]), nil
	}
	return ns.userNode(c, t, ns.directory.users[subject.person]), nil
}

func businessNode(b *Business) node {
	return node{"Business", []string{"id", "name"}, businessFieldNames, map[string]any{"id": b.ID, "name": b.Name}}
}

// userNode is a person as visible to the token ("User").
func (ns *nodes) userNode(c *call, t *token, u *User) node {
	id := scopedID(t.app, u.ID)
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
	values["picture"] = expansion(func(x field) (any, error) { return pictureOf(c, id, x.args).expand(x) })
	if t.client && t.kind == KindSystemUser {
		values["client_business_id"] = t.business
	}
	ns.addUserEdges(c, t, u, values)
	return node{"User", []string{"id", "name"}, userFieldNames, values}
}

// addUserEdges adds the lists among a person's fields. They are absent for another person and for an app token.
func (ns *nodes) addUserEdges(c *call, t *token, u *User, values map[string]any) {
	for _, name := range []string{"accounts", "businesses", "permissions"} {
		values[name] = nil
	}
	if !t.personal() || t.person != u.ID {
		return
	}
	values["accounts"] = expansion(func(x field) (any, error) {
		return expanded(ns.accountsOf(c, t, x.edge(ns.accountsPath(t))))
	})
	values["permissions"] = expansion(func(field) (any, error) {
		return map[string]any{"data": ns.grants.of(t.app, u.ID).list("", "")}, nil
	})
	if t.has(managesBusinesses) {
		values["businesses"] = expansion(func(x field) (any, error) {
			return expanded(ns.businesses.listed(c, t, x.edge(scopedID(t.app, u.ID)+"/businesses")))
		})
	}
}

// pictureSides is the side length of a picture by its type, in pixels ("User Picture").
var pictureSides = map[string]int{"small": 50, "square": 50, "album": 50, "normal": 100, "large": 200}

// pictureLimit is the longest side of a picture.
const pictureLimit = 2048

// profilePicture describes the picture of a person or a page.
type profilePicture struct {
	url           string
	width, height int
}

// pictureOf reads type, width and height, which are arguments of the field or parameters of the call. A missing side is
// as long as the other.
func pictureOf(c *call, id string, args url.Values) profilePicture {
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

// pixels returns 0 if s is not a length.
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

// expand is the value of the field picture.
func (p profilePicture) expand(x field) (any, error) {
	data, err := p.node().pick(x.fields)
	if err != nil {
		return nil, err
	}
	return object{{"data", data}}, nil
}

// picture serves /{node}/picture: a redirect to the picture, or with redirect=0 its description ("User Picture").
func (ns *nodes) picture(c *call) answer {
	var location string
	a := ns.graph.endpoint(func(c *call) (any, error) {
		t, err := ns.graph.authenticate(c)
		if err != nil {
			return nil, err
		}
		subject, err := ns.target(c, t)
		if err != nil {
			return nil, err
		}
		if subject.business != "" {
			return nil, noSuchField("picture", "Business")
		}
		id := subject.page
		if id == "" {
			id = scopedID(t.app, subject.person)
		}
		asked, err := fieldsOf(c.param("fields"))
		if err != nil {
			return nil, err
		}
		shown := pictureOf(c, id, url.Values{"type": {c.param("type")}, "width": {c.param("width")}, "height": {c.param("height")}})
		if redirect := c.param("redirect"); redirect != "0" && redirect != "false" {
			location = shown.url
		}
		return shown.expand(field{fields: asked})
	})(c)
	if location != "" {
		a.status, a.body = http.StatusFound, nil
		a.header.Set("Location", location)
		a.header.Set("Content-Type", "image/png")
	}
	return a
}

// pictureFile serves a picture: a square in one colour. Facebook serves it from another host.
func (ns *nodes) pictureFile(c *call) answer {
	width, height := max(1, pixels(c.query.Get("width"))), max(1, pixels(c.query.Get("height")))
	drawn := image.NewPaletted(image.Rect(0, 0, width, height), color.Palette{color.RGBA{0x18, 0x77, 0xf2, 0xff}})
	var body bytes.Buffer
	if err := png.Encode(&body, drawn); err != nil {
		panic("drawing a picture: " + err.Error()) // nothing in it can fail
	}
	a := answer{status: http.StatusOK, header: noStore(ns.options().Now()), body: body.Bytes()}
	a.header.Set("Content-Type", "image/png")
	return a
}

// permissions lists the permissions that a person granted and declined ("User Permissions"). The filters are permission
// and status.
func (ns *nodes) permissions(c *call) (any, error) {
	g, err := ns.permissionsOf(c)
	if err != nil {
		return nil, err
	}
	return map[string]any{"data": g.list(c.param("permission"), c.param("status"))}, nil
}

// revoke withdraws one permission, or removes the app ("User Permissions"). Withdrawing one permission invalidates no
// token.
func (ns *nodes) revoke(c *call) (any, error) {
	g, err := ns.permissionsOf(c)
	if err != nil {
		return nil, err
	}
	if c.permission != "" {
		ns.grants.endPermission(g, c.permission)
	} else {
		ns.grants.end(g.app, g.person)
	}
	if ns.options().RevokeAnswersTrue {
		return true, nil
	}
	return map[string]bool{"success": true}, nil
}

// permissionsOf returns the grant that the call is about. The caller is the person or the app.
func (ns *nodes) permissionsOf(c *call) (*grant, error) {
	t, err := ns.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	subject, err := ns.target(c, t)
	if err != nil {
		return nil, err
	}
	if subject.page != "" {
		return nil, noSuchField("permissions", "Page")
	}
	if subject.business != "" {
		return nil, noSuchField("permissions", "Business")
	}
	return ns.grants.of(t.app, subject.person), nil
}
