package authpipetest

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// control is the control page.
type control struct {
	f *Facebook

	mu   sync.Mutex
	down string // name of the current outage; empty: none
	up   func() // ends it
}

// Control returns a page that shows the simulator's state and has buttons for failures: remove an app, expire or
// invalidate a token, change a password, throttle, start and end an outage. There, too, a person's roles on pages change,
// pages move between portfolios, pages, people and businesses get other names, and lists of pages come empty or without an
// end. It works without scripts, shows no token in
// full, works under any path, and answers only loopback clients under loopback names. An outage of f does not affect
// it.
func (f *Facebook) Control() http.Handler {
	c := &control{f: f}
	return loopbackOnly(http.NewCrossOriginProtection().Handler(http.HandlerFunc(c.serve)))
}

// loopbackOnly refuses clients of other machines. It also checks Host, against web pages whose name resolves to
// 127.0.0.1.
func loopbackOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isLoopback(r.RemoteAddr) || !isLoopback(r.Host) {
			http.Error(w, "the control page is for this machine only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func isLoopback(address string) bool {
	name, _, err := net.SplitHostPort(address)
	if err != nil {
		name = address
	}
	ip, err := netip.ParseAddr(name)
	return name == "localhost" || err == nil && ip.IsLoopback()
}

func (c *control) serve(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		c.page().write(w)
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
		if r.PostFormValue("action") == "sdk-login" {
			c.loginBySDK(w, r)
			return
		}
		if !c.act(r) {
			http.Error(w, "there is no such action, or nothing by that name", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, r.URL.Path, http.StatusSeeOther) // so that a reload does not repeat the action
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		http.Error(w, "the control page is read or posted to", http.StatusMethodNotAllowed)
	}
}

// loginBySDK logs a person in as FB.login would, and shows the code that the calling page gets.
func (c *control) loginBySDK(w http.ResponseWriter, r *http.Request) {
	code, err := c.f.LoginBySDK(r.PostFormValue("app"), nil, Consent{User: r.PostFormValue("user"), AsOffered: true})
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintln(w, code)
}

// throttleFor is the duration of a throttle of the control page.
const throttleFor = 5 * time.Minute

// act performs a button's action. It returns false if there is no such action.
func (c *control) act(r *http.Request) bool {
	app, user, business := r.PostFormValue("app"), r.PostFormValue("user"), r.PostFormValue("business")
	over := Throttle{CallCount: 100, RegainAccess: throttleFor}
	switch r.PostFormValue("action") {
	case "remove":
		c.f.RemoveApp(app, user)
	case "delete":
		c.f.RequestDeletion(app, user)
	case "disconnect":
		c.f.RemoveIntegration(app, business)
	case "password":
		c.f.ChangePassword(user)
	case "throttle-app":
		over.App = app
		c.f.Throttle(over)
	case "throttle-user":
		over.User = user
		c.f.Throttle(over)
	case "throttle-object":
		over.Object = r.PostFormValue("object")
		c.f.Throttle(over)
	case "lift":
		c.liftThrottles()
	case "deliver":
		c.f.Deliver(r.Context())
	case "behave":
		_, err := c.f.Behave(r.PostFormValue("name"))
		return err == nil
	case "stop":
		c.f.behaviors.stop(r.PostFormValue("name"))
	case "refuse-extension":
		c.f.RefuseExtension(app, user, &GraphError{Code: codeUnknown, Message: "An unknown error has occurred."})
	case "allow-extension":
		c.f.RefuseExtension(app, user, nil)
	case "down":
		return c.startOutage(r.PostFormValue("how"))
	case "up":
		c.endOutage()
	default:
		return c.actOnPages(r) || c.actOnToken(r)
	}
	return true
}

func (c *control) actOnToken(r *http.Request) bool {
	value, known := c.tokenNumbered(r.PostFormValue("token"))
	if !known {
		return false
	}
	switch r.PostFormValue("action") {
	case "expire":
		c.f.ExpireToken(value)
	case "checkpoint":
		c.f.KillToken(value, codeToken, SubcodeCheckpoint, "")
	case "logout":
		c.f.KillToken(value, codeToken, SubcodeLoggedOut, "")
	default:
		return false
	}
	return true
}

// tokenNumbered finds a token by its number on the page.
func (c *control) tokenNumbered(number string) (value string, known bool) {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	for _, t := range c.f.tokens.all {
		if strconv.Itoa(t.number) == number {
			return t.value, true
		}
	}
	return "", false
}

func (c *control) liftThrottles() {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.throttles.armed = nil
}

// outage is a kind of outage.
type outage struct {
	Name  string
	Fault Fault
}

var outages = []outage{
	{"a page and status 503", Fault{Status: http.StatusServiceUnavailable, Body: "<!doctype html><title>Sorry</title><h1>Sorry, something went wrong.</h1>"}},
	{"error 2, temporarily unavailable", Fault{Status: http.StatusInternalServerError, Error: &GraphError{
		Message: "Service temporarily unavailable", Code: 2, IsTransient: new(true),
	}}},
	{"broken connections", Fault{Reset: true}},
	{"no answer at all", Fault{Hang: true}},
}

func (c *control) startOutage(how string) bool {
	at, err := strconv.Atoi(how)
	if err != nil || at < 0 || at >= len(outages) {
		return false
	}
	c.endOutage()
	up := c.f.Fail(outages[at].Fault)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.down, c.up = outages[at].Name, up
	return true
}

func (c *control) endOutage() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up != nil {
		c.up()
	}
	c.down, c.up = "", nil
}

var controlTemplate = pageTemplate("control.html")

// controlState is the content of the control page.
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
	Pages      []pageRow
	Lists      []listRow
	Grants     []grantRow
	Tokens     []tokenRow
	Requests   []requestRow
}

type behaviorRow struct {
	Name, Text string
	On         bool
}

type throttleRow struct{ Owner, Until string }

type grantRow struct {
	App, AppID, Owner, User, Business, Permissions string
	Refused                                        bool // see Facebook.RefuseExtension
}

type tokenRow struct {
	Number                              int
	Short, Kind, Owner, Expires, Reason string
	Valid                               bool
}

type requestRow struct {
	Time, Endpoint, Method, Path string
	Status                       int
	Batched                      bool
	Refused                      string // the feature that Meta refuses to new apps
}

// shownTokens and shownRequests limit the rows of the page, the newest first.
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
	return htmlAnswer(c.f.settings.options().Now(), http.StatusOK, controlTemplate, c.state(down))
}

func (c *control) state(down string) controlState {
	return controlState{
		Now: clockTime(c.f.settings.options().Now()), Down: down, Outages: outages, Pending: len(c.f.notifications.queue), Throttles: c.throttleRows(), Behaviors: c.behaviorRows(),
		Apps: sorted(c.f.directory.apps), People: c.f.directory.peopleInOrder(), Businesses: sorted(c.f.directory.businesses),
		Pages: c.pageRows(), Lists: c.listRows(), Grants: c.grantRows(), Tokens: c.tokenRows(), Requests: c.requestRows(),
	}
}

func clockTime(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// sorted returns the values in the order of their keys.
func sorted[T any](m map[string]T) []T {
	var all []T
	for _, key := range slices.Sorted(maps.Keys(m)) {
		all = append(all, m[key])
	}
	return all
}

func (c *control) behaviorRows() []behaviorRow {
	rows := make([]behaviorRow, 0, len(Behaviors()))
	for _, known := range Behaviors() {
		rows = append(rows, behaviorRow{known.Name, known.Text, c.f.behaviors.inForce(known.Name)})
	}
	return rows
}

func (c *control) throttleRows() []throttleRow {
	var rows []throttleRow
	for _, a := range c.f.throttles.armed {
		if a.until.IsZero() || c.f.settings.options().Now().Before(a.until) {
			row := throttleRow{Owner: strings.Join(strings.Fields(a.App+" "+a.User+" "+a.Object), ", ")}
			if !a.until.IsZero() {
				row.Until = clockTime(a.until)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

func (c *control) grantRows() []grantRow {
	var rows []grantRow
	for _, g := range c.f.grants.standing {
		rows = append(rows, grantRow{
			App: c.f.directory.apps[g.app].Name, AppID: g.app, Owner: c.f.directory.nameOf(g.person), User: g.person, Business: g.business,
			Permissions: strings.Join(g.granted(), ", "), Refused: c.f.endpoints.tokenEndpoint.refusedExtensions[grantKey{g.app, g.person}] != nil,
		})
	}
	slices.SortFunc(rows, func(a, b grantRow) int {
		return cmp.Or(cmp.Compare(a.AppID, b.AppID), cmp.Compare(a.User, b.User))
	})
	return rows
}

func (c *control) tokenRows() []tokenRow {
	var rows []tokenRow
	for _, t := range c.f.tokens.all {
		row := tokenRow{Number: t.number, Short: short(t.value), Kind: t.kind, Owner: c.f.directory.nameOf(t.person), Expires: "never", Valid: true}
		if page := c.f.directory.pages[t.page]; page != nil {
			row.Owner += ", for " + page.Name
		}
		if !t.expires.IsZero() {
			row.Expires = clockTime(t.expires)
		}
		if reason := c.f.tokens.validate(t); reason != nil {
			row.Valid, row.Reason = false, reason.Message
		}
		rows = append(rows, row)
	}
	slices.SortFunc(rows, func(a, b tokenRow) int { return cmp.Compare(b.Number, a.Number) })
	return rows[:min(len(rows), shownTokens)]
}

// short abbreviates a token: enough to recognize it, too little to use it.
func short(token string) string { return token[:3] + "…" + token[len(token)-4:] }

func (c *control) requestRows() []requestRow {
	var rows []requestRow
	for _, r := range slices.Backward(c.f.log.requests) {
		if len(rows) == shownRequests {
			break
		}
		rows = append(rows, requestRow{clockTime(r.Time), r.Endpoint, r.Method, r.Path, r.Status, r.Batched, r.Discontinued})
	}
	return rows
}
