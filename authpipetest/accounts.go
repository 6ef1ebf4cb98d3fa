package authpipetest

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
)

const accountsLimit = 25

type accountsAnswer struct {
	Data   []object `json:"data"`
	Paging *paging  `json:"paging,omitempty"`
}

type paging struct {
	Cursors  cursors `json:"cursors"`
	Previous string  `json:"previous,omitempty"`
	Next     string  `json:"next,omitempty"` // absent: this was the last
}

type cursors struct {
	Before string `json:"before"`
	After  string `json:"after"`
}

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
	return f.accountsOf(c, t)
}

func (f *Facebook) accountsOf(c *call, t *token) (any, error) {
	all := f.readable(t)
	from, to := window(c, all)
	listed := accountsAnswer{Data: []object{}}
	for _, page := range all[from:to] {
		account, err := pick(c, "Page", []string{"access_token", "category", "category_list", "name", "id", "tasks"},
			f.pageFields(t, f.books.pages[page]))
		if err != nil {
			return nil, err
		}
		listed.Data = append(listed.Data, account)
	}
	if from < to {
		listed.Paging = f.pagingOf(c, t, all, from, to)
	}
	return listed, nil
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

// pageFields are the fields that a page has.
func (f *Facebook) pageFields(t *token, p *Page) map[string]any {
	fields := map[string]any{
		"id": p.ID, "name": p.Name, "category": p.Category, "tasks": p.Tasks, "access_token": t.value,
		"category_list": []object{{{"id", "1605186416478696"}, {"name", p.Category}}},
	}
	if t.personal() {
		fields["access_token"] = f.pageTokenOf(t, p.ID).value
	}
	return fields
}

// window is the part of the list that limit, after and before ask for ("Paginated Results").
func window(c *call, all []string) (from, to int) {
	limit, err := strconv.Atoi(c.param("limit"))
	if err != nil || limit <= 0 {
		limit = accountsLimit
	}
	to = len(all)
	if after := slices.Index(all, uncursor(c.param("after"))); after >= 0 {
		from = after + 1
	}
	if before := slices.Index(all, uncursor(c.param("before"))); before >= 0 {
		return max(0, before-limit), before
	}
	return from, min(to, from+limit)
}

func cursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func uncursor(s string) string {
	id, _ := base64.RawURLEncoding.DecodeString(s) // no cursor: no page
	return string(id)
}

func (f *Facebook) pagingOf(c *call, t *token, all []string, from, to int) *paging {
	p := &paging{Cursors: cursors{Before: cursor(all[from]), After: cursor(all[to-1])}}
	if from > 0 {
		p.Previous = f.pageURL(c, t, "before", p.Cursors.Before)
	}
	if to < len(all) {
		p.Next = f.pageURL(c, t, "after", p.Cursors.After)
	}
	return p
}

// pageURL leads to the neighbouring page of the list, with the person's id for "me" and the token in the query. It has no
// appsecret_proof: who needs one has to add it.
func (f *Facebook) pageURL(c *call, t *token, direction, at string) string {
	q := url.Values{"access_token": {t.value}, direction: {at}}
	for _, kept := range []string{"fields", "limit"} {
		if value := c.param(kept); value != "" {
			q.Set(kept, value)
		}
	}
	return c.base() + "/" + f.versionFor(c) + "/" + f.ScopedID(t.app, t.person) + "/accounts?" + q.Encode()
}
