package authpipetest

import (
	"slices"
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
