package enginetest

import (
	"context"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A Dialog is a person with a browser that connects accounts of Facebook's. It
// is part of an [Engine].
type Dialog struct{ e *Engine }

// Session is one that has begun.
type Session struct{ ID, URL, Path string }

// Page is what a browser sees.
type Page struct {
	Status int
	HTML   string
}

// Elements of the callback page: what moves the browser on, and the connect code.
var (
	RefreshElement     = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]*)">`)
	ConnectCodeElement = regexp.MustCompile(`<code>([A-Z2-7-]+)</code>`)
)

// Returned is the URL that the page moves the browser on to.
func (p Page) Returned(t testing.TB) *url.URL {
	t.Helper()
	m := RefreshElement.FindStringSubmatch(p.HTML)
	if m == nil {
		t.Fatalf("the page moves the browser nowhere:\n%s", p.HTML)
	}
	u, err := url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// ConnectCode is the connect code that the page shows.
func (p Page) ConnectCode(t testing.TB) string {
	t.Helper()
	m := ConnectCodeElement.FindStringSubmatch(p.HTML)
	if m == nil {
		t.Fatalf("the page shows no connect code:\n%s", p.HTML)
	}
	return m[1]
}

// StateOf is the state in a session's authorization URL.
func StateOf(t testing.TB, s Session) string {
	t.Helper()
	u, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state")
}

// Begin begins a session.
func (d *Dialog) Begin(ref string, data map[string]any) Session {
	d.e.T.Helper()
	answer := d.e.Must(logical.UpdateOperation, "connect/"+ref, data)
	id := answer["session_id"].(string)
	return Session{id, answer["authorization_url"].(string), "sessions/" + strings.SplitN(ref, "/", 2)[0] + "/" + id}
}

// BeginState begins a session of any grant and returns its state.
func (d *Dialog) BeginState(ref string, data map[string]any) (Session, string) {
	d.e.T.Helper()
	answer := d.e.Must(logical.UpdateOperation, "connect/"+ref, data)
	s := Session{ID: answer["session_id"].(string), Path: "sessions/" + strings.SplitN(ref, "/", 2)[0] + "/" + answer["session_id"].(string)}
	if state, ok := answer["state"].(string); ok {
		return s, state
	}
	s.URL = answer["authorization_url"].(string)
	u, err := url.Parse(s.URL)
	if err != nil {
		d.e.T.Fatal(err)
	}
	return s, u.Query().Get("state")
}

// Consent answers the dialog and returns the URL that the provider redirects to.
func (d *Dialog) Consent(s Session, c authpipetest.Consent) *url.URL {
	d.e.T.Helper()
	back, err := d.e.Facebook.Authorize(s.URL, c)
	if err != nil {
		d.e.T.Fatalf("at the dialog: %v", err)
	}
	return back
}

// Callback brings the provider's redirect to the callback, as a browser does.
func (d *Dialog) Callback(back *url.URL) Page {
	d.e.T.Helper()
	p, err := d.TryCallback(back)
	if err != nil {
		d.e.T.Fatalf("callback: %v", err)
	}
	return p
}

// TryCallback is Callback for one that may fail.
func (d *Dialog) TryCallback(back *url.URL) (Page, error) {
	data := map[string]any{}
	for name, values := range back.Query() {
		data[name] = values[0]
	}
	resp, err := d.e.HandleRequest(context.Background(), &logical.Request{
		Operation: logical.ReadOperation, Path: "callback/facebook", Data: data, Storage: d.e.Storage, Unauthenticated: true,
	})
	if err != nil {
		return Page{}, err
	}
	return Page{resp.Data[logical.HTTPStatusCode].(int), string(resp.Data[logical.HTTPRawBody].([]byte))}, nil
}

// Connect runs a whole session and returns the connection. more are further
// fields of the request to begin, as names and values.
func (d *Dialog) Connect(ref, actor string, c authpipetest.Consent, more ...string) map[string]any {
	d.e.T.Helper()
	data := map[string]any{"actor": actor}
	for i := 0; i < len(more); i += 2 {
		data[more[i]] = more[i+1]
	}
	s := d.Begin(ref, data)
	code := d.Callback(d.Consent(s, c)).ConnectCode(d.e.T)
	return d.e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": actor, "connect_code": code})
}

// Install connects the installation of org_acme.
func (d *Dialog) Install() map[string]any {
	d.e.T.Helper()
	return d.Connect(Installation, "admin", authpipetest.Consent{User: "ada"})
}

// ConnectMany connects n people under the installation and returns their refs.
func (d *Dialog) ConnectMany(n int) []string {
	d.e.T.Helper()
	refs := make([]string, n)
	for i := range refs {
		name := fmt.Sprintf("person-%03d", i)
		d.e.Facebook.AddUser(authpipetest.User{ID: name})
		refs[i] = "org_acme/facebook/users/" + name
		d.Connect(refs[i], name, authpipetest.Consent{User: name})
	}
	return refs
}

// ObtainToken returns a token that another program got from the provider for
// person.
func (d *Dialog) ObtainToken(person string) string {
	d.e.T.Helper()
	const elsewhere = "org_elsewhere/facebook/installation"
	d.Connect(elsewhere, "boss", authpipetest.Consent{User: person}, "allow_account_change", "true")
	token := d.e.Read("creds/" + elsewhere)["access_token"].(string)
	d.e.Must(logical.DeleteOperation, "creds/"+elsewhere, map[string]any{"revoke": false})
	return token
}
