package authpipetest

import (
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
)

const listingLimit = 25

// listing is the answer of an edge ("Paginated Results").
type listing struct {
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

// edge is a request for a list: a call of its own, or a field of another call.
type edge struct {
	path   string     // of the list, with the id in place of me
	params url.Values // fields, limit, after and before, as they were sent
	fields []field
}

// edgeOf reads the call's own parameters.
func (c *call) edgeOf(path string) (edge, error) {
	e := edge{path: path, params: url.Values{}}
	for _, name := range []string{"fields", "limit", "after", "before"} {
		if value := c.param(name); value != "" {
			e.params.Set(name, value)
		}
	}
	var err error
	e.fields, err = fieldsOf(c.param("fields"))
	return e, err
}

// edge is the list that a field stands for.
func (x field) edge(path string) edge {
	e := edge{path: path, params: url.Values{}, fields: x.fields}
	for name, values := range x.args {
		e.params[name] = values
	}
	if x.raw != "" {
		e.params.Set("fields", x.raw)
	}
	return e
}

// list answers the part of the list that was asked for. read makes an entry of it.
func (f *Facebook) list(c *call, t *token, e edge, ids []string, read func(id string) node) (listing, error) {
	from, to := e.window(ids)
	l := listing{Data: []object{}}
	for _, id := range ids[from:to] {
		entry, err := read(id).pick(e.fields)
		if err != nil {
			return l, err
		}
		l.Data = append(l.Data, entry)
	}
	if from < to {
		l.Paging = f.pagingOf(c, t, e, ids, from, to)
	}
	return l, nil
}

// expanded is a list that stands in a field: Facebook leaves an empty one out.
func expanded(l listing, err error) (any, error) {
	if err != nil || len(l.Data) == 0 {
		return nil, err
	}
	return l, nil
}

// window is the part of the list that limit, after and before ask for.
func (e edge) window(all []string) (from, to int) {
	limit, err := strconv.Atoi(e.params.Get("limit"))
	if err != nil || limit <= 0 {
		limit = listingLimit
	}
	to = len(all)
	if after := slices.Index(all, uncursor(e.params.Get("after"))); after >= 0 {
		from = after + 1
	}
	if before := slices.Index(all, uncursor(e.params.Get("before"))); before >= 0 {
		return max(0, before-limit), before
	}
	return from, min(to, from+limit)
}

func cursor(id string) string { return base64.RawURLEncoding.EncodeToString([]byte(id)) }

func uncursor(s string) string {
	id, _ := base64.RawURLEncoding.DecodeString(s) // no cursor: no page
	return string(id)
}

func (f *Facebook) pagingOf(c *call, t *token, e edge, all []string, from, to int) *paging {
	p := &paging{Cursors: cursors{Before: cursor(all[from]), After: cursor(all[to-1])}}
	if from > 0 {
		p.Previous = f.listingURL(c, t, e, "before", p.Cursors.Before)
	}
	if to < len(all) {
		p.Next = f.listingURL(c, t, e, "after", p.Cursors.After)
	}
	return p
}

// listingURL leads to the neighbouring part of the list, with the token in the query. It has no appsecret_proof: a caller that
// needs one has to add it.
func (f *Facebook) listingURL(c *call, t *token, e edge, direction, at string) string {
	q := url.Values{"access_token": {t.value}, direction: {at}}
	for _, kept := range []string{"fields", "limit"} {
		if value := e.params.Get(kept); value != "" {
			q.Set(kept, value)
		}
	}
	return c.base() + "/" + f.versionFor(c) + "/" + e.path + "?" + q.Encode()
}
