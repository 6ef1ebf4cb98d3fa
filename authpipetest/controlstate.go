package authpipetest

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

var controlTemplate = pageTemplate("control.html")

// controlState is what the control page shows.
type controlState struct {
	Now        string
	Down       string
	Outages    []outage
	Pending    int
	Throttles  []throttleRow
	Behaviors  []behaviorRow
	Apps       []*App
	People     []*User
	Businesses []*Business
	Grants     []grantRow
	Tokens     []tokenRow
	Requests   []requestRow
}

type behaviorRow struct {
	Name, Text string
	On         bool
}

type throttleRow struct{ Whose, Until string }

type grantRow struct {
	App, AppID, Whose, User, Business, Permissions string
	Refused                                        bool // its tokens are not extended
}

type tokenRow struct {
	Number                              int
	Short, Kind, Whose, Expires, Reason string
	Valid                               bool
}

type requestRow struct {
	Time, Endpoint, Method, Path string
	Status                       int
	Batched                      bool
	Refused                      string // what Meta refuses new apps
}

// shownTokens and shownRequests are how many the page shows, the youngest first.
const (
	shownTokens   = 50
	shownRequests = 30
)

func (c *control) page() answer {
	c.mu.Lock()
	down := c.down
	c.mu.Unlock()
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	return c.f.htmlAnswer(http.StatusOK, controlTemplate, c.f.controlState(down))
}

func (f *Facebook) controlState(down string) controlState {
	b := &f.books
	return controlState{
		Now: clockTime(f.options().Now()), Down: down, Outages: outages, Pending: len(b.events), Throttles: f.throttleRows(), Behaviors: b.behaviorRows(),
		Apps: sorted(b.apps), People: f.peopleInOrder(), Businesses: sorted(b.businesses),
		Grants: f.grantRows(), Tokens: f.tokenRows(), Requests: b.requestRows(),
	}
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// sorted are the values in the order of their keys.
func sorted[T any](m map[string]T) []T {
	var all []T
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[key])
	}
	return all
}

func (b *books) behaviorRows() []behaviorRow {
	rows := make([]behaviorRow, 0, len(Behaviors()))
	for _, known := range Behaviors() {
		_, on := b.behaviors[known.Name]
		rows = append(rows, behaviorRow{known.Name, known.Text, on})
	}
	return rows
}

func (f *Facebook) throttleRows() []throttleRow {
	var rows []throttleRow
	for _, a := range f.books.throttles {
		if a.until.IsZero() || f.options().Now().Before(a.until) {
			row := throttleRow{Whose: strings.Join(strings.Fields(a.App+" "+a.User+" "+a.Object), ", ")}
			if !a.until.IsZero() {
				row.Until = clockTime(a.until)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (f *Facebook) grantRows() []grantRow {
	var rows []grantRow
	for _, g := range f.books.grants {
		rows = append(rows, grantRow{
			App: f.books.apps[g.app].Name, AppID: g.app, Whose: f.nameOf(g.person), User: g.person, Business: g.business,
			Permissions: strings.Join(g.granted(), ", "), Refused: f.books.unextendable[grantKey{g.app, g.person}] != nil,
		})
	}
	slices.SortFunc(rows, func(a, b grantRow) int {
		return cmp.Or(cmp.Compare(a.AppID, b.AppID), cmp.Compare(a.User, b.User))
	})
	return rows
}

func (f *Facebook) nameOf(person string) string {
	if u := f.books.users[person]; u != nil {
		return u.Name
	}
	return person
}

func (f *Facebook) tokenRows() []tokenRow {
	var rows []tokenRow
	for _, t := range f.books.tokens {
		row := tokenRow{Number: t.number, Short: short(t.value), Kind: t.kind, Whose: f.nameOf(t.person), Expires: "never", Valid: true}
		if page := f.books.pages[t.page]; page != nil {
			row.Whose += ", for " + page.Name
		}
		if !t.expires.IsZero() {
			row.Expires = clockTime(t.expires)
		}
		if flaw := f.flaw(t); flaw != nil {
			row.Valid, row.Reason = false, flaw.Message
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b tokenRow) int { return cmp.Compare(b.Number, a.Number) })
	return rows[:min(len(rows), shownTokens)]
}

// short is enough of a token to tell it from others, and too little to use it.
func short(token string) string { return token[:3] + "…" + token[len(token)-4:] }

func (b *books) requestRows() []requestRow {
	var rows []requestRow
	for _, r := range slices.Backward(b.log) {
		if len(rows) == shownRequests {
			break
		}
		rows = append(rows, requestRow{clockTime(r.Time), r.Endpoint, r.Method, r.Path, r.Status, r.Batched, r.Discontinued})
	}
	return rows
}
