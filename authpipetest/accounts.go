package authpipetest

import (
	"cmp"
	"net/http"
	"slices"
)

// accountFields are the default fields of a page in the list of accounts.
var accountFields = []string{"access_token", "category", "category_list", "name", "id", "tasks"}

// accounts lists the pages that the person selected for the app, each with its page token ("User Accounts"). Without
// pages_show_list the list is empty.
func (ns *nodes) accounts(c *call) (any, error) {
	t, err := ns.graph.authenticate(c)
	if err != nil {
		return nil, err
	}
	subject, err := ns.target(c, t)
	switch {
	case err != nil:
		return nil, err
	case subject.page != "":
		return nil, noSuchField("accounts", "Page")
	case subject.business != "":
		return nil, noSuchField("accounts", "Business")
	case t.kind == KindApp:
		return nil, oauthError(codeSession, "A user access token is required to request this resource.")
	}
	e, err := c.edgeOf(ns.accountsPath(t))
	if err != nil {
		return nil, err
	}
	return ns.accountsOf(c, t, e)
}

func (ns *nodes) accountsPath(t *token) string { return scopedID(t.app, t.person) + "/accounts" }

func (ns *nodes) accountsOf(c *call, t *token, e edge) (listing, error) {
	answers := ns.lists.next(t.person, e.limit())
	switch {
	case answers.refuses(e.limit()):
		return listing{}, tooMuchData()
	case answers.Empty != 0:
		return listing{Data: []object{}}, nil
	}
	e.endless = answers.Endless
	return ns.graph.list(c, t, e, ns.listed(t), func(id string) node {
		n := ns.pageNode(c, t, ns.directory.pages[id])
		n.byDefault = accountFields
		return n
	})
}

// listed returns the pages in the accounts of a user token.
func (ns *nodes) listed(t *token) []string {
	if !t.has(listsPages) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(ns.directory.users[t.person].Pages), func(id string) bool {
		p := ns.directory.pages[id]
		return p == nil || !t.selected(id) || !t.manages(p)
	})
}

// PageList is how the list of a person's pages answers, for [Facebook.SetPageList]: GET /{user}/accounts, and the field
// accounts of a person. The zero value answers as it should.
type PageList struct {
	// Empty is how many of the next lists are empty. Negative: all of them.
	Empty int
	// Limit is the largest limit of a list. A larger one is answered with status 500 and code 1, "Please reduce the
	// amount of data you're asking for, then retry your request". Zero: there is none.
	Limit int
	// Endless makes the list begin again after its end, so that there is always a next part.
	Endless bool
}

// SetPageList changes how a person's list of pages answers, or a system user's; if userID is empty, everyone's but of
// those who have an answer of their own. The zero value of PageList ends it.
func (f *Facebook) SetPageList(userID string, answers PageList) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints.nodes.lists.set(userID, answers)
}

// pageLists has how lists of pages answer.
type pageLists struct {
	*settings
	answers map[string]*PageList // by person; "" is everyone else
}

func newPageLists(s *settings) *pageLists {
	return &pageLists{settings: s, answers: map[string]*PageList{}}
}

func (pl *pageLists) set(person string, answers PageList) {
	if delete(pl.answers, person); answers != (PageList{}) {
		pl.answers[person] = &answers
	}
}

// next returns how a person's next list answers. One that is empty counts, unless its limit is refused.
func (pl *pageLists) next(person string, limit int) PageList {
	answers := pl.options().pageList
	if pl.answers[person] == nil {
		person = ""
	}
	set := pl.answers[person]
	if set == nil {
		return answers
	}
	answers = PageList{
		Empty: cmp.Or(set.Empty, answers.Empty), Limit: cmp.Or(set.Limit, answers.Limit), Endless: set.Endless || answers.Endless,
	}
	if set.Empty > 0 && !answers.refuses(limit) {
		counted := *set
		counted.Empty--
		pl.set(person, counted)
	}
	return answers
}

func (l PageList) refuses(limit int) bool { return l.Limit > 0 && limit > l.Limit }

// tooMuchData refuses a list with too large a limit.
func tooMuchData() refusal {
	return refusal{GraphError: GraphError{Message: reduceData, Type: "OAuthException", Code: codeUnknown}, status: http.StatusInternalServerError}
}

const reduceData = "Please reduce the amount of data you're asking for, then retry your request"
