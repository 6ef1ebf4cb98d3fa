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

// me answers /me and /{id}: the person, or the page ("User", "Page"). Fields come in the order asked for, and id always.
func (f *Facebook) me(c *call) (any, error) {
	t, err := f.authenticate(c)
	if err != nil {
		return nil, err
	}
	whom, err := f.target(c, t)
	if err != nil {
		return nil, err
	}
	if whom.business != "" {
		b := f.books.businesses[whom.business]
		return pick(c, "Business", []string{"id", "name"}, map[string]any{"id": b.ID, "name": b.Name})
	}
	if whom.page != "" {
		return pick(c, "Page", []string{"id", "name"}, f.pageFields(t, f.books.pages[whom.page]))
	}
	return pick(c, "User", []string{"id", "name"}, f.userFields(t, f.books.users[whom.person]))
}

// userFields are the fields that a person has. A nil one exists but is not told.
func (f *Facebook) userFields(t *token, u *User) map[string]any {
	first, last, _ := strings.Cut(u.Name, " ")
	fields := map[string]any{
		"id": f.ScopedID(t.app, u.ID), "name": u.Name, "first_name": first, "last_name": last, "email": nil,
	}
	if t.kind == KindUser && t.has("email") && u.Email != "" {
		fields["email"] = u.Email
	}
	if t.client && t.kind == KindSystemUser {
		fields["client_business_id"] = t.business
	}
	return fields
}

// pick takes the fields that the call asks for, or the default ones.
func pick(c *call, node string, byDefault []string, fields map[string]any) (object, error) {
	asked := byDefault
	if chosen := c.param("fields"); chosen != "" {
		asked = list(chosen)
	}
	var picked object
	for _, name := range append(asked, "id") {
		value, exists := fields[name]
		switch {
		case !exists:
			return nil, noSuchField(name, node)
		case value != nil && !picked.has(name):
			picked = append(picked, member{name, value})
		}
	}
	return picked, nil
}
