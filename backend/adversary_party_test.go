package backend_test

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
)

// A party is a person that is signed in to the application for a tenant, with an account at the provider and a Vault token that is
// bound to the tenant.
type party struct {
	a      *attack
	role   string
	tenant string
	entity string
	user   string // the application's id, and the actor
	person string // the account at the provider
	// business is one that the person is an admin of; "": none.
	business string
	logins   []*login
}

func (a *attack) newParty(role, tenant string) *party {
	p := &party{a: a, role: role, tenant: tenant, entity: "of-" + tenant, user: role, person: role + "-of-" + tenant}
	a.system.Set(p.entity, tenant)
	a.Facebook.AddUser(authpipetest.User{ID: p.person, Name: p.person})
	return p
}

// colleague makes the adversary a person of the victim's tenant, without a Vault token: the application acts for them.
func (a *attack) colleague() {
	a.adversary = a.newParty("adversary", a.victim.tenant)
}

func (p *party) ref() string { return p.tenant + "/facebook/users/" + p.user }

// as is a request by the caller of an entity. What the adversary gets is noted.
func (a *attack) as(entity string, op logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	resp, err := a.setting.DoAs(entity, op, path, data)
	if resp != nil {
		a.answers = append(a.answers, fmt.Sprint(resp.Data))
	}
	if err != nil {
		a.answers = append(a.answers, err.Error())
	}
	return resp, err
}

// tries is a request by the adversary's caller. It reports whether it was answered.
func (p *party) tries(op logical.Operation, path string, data map[string]any) bool {
	_, err := p.a.as(p.entity, op, path, data)
	p.a.note(result(err))
	return err == nil
}

// note records what came of a request, once.
func (a *attack) note(what string) {
	if !slices.Contains(a.happened, what) {
		a.happened = append(a.happened, what)
	}
}

// result is "answered", the code of an error, or its status where it is Vault's own.
func result(err error) string {
	var coded logical.HTTPCodedError
	switch {
	case err == nil:
		return "answered"
	case enginetest.Denied(err):
		return "403"
	case errors.As(err, &coded):
		code, _, _ := strings.Cut(err.Error(), ": ")
		return code
	}
	return err.Error()
}

// must is a request by the party's application that is answered.
func (p *party) must(op logical.Operation, path string, data map[string]any) map[string]any {
	p.a.T.Helper()
	resp, err := p.a.setting.DoAs(p.entity, op, path, data)
	if err != nil {
		p.a.T.Fatalf("%s: %s %s: %v", p.a.name, op, path, err)
	}
	if resp == nil {
		return nil
	}
	return resp.Data
}

// A login is a session that a party has begun.
type login struct {
	enginetest.Session
	a               *attack
	by              *party
	ref             string
	grant           string
	state, userCode string
}

// begins begins a session of the configuration's route for the party's own ref.
func (p *party) begins() *login { p.a.T.Helper(); return p.beginsWith(p.ref(), nil) }

// beginsWith begins a session with what more says in place of the configuration.
func (p *party) beginsWith(ref string, more map[string]any) *login {
	p.a.T.Helper()
	data := map[string]any{"actor": p.user}
	switch p.a.route {
	case returned:
		data["return_url"] = enginetest.ReturnURL
	case relayed:
		data["redirect_uri"] = enginetest.RelayURI
	case onDevice:
		data["grant"] = "device"
	case bySDK:
		data["grant"] = "sdk"
	}
	if more["grant"] != nil {
		delete(data, "return_url")
		delete(data, "redirect_uri")
	}
	maps.Copy(data, more)
	answer := p.must(logical.UpdateOperation, "connect/"+ref, data)
	l := &login{a: p.a, by: p, ref: ref}
	l.ID = answer["session_id"].(string)
	l.Path = "sessions/" + p.tenant + "/" + l.ID
	l.grant, _ = data["grant"].(string)
	l.state, _ = answer["state"].(string)
	l.userCode, _ = answer["user_code"].(string)
	if l.URL, _ = answer["authorization_url"].(string); l.URL != "" {
		l.state = enginetest.StateOf(p.a.T, l.Session)
		p.a.visited(p.a.parse(l.URL))
	}
	p.logins = append(p.logins, l)
	return l
}

func (a *attack) parse(text string) *url.URL {
	a.T.Helper()
	u, err := url.Parse(text)
	if err != nil {
		a.T.Fatal(err)
	}
	return u
}

// visited notes a URL in the logs that hold it.
func (a *attack) visited(u *url.URL) {
	for _, l := range logged(u) {
		a.logs[l] = append(a.logs[l], u)
	}
}

// read returns the last URL of a log that has the parameter; nil if none has.
func (a *attack) read(from logName, parameter string) *url.URL {
	for _, u := range slices.Backward(a.logs[from]) {
		if u.Query().Has(parameter) {
			return u
		}
	}
	return nil
}

// approves has the party approve at the provider, and returns the URL that its browser is sent to, unopened. What the SDK hands to
// the application's page is returned as if it were one. On a device there is none.
func (p *party) approves(l *login) *url.URL {
	a := p.a
	a.T.Helper()
	switch {
	case l.userCode != "":
		if err := a.Facebook.ApproveDevice(l.userCode, authpipetest.Consent{User: p.person}); err != nil {
			a.T.Fatalf("%s: %v", a.name, err)
		}
		return nil
	case l.URL == "":
		return l.posted(p.sdkCode(url.Values{"scope": {"pages_show_list"}}))
	}
	return p.approvesAt(l.URL)
}

// posted is the form in which the application's page posts a code of the SDK to the application.
func (l *login) posted(code string) *url.URL {
	return &url.URL{Host: formPost, RawQuery: url.Values{"state": {l.state}, "code": {code}}.Encode()}
}

// formPost is the host of a URL that stands for a form: it is in no log.
const formPost = "form.invalid"

// sdkCode is what the provider's SDK hands to a page after the party has approved.
func (p *party) sdkCode(options url.Values) string {
	p.a.T.Helper()
	code, err := p.a.Facebook.LoginBySDK(enginetest.AppID, options, authpipetest.Consent{User: p.person})
	if err != nil {
		p.a.T.Fatalf("%s: %v", p.a.name, err)
	}
	return code
}

func (p *party) approvesAt(authorizationURL string) *url.URL {
	p.a.T.Helper()
	back, err := p.a.Facebook.Authorize(authorizationURL, authpipetest.Consent{User: p.person})
	if err != nil {
		p.a.T.Fatalf("%s: %v", p.a.name, err)
	}
	return back
}

// opens has the party's browser open a URL, and follow where it leads.
func (p *party) opens(u *url.URL) enginetest.Page {
	a := p.a
	a.T.Helper()
	if u.Host == "graph.example.com" {
		return p.opens(p.approvesAt(u.String()))
	}
	a.visited(u)
	if u.Host == "app.example.com" || u.Host == formPost {
		p.application(u)
		return enginetest.Page{}
	}
	shown, err := a.TryCallback(u)
	if err != nil {
		a.T.Fatalf("%s: the callback fails: %v", a.name, err)
	}
	if p == a.adversary {
		a.answers = append(a.answers, shown.HTML)
		if shown.Status != http.StatusOK {
			a.note(fmt.Sprintf("page %d", shown.Status))
		}
	}
	if enginetest.RefreshElement.MatchString(shown.HTML) {
		p.opens(shown.Returned(a.T))
	}
	return shown
}

// application does what the application does with a browser that comes back: it completes the session of the URL in the tenant and
// the name of the person that is signed in.
func (p *party) application(u *url.URL) {
	q := u.Query()
	id, proof := q.Get("session_id"), map[string]any{"actor": p.user, "connect_code": q.Get("connect_code")}
	if q.Has("state") {
		id, proof = flow.SessionID(q.Get("state")), map[string]any{"actor": p.user, "state": q.Get("state"), "code": q.Get("code")}
	}
	if q.Has("state") || q.Get("connect_code") != "" {
		p.completes("sessions/"+p.tenant+"/"+id, proof)
	}
}

// completes has the application complete a session, and notes the refusal.
func (p *party) completes(path string, proof map[string]any) {
	if _, err := p.a.setting.DoAs(p.entity, logical.UpdateOperation, path+"/complete", proof); err != nil {
		p.a.note("application: " + result(err))
	}
}

// polls has the application complete a session on a device.
func (p *party) polls(l *login) {
	p.a.Clock.Advance(5 * time.Second)
	p.completes(l.Path, map[string]any{"actor": p.user})
}

// arrives has the party's browser go to where the provider sends it: the code comes to the engine.
func (p *party) arrives(l *login, back *url.URL) {
	if back == nil {
		p.polls(l)
		return
	}
	p.opens(back)
}

// finishes runs a login to its end, as the party does that began it.
func (p *party) finishes(l *login) {
	p.a.T.Helper()
	back := p.approves(l)
	if back == nil || p.a.route != shown {
		p.arrives(l, back)
		return
	}
	if seen := p.opens(back); enginetest.ConnectCodeElement.MatchString(seen.HTML) {
		p.completes(l.Path, map[string]any{"actor": p.user, "connect_code": seen.ConnectCode(p.a.T)})
	}
}

// connects runs a whole login.
func (p *party) connects() *login {
	p.a.T.Helper()
	l := p.begins()
	p.finishes(l)
	return l
}

// relays presents the provider's answer in the party's session, by its own Vault token.
func (l *login) relays(state, code string) bool {
	return l.by.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": l.by.user, "state": state, "code": code})
}

// how is how the sessions of a party read: status and error, each once.
func (p *party) how() string {
	p.a.T.Helper()
	var all []string
	for _, l := range p.logins {
		read := p.must(logical.ReadOperation, l.Path, nil)
		state := fmt.Sprint(read["status"])
		if read["error"] != nil {
			state = fmt.Sprintf("%s %s", state, read["error"])
		}
		if !slices.Contains(all, state) {
			all = append(all, state)
		}
	}
	return strings.Join(all, ", ")
}
