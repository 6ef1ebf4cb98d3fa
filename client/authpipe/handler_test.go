package authpipe_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

// An application has a ConnectHandler, and notes the outcomes of its sessions.
type application struct {
	*authpipe.ConnectHandler
	connected []authpipe.Connection
	failed    []error
}

func newApplication(client *authpipe.Client) *application {
	a := &application{}
	a.ConnectHandler = &authpipe.ConnectHandler{
		Client: client, SignedIn: signedIn, ReturnURL: returnURL,
		Done: func(w http.ResponseWriter, r *http.Request, c authpipe.Connection) {
			a.connected = append(a.connected, c)
			http.Redirect(w, r, "/settings", http.StatusSeeOther)
		},
		Failed: func(w http.ResponseWriter, _ *http.Request, err error) {
			a.failed = append(a.failed, err)
			w.WriteHeader(http.StatusForbidden)
		},
	}
	return a
}

func newRealClient(t *testing.T, env *environment) *authpipe.Client {
	client := authpipe.New(env.vault, authpipe.Options{})
	t.Cleanup(client.Close)
	return client
}

// tenants numbers the tests' tenants.
var tenants atomic.Int64

func TestConnectHandlerConnectsInstallationAndUser(t *testing.T) {
	env := testEnvironment(t)
	client := newRealClient(t, env)
	for what, relayed := range map[string]bool{"the provider sends the browser to Vault": false, "the provider sends the browser to the application": true} {
		t.Run(what, func(t *testing.T) {
			app := newApplication(client)
			if relayed {
				app.ReturnURL, app.RedirectURI = "", returnURL
			}
			tenant := fmt.Sprint("handled-", tenants.Add(1)) // not connected yet, with -count too
			if _, err := client.Credential(t.Context(), authpipe.Request{Tenant: tenant, For: authpipe.ForInstallation}); !errors.Is(err, authpipe.ErrNotFound) {
				t.Errorf("before: %v", err)
			}
			if _, err := env.browserOf(alice, tenant+"/alice", app).post("https://app.example.com/facebook/install"); err != nil {
				t.Fatal(err)
			}
			if _, err := env.browserOf(bobby, tenant+"/bob", app).post("https://app.example.com/facebook/authorize"); err != nil {
				t.Fatal(err)
			}
			if len(app.connected) != 2 || app.connected[0].Ref != tenant+"/facebook/installation" || app.connected[1].Ref != tenant+"/facebook/users/bob" {
				t.Fatalf("connected %v; failed %v", app.connected, app.failed)
			}
			if app.connected[1].ConnectedBy.Actor != "bob" || app.connected[1].Status != "active" {
				t.Errorf("connected %+v", app.connected[1])
			}
			// The cached refusal of the installation is gone.
			if got := token(t, client, authpipe.Request{Tenant: tenant, For: authpipe.ForInstallation}); got == "" {
				t.Error("no token")
			}
		})
	}
}

// Session fixation: one person begins a connection, and has another one finish it.
func TestConnectHandlerRefusesOtherActorAtReturn(t *testing.T) {
	env := testEnvironment(t)
	client := newRealClient(t, env)
	env.connect(client, "fixed", "", alice)
	for what, account := range map[string]string{
		"a victim follows the attacker's link to Facebook":                    bobby,
		"a victim follows the attacker's return URL, of the attacker's login": maeve,
	} {
		t.Run(what, func(t *testing.T) {
			app := newApplication(client)
			// Mallory begins, and takes the URL that her browser would open.
			toDialog := httptest.NewRecorder()
			start := httptest.NewRequest(http.MethodPost, "https://app.example.com/facebook/authorize", nil)
			start.AddCookie(&http.Cookie{Name: "signed_in", Value: "fixed/mallory"})
			app.ServeHTTP(toDialog, start)
			link := toDialog.Header().Get("Location")
			if account == maeve {
				// She consents herself, and stops before her browser returns to the application.
				came := env.come(maeve, link)
				link = returnURL + "?" + came.Encode()
			}
			victim := env.browserOf(bobby, "fixed/bob", app)
			if _, err := victim.get(link); err != nil {
				t.Fatal(err)
			}
			if len(app.connected) > 0 || len(app.failed) != 1 || !errors.Is(app.failed[0], authpipe.ErrActorMismatch) {
				t.Errorf("connected %v; failed %v", app.connected, app.failed)
			}
			// And Mallory cannot go on with the same link.
			mallory := env.browserOf(maeve, "fixed/mallory", app)
			if _, err := mallory.get(link); err == nil && len(app.connected) > 0 {
				t.Errorf("then Mallory connects %v", app.connected)
			}
			for _, user := range []string{"bob", "mallory"} {
				if got, err := client.Credential(t.Context(), authpipe.Request{Tenant: "fixed", User: user, For: authpipe.ForUser}); !errors.Is(err, authpipe.ErrNotFound) {
					t.Errorf("%s has %v, %v", user, got, err)
				}
			}
		})
	}
}

func TestConnectHandlerRefusesForgedReturnURL(t *testing.T) {
	env := testEnvironment(t)
	client := newRealClient(t, env)
	began, err := client.Connect(t.Context(), authpipe.ConnectRequest{Tenant: "forged", Actor: "alice", ReturnURL: returnURL, For: authpipe.ForInstallation})
	if err != nil {
		t.Fatal(err)
	}
	for what, row := range map[string]struct {
		query  url.Values
		cookie string
		want   authpipe.Code
	}{
		"a malformed session":         {url.Values{"session_id": {"x"}, "connect_code": {"y"}}, "forged/alice", authpipe.ErrInvalidRequest},
		"a path for a session":        {url.Values{"session_id": {"../../creds/forged/facebook/installation"}}, "forged/alice", authpipe.ErrInvalidRequest},
		"a session with a line's end": {url.Values{"session_id": {began.Session[:9] + "\n" + began.Session[9:]}, "connect_code": {"y"}}, "forged/alice", authpipe.ErrInvalidRequest},
		"a wrong connect code":        {url.Values{"session_id": {began.Session}, "connect_code": {"AAAA-BBBB-CCCC-DDDD"}}, "forged/alice", ""},
		"an error that did not occur": {url.Values{"session_id": {began.Session}, "error": {"access_denied"}}, "forged/alice", authpipe.ErrPending},
		"another person's session":    {url.Values{"session_id": {began.Session}, "error": {"x"}}, "forged/bob", authpipe.ErrActorMismatch},
		"another tenant's session":    {url.Values{"session_id": {began.Session}, "error": {"x"}}, "handled/alice", authpipe.ErrNotFound},
		"an unknown state":            {url.Values{"state": {"x"}, "code": {"y"}}, "forged/alice", authpipe.ErrNotFound},
	} {
		t.Run(what, func(t *testing.T) {
			app := newApplication(client)
			if _, err := env.browserOf(alice, row.cookie, app).get(returnURL + "?" + row.query.Encode()); err != nil {
				t.Fatal(err)
			}
			if len(app.connected) > 0 || len(app.failed) != 1 || row.want != "" && !errors.Is(app.failed[0], row.want) {
				t.Errorf("connected %v; failed %v", app.connected, app.failed)
			}
		})
	}
}

// A browser that comes to the callback too late is sent on without a connect code. An expired session has no error.
func TestConnectHandlerReportsExpiredSession(t *testing.T) {
	d := newDouble(time.Now)
	d.intercept(func(*http.Request) *http.Response {
		return d.page(200, map[string]any{"data": map[string]any{"ref": installation, "actor": "alice", "status": "expired"}})
	})
	app := newApplication(newClient(t, d, authpipe.Options{}))
	r := httptest.NewRequest(http.MethodGet, returnURL+"?error=session_expired&session_id="+authpipe.SessionOf("a state"), nil)
	r.AddCookie(&http.Cookie{Name: "signed_in", Value: "org_acme/alice"})
	app.ServeHTTP(httptest.NewRecorder(), r)
	if len(app.failed) != 1 || !errors.Is(app.failed[0], authpipe.ErrSessionExpired) {
		t.Errorf("got %v", app.failed)
	}
}

func TestConnectHandlerRefusesForeignAndUnsignedRequests(t *testing.T) {
	d := newDouble(time.Now)
	client := newClient(t, d, authpipe.Options{})
	for what, row := range map[string]struct {
		method, path string
		change       func(*http.Request, *authpipe.ConnectHandler)
		want         int
	}{
		"a start by GET, as a link or an image makes it": {http.MethodGet, "/facebook/install", nil, 405},
		"a return by POST":                 {http.MethodPost, "/facebook/return", nil, 405},
		"another path":                     {http.MethodGet, "/facebook/", nil, 404},
		"a start from another site":        {http.MethodPost, "/facebook/install", func(r *http.Request, _ *authpipe.ConnectHandler) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, 403},
		"no person is signed in":           {http.MethodPost, "/facebook/install", func(r *http.Request, _ *authpipe.ConnectHandler) { r.Header.Del("Cookie") }, 403},
		"a person without an id":           {http.MethodPost, "/facebook/install", func(r *http.Request, _ *authpipe.ConnectHandler) { r.Header.Set("Cookie", "signed_in=t/") }, 401},
		"a return without being signed in": {http.MethodGet, "/facebook/return", func(r *http.Request, _ *authpipe.ConnectHandler) { r.Header.Del("Cookie") }, 403},
		"Begin refuses":                    {http.MethodPost, "/facebook/install", func(_ *http.Request, h *authpipe.ConnectHandler) { h.Begin = refuseAll }, 403},
	} {
		t.Run(what, func(t *testing.T) {
			h := &authpipe.ConnectHandler{Client: client, SignedIn: signedIn, ReturnURL: returnURL}
			r := httptest.NewRequest(row.method, "https://app.example.com"+row.path, nil)
			r.AddCookie(&http.Cookie{Name: "signed_in", Value: "t/alice"})
			if row.change != nil {
				row.change(r, h)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != row.want || strings.Contains(w.Body.String(), "alice") {
				t.Errorf("got %d %s", w.Code, w.Body)
			}
			wantRequests(t, d, "", 0)
		})
	}
}

// begins posts to a start of the handler, and returns the response and what the handler has written to connect/.
func begins(t *testing.T, path, form string, h authpipe.ConnectHandler) (*httptest.ResponseRecorder, []map[string]any) {
	t.Helper()
	d := newDouble(time.Now)
	var written []map[string]any
	d.intercept(func(r *http.Request) *http.Response {
		written = append(written, bodyOf(r))
		return d.page(200, map[string]any{"data": map[string]any{"authorization_url": "https://www.facebook.com/"}})
	})
	h.Client = newClient(t, d, authpipe.Options{})
	r := httptest.NewRequest(http.MethodPost, "https://app.example.com/facebook/"+path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w, written
}

// person returns a SignedIn that always names the same person.
func person(p authpipe.Person) func(*http.Request) (authpipe.Person, error) {
	return func(*http.Request) (authpipe.Person, error) { return p, nil }
}

func TestConnectHandlerRefusesInstallationWithoutMayInstall(t *testing.T) {
	install := func(_ *http.Request, _ authpipe.Person, q *authpipe.ConnectRequest) error {
		q.For, q.User = authpipe.ForInstallation, ""
		return nil
	}
	for what, row := range map[string]struct {
		path  string
		may   bool
		begin func(*http.Request, authpipe.Person, *authpipe.ConnectRequest) error
		want  int
	}{
		"a member installs":                          {"install", false, nil, 403},
		"an admin installs":                          {"install", true, nil, 303},
		"a member authorizes":                        {"authorize", false, nil, 303},
		"Begin makes an installation of authorizing": {"authorize", false, install, 403},
		"Begin makes an installation for an admin":   {"authorize", true, install, 303},
	} {
		t.Run(what, func(t *testing.T) {
			w, written := begins(t, row.path, "", authpipe.ConnectHandler{
				SignedIn: person(authpipe.Person{Actor: "mallory", Tenant: "org_acme", MayInstall: row.may}), Begin: row.begin, ReturnURL: returnURL,
			})
			if w.Code != row.want || (len(written) > 0) != (row.want == 303) {
				t.Errorf("got %d, having written %v", w.Code, written)
			}
		})
	}
}

func TestConnectHandlerChecksMayInstallAtReturn(t *testing.T) {
	const state = "the-state"
	id := authpipe.SessionOf(state)
	for what, row := range map[string]struct {
		query, ref, actor string
		may               bool
		want              authpipe.Code // empty: connected
		cancelled         bool
	}{
		"with a code":                   {"session_id=" + id + "&connect_code=c", installation, "alice", false, authpipe.ErrAccessDenied, true},
		"with the provider's answer":    {"state=" + state + "&code=c", installation, "alice", false, authpipe.ErrAccessDenied, true},
		"of a session that is complete": {"session_id=" + id, installation, "alice", false, authpipe.ErrAccessDenied, true},
		"of an admin":                   {"session_id=" + id + "&connect_code=c", installation, "alice", true, "", false},
		"of a person's own":             {"session_id=" + id + "&connect_code=c", bobs, "alice", false, "", false},
		"of another person":             {"session_id=" + id + "&connect_code=c", installation, "bob", false, authpipe.ErrActorMismatch, false},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			d.intercept(func(r *http.Request) *http.Response {
				switch {
				case r.Method == http.MethodDelete:
					return d.page(http.StatusNoContent, nil)
				case strings.HasSuffix(r.URL.Path, "/complete") && row.actor != bodyOf(r)["actor"]:
					return d.refuse(http.StatusConflict, "actor_mismatch: another actor began the session")
				case strings.HasSuffix(r.URL.Path, "/complete"):
					return d.page(200, map[string]any{"data": map[string]any{"ref": row.ref}})
				}
				return d.page(200, map[string]any{"data": map[string]any{"ref": row.ref, "actor": row.actor, "status": "completed"}})
			})
			app := newApplication(newClient(t, d, authpipe.Options{}))
			app.SignedIn = person(authpipe.Person{Actor: "alice", Tenant: "org_acme", MayInstall: row.may})
			app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, returnURL+"?"+row.query, nil))
			if row.want == "" && len(app.connected) != 1 || row.want != "" && (len(app.failed) != 1 || !errors.Is(app.failed[0], row.want)) {
				t.Errorf("connected %v; failed %v", app.connected, app.failed)
			}
			if got := d.count("DELETE sessions/org_acme/"+id) == 1; got != row.cancelled {
				t.Errorf("the session was cancelled: %v, want %v", got, row.cancelled)
			}
		})
	}
}

func TestConnectHandlerRefusesUnlistedScopes(t *testing.T) {
	for what, row := range map[string]struct {
		path, form string
		listed     []string
		want       string // empty: refused
	}{
		"no scopes":                       {"authorize", "", nil, "<nil>"},
		"an empty field":                  {"authorize", "scopes=", nil, "<nil>"},
		"none are listed":                 {"authorize", "scopes=email", nil, ""},
		"in the query":                    {"authorize?scopes=email", "", nil, ""},
		"one of two is not listed":        {"authorize", "scopes=email,ads_management", []string{"email"}, ""},
		"all are listed":                  {"authorize", "scopes=email,user_posts", []string{"user_posts", "email"}, "[email user_posts]"},
		"a field for each, and by spaces": {"authorize", "scopes=email&scopes=user_posts+user_photos", []string{"user_posts", "email", "user_photos"}, "[email user_posts user_photos]"},
		"of an installation":              {"install", "scopes=ads_management", []string{"email"}, ""},
	} {
		t.Run(what, func(t *testing.T) {
			w, written := begins(t, row.path, row.form, authpipe.ConnectHandler{
				SignedIn: person(authpipe.Person{Actor: "alice", Tenant: "org_acme", MayInstall: true}), Scopes: row.listed, ReturnURL: returnURL,
			})
			switch {
			case row.want == "" && (w.Code != http.StatusBadRequest || len(written) > 0):
				t.Errorf("got %d, having written %v", w.Code, written)
			case row.want != "" && (w.Code != http.StatusSeeOther || fmt.Sprint(written[0]["scopes"]) != row.want):
				t.Errorf("got %d, having written %v", w.Code, written)
			}
		})
	}
}

// A browser can put anything into the form.
func TestConnectHandlerTakesOnlyScopesFromTheForm(t *testing.T) {
	form := url.Values{
		"tenant": {"org_evil"}, "user": {"eve"}, "actor": {"eve"}, "provider": {"evil"}, "for": {"installation"}, "return_url": {"https://evil.example.com/"},
		"redirect_uri": {"https://evil.example.com/"}, "completion": {"callback"}, "allow_account_change": {"true"}, "grant": {"sdk"}, "scopes": {"email"},
	}
	for what, row := range map[string]struct{ path, form string }{
		"in the body":  {"authorize", form.Encode()},
		"in the query": {"authorize?" + form.Encode(), ""},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			var written []byte
			d.intercept(func(r *http.Request) *http.Response {
				written, _ = json.Marshal(bodyOf(r))
				return d.page(200, map[string]any{"data": map[string]any{"authorization_url": "https://www.facebook.com/"}})
			})
			h := &authpipe.ConnectHandler{
				Client: newClient(t, d, authpipe.Options{}), SignedIn: person(authpipe.Person{Actor: "bob", Tenant: "org_acme"}), Scopes: []string{"email"}, ReturnURL: returnURL,
			}
			r := httptest.NewRequest(http.MethodPost, "https://app.example.com/facebook/"+row.path, strings.NewReader(row.form))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if want := `{"actor":"bob","return_url":"` + returnURL + `","scopes":["email"]}`; string(written) != want {
				t.Errorf("it has written %s, want %s", written, want)
			}
			if to := w.Header().Get("Location"); w.Code != http.StatusSeeOther || to != "https://www.facebook.com/" {
				t.Errorf("got %d, to %s", w.Code, to)
			}
			wantRequests(t, d, "PUT connect/"+bobs, 1)
			wantRequests(t, d, "PUT connect/", 1)
		})
	}
}

// A return URL is in logs and in the browser's history.
func TestReplayedReturnURLConnectsNothing(t *testing.T) {
	env := testEnvironment(t)
	client := newRealClient(t, env)
	env.connect(client, "replayed", "", alice)
	for what, relayed := range map[string]bool{"with a connect code": false, "with the provider's answer": true} {
		t.Run(what, func(t *testing.T) {
			app := newApplication(client)
			user := fmt.Sprint("bob-", relayed)
			if relayed {
				app.ReturnURL, app.RedirectURI = "", returnURL
			}
			came, err := env.browserOf(bobby, "replayed/"+user, app).post("https://app.example.com/facebook/authorize")
			if err != nil || len(app.connected) != 1 {
				t.Fatalf("connected %v; failed %v; %v", app.connected, app.failed, err)
			}
			used := came.path[slices.IndexFunc(came.path, func(u string) bool { return strings.HasPrefix(u, returnURL+"?") })]
			calls := env.facebook.Count(authpipetest.EndpointAccessToken)
			for _, cookie := range []string{"replayed/mallory", "elsewhere/mallory", "elsewhere/" + user} {
				app.failed = nil
				forged := used + "&" + url.Values{"actor": {user}, "user": {user}, "tenant": {"replayed"}}.Encode()
				if _, err := env.browserOf(maeve, cookie, app).get(forged); err != nil {
					t.Fatal(err)
				}
				want := authpipe.ErrActorMismatch
				if strings.HasPrefix(cookie, "elsewhere/") {
					want = authpipe.ErrNotFound
				}
				if len(app.connected) != 1 || len(app.failed) != 1 || !errors.Is(app.failed[0], want) {
					t.Errorf("%s: connected %v; failed %v", cookie, app.connected, app.failed)
				}
			}
			if _, err := env.browserOf(bobby, "replayed/"+user, app).get(used); err != nil || len(app.connected) != 2 || app.connected[1].Ref != app.connected[0].Ref {
				t.Errorf("the same person: connected %v; failed %v; %v", app.connected, app.failed, err)
			}
			if n := env.facebook.Count(authpipetest.EndpointAccessToken) - calls; n != 0 {
				t.Errorf("a code was sent %d times more", n)
			}
		})
	}
}

func refuseAll(*http.Request, authpipe.Person, *authpipe.ConnectRequest) error {
	return errors.New("alice is no admin")
}

func TestConnectSendsItsFields(t *testing.T) {
	for what, row := range map[string]struct {
		q    authpipe.ConnectRequest
		want string
	}{
		"the least":           {authpipe.ConnectRequest{Actor: "a"}, `{"actor":"a"}`},
		"where to return":     {authpipe.ConnectRequest{ReturnURL: "https://r", RedirectURI: "https://s"}, `{"redirect_uri":"https://s","return_url":"https://r"}`},
		"scopes":              {authpipe.ConnectRequest{Scopes: []string{"email", "x"}}, `{"scopes":["email","x"]}`},
		"declined scopes":     {authpipe.ConnectRequest{Reauthorize: true}, `{"reauthorize":true}`},
		"another account":     {authpipe.ConnectRequest{AllowAccountChange: true}, `{"allow_account_change":true}`},
		"a confirmed session": {authpipe.ConnectRequest{Completion: "confirm"}, `{"completion":"confirm"}`},
		"a device":            {authpipe.ConnectRequest{Device: true}, `{"grant":"device"}`},
		"the provider's SDK":  {authpipe.ConnectRequest{Grant: "sdk"}, `{"grant":"sdk"}`},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			var written []byte
			d.intercept(func(r *http.Request) *http.Response {
				written, _ = json.Marshal(bodyOf(r))
				return d.page(200, map[string]any{"data": map[string]any{}})
			})
			row.q.Tenant, row.q.User, row.q.For = "org_acme", "bob", authpipe.ForUser
			if _, err := newClient(t, d, authpipe.Options{}).Connect(t.Context(), row.q); err != nil || string(written) != row.want {
				t.Errorf("it has written %s, %v", written, err)
			}
			wantRequests(t, d, "PUT connect/"+bobs, 1)
		})
	}
}

func TestCompleteReturnsWarnings(t *testing.T) {
	d := newDouble(time.Now)
	d.intercept(func(*http.Request) *http.Response {
		return d.page(200, map[string]any{"data": map[string]any{"ref": bobs}, "warnings": []string{"two permissions were declined"}})
	})
	done, err := newClient(t, d, authpipe.Options{}).Complete(t.Context(), authpipe.Completion{
		Tenant: "org_acme", Session: authpipe.SessionOf("a state"), Actor: "bob", ConnectCode: authpipe.NewSecret("x"),
	})
	if err != nil || len(done.Warnings) != 1 {
		t.Errorf("got %+v, %v", done, err)
	}
}

func TestConnectHandlerKeepsActorAndTenantFromBegin(t *testing.T) {
	d := newDouble(time.Now)
	var actor string
	d.intercept(func(r *http.Request) *http.Response {
		actor = bodyOf(r)["actor"].(string)
		return d.page(200, map[string]any{"data": map[string]any{"authorization_url": "https://www.facebook.com/"}})
	})
	h := &authpipe.ConnectHandler{
		Client: newClient(t, d, authpipe.Options{}), SignedIn: signedIn, ReturnURL: returnURL,
		Begin: func(_ *http.Request, _ authpipe.Person, q *authpipe.ConnectRequest) error {
			q.Actor, q.User, q.Tenant = "another-actor", "another-user", "evil"
			return nil
		},
	}
	r := httptest.NewRequest(http.MethodPost, "https://app.example.com/facebook/authorize", nil)
	r.AddCookie(&http.Cookie{Name: "signed_in", Value: "t/alice"})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusSeeOther || actor != "alice" {
		t.Errorf("got %d, as %q", w.Code, actor)
	}
	wantRequests(t, d, "PUT connect/t/", 1)
}

func TestSessionOfIgnoresFragment(t *testing.T) {
	if got, want := authpipe.SessionOf("the-state#_=_"), authpipe.SessionOf("the-state"); got != want {
		t.Errorf("the session is %s, want %s", got, want)
	}
}
