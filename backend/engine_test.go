package backend_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

const (
	appID     = "123"
	appSecret = "s3cr3t-of-the-app-0123456789abcdef"
	mountURL  = "https://vault.example.com/v1/authpipe"
	returnURL = "https://app.example.com/connected?from=authpipe"
)

// build is the one that the engines under test take themselves to be.
var build = version.Build{Version: "v1.2.3", Commit: "c0ffee", Date: time.Date(2026, time.December, 1, 8, 0, 0, 0, time.UTC), Go: "go1.99"}

// An engine is the engine under test, driven as Vault drives it, with the
// world around it.
type engine struct {
	*backend.Backend
	t       testing.TB
	storage *storagetest.Storage
	fb      *authpipetest.Facebook
	clock   *authpipetest.Clock
	base    string
	link    http.RoundTripper // to fb
	log     *strings.Builder
	ends    sync.Map
}

// newEngine returns an engine that is configured for a Facebook where Ada, an
// admin with two pages, and Uma and Udo have accounts.
func newEngine(t testing.TB, o authpipetest.Options) *engine {
	t.Helper()
	return newEngineOver(t, o, func(fb *authpipetest.Facebook) (string, http.RoundTripper) {
		return fb.Start(t), unhurried{http.DefaultTransport}
	})
}

// newBubbleEngine is newEngine for a test with [synctest.Test]: Facebook answers
// in memory, so that the time limits of calls pass by the bubble's clock.
func newBubbleEngine(t testing.TB, o authpipetest.Options) *engine {
	t.Helper()
	e := newEngineOver(t, o, func(fb *authpipetest.Facebook) (string, http.RoundTripper) {
		return "https://graph.example.com", fb.Transport()
	})
	t.Cleanup(func() { e.Cleanup(context.Background()) }) // before checkMemory
	return e
}

func newEngineOver(t testing.TB, o authpipetest.Options, reach func(*authpipetest.Facebook) (base string, link http.RoundTripper)) *engine {
	t.Helper()
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	o.Now = clock.Now
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{mountURL + "/callback/facebook", "https://app.example.com/oauth"}})
	fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A"})
	fb.AddPage(authpipetest.Page{ID: "778", Name: "Page B"})
	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Pages: []string{"777", "778"}})
	fb.AddUser(authpipetest.User{ID: "uma", Name: "Uma User"})
	fb.AddUser(authpipetest.User{ID: "udo", Name: "Udo User"})
	e := &engine{t: t, storage: storagetest.New(), fb: fb, clock: clock, log: &strings.Builder{}}
	e.base, e.link = reach(fb)
	e.restart()
	t.Cleanup(e.checkMemory)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{
		"client_id": appID, "client_secret": appSecret,
		"redirect_uris": []string{mountURL + "/callback/facebook", "https://app.example.com/oauth"},
		"return_urls":   []string{returnURL},
		"dialog_url":    e.base, "graph_url": e.base,
	})
	return e
}

// restart drops the engine as a crash would and makes another over the same
// storage.
func (e *engine) restart() { e.restartOn(logicalSystem()) }

func (e *engine) restartOn(system logical.SystemView) {
	e.t.Helper()
	e.storage.Reset()
	b, err := backend.New(context.Background(), &logical.BackendConfig{
		StorageView: e.storage,
		System:      system,
		Logger:      hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: e.log}),
	}, backend.Options{Now: e.clock.Now, Transport: panics{e.link, e.t, &e.ends}, Build: build})
	if err != nil {
		e.t.Fatalf("making the engine: %v", err)
	}
	e.Backend = b
}

// node returns another node's engine over the same storage.
func (e *engine) node(system logical.SystemView) *engine {
	e.t.Helper()
	other := &engine{t: e.t, storage: e.storage, fb: e.fb, clock: e.clock, base: e.base, link: e.link, log: e.log}
	other.restartOn(system)
	return other
}

// checkMemory compares what the engine remembers with what an engine reads that
// knows nothing. It ends every test.
func (e *engine) checkMemory() {
	e.t.Helper()
	cold := e.node(logicalSystem())
	keys, err := e.storage.Keys(context.Background(), "")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, key := range keys {
		path := key
		if ref, ok := strings.CutPrefix(key, "cred/"); ok {
			path = "connections/" + ref
		} else if !strings.HasPrefix(key, "config/") && key != "settings" {
			continue
		}
		want, wantErr := cold.do(logical.ReadOperation, path, nil)
		got, err := e.do(logical.ReadOperation, path, nil)
		if diff := cmp.Diff(want, got); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			e.t.Errorf("%s is remembered otherwise than it is stored (%v, %v): %s", path, wantErr, err, diff)
		}
	}
}

// plant puts bytes into storage as another node would, and tells the engine of
// it as Vault does.
func (e *engine) plant(key string, value []byte) {
	e.t.Helper()
	ctx := context.Background()
	if err := e.storage.Storage.Put(ctx, &logical.StorageEntry{Key: key, Value: value}); err != nil {
		e.t.Fatal(err)
	}
	e.InvalidateKey(ctx, key)
}

// logicalSystem is a system view that knows the caller and nothing about it.
func logicalSystem() logical.SystemView {
	return &logical.StaticSystemView{EntityVal: &logical.Entity{ID: "entity-1"}}
}

// panics is a transport that panics where a request asks for it. It holds each
// call to the time that it may take.
type panics struct {
	http.RoundTripper
	t    testing.TB
	ends *sync.Map // when each call must be over
}

func (p panics) RoundTrip(r *http.Request) (*http.Response, error) {
	if end, ok := r.Context().Deadline(); !ok || time.Until(end) > 10*time.Second {
		p.t.Errorf("a call to %s may take until %v", r.URL.Path, end)
	} else {
		p.ends.Store(end, true)
	}
	if strings.Contains(r.URL.Path, "v99.9") {
		panic("a provider's answer that nobody thought of")
	}
	return p.RoundTripper.RoundTrip(r)
}

// unhurried is a transport whose calls end with their context, but for its
// deadline. The simulated Facebook answers at once, or when the test says so: a
// call would come too late because the machine stood still.
type unhurried struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (u unhurried) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	context.AfterFunc(r.Context(), func() {
		if r.Context().Err() != context.DeadlineExceeded {
			cancel()
		}
	})
	return u.RoundTripper.RoundTrip(r.WithContext(ctx))
}

func (e *engine) do(op logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	return e.HandleRequest(context.Background(), &logical.Request{
		Operation: op, Path: path, Data: data, Storage: e.storage, EntityID: "entity-1", DisplayName: "token-app",
	})
}

func (e *engine) must(op logical.Operation, path string, data map[string]any) map[string]any {
	e.t.Helper()
	resp, err := e.do(op, path, data)
	if err != nil {
		e.t.Fatalf("%s %s: %v", op, path, err)
	}
	if resp == nil {
		return nil
	}
	if resp.IsError() {
		e.t.Fatalf("%s %s: %v", op, path, resp.Error())
	}
	return resp.Data
}

func (e *engine) read(path string) map[string]any {
	e.t.Helper()
	return e.must(logical.ReadOperation, path, nil)
}

// refused checks that a request fails with the code of the API and its HTTP
// status, and returns the text.
func (e *engine) refused(code string, status int, op logical.Operation, path string, data map[string]any) string {
	e.t.Helper()
	resp, err := e.do(op, path, data)
	if err == nil {
		e.t.Fatalf("%s %s was answered %v, want %s", op, path, resp, code)
	}
	checkCode(e.t, err, code, status)
	return err.Error()
}

func checkCode(t testing.TB, err error, code string, status int) {
	t.Helper()
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != status || !strings.HasPrefix(err.Error(), code+": ") {
		t.Fatalf("error is %v, want %s with status %d", err, code, status)
	}
}

// A page is what a browser sees.
type page struct {
	status int
	html   string
}

var (
	refreshURL  = regexp.MustCompile(`<meta http-equiv="refresh" content="0; url=([^"]*)">`)
	connectCode = regexp.MustCompile(`<code>([A-Z2-7-]+)</code>`)
)

// returned is the URL that the page moves the browser on to.
func (p page) returned(t testing.TB) *url.URL {
	t.Helper()
	m := refreshURL.FindStringSubmatch(p.html)
	if m == nil {
		t.Fatalf("the page moves the browser nowhere:\n%s", p.html)
	}
	u, err := url.Parse(html.UnescapeString(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// code is the connect code that the page shows.
func (p page) code(t testing.TB) string {
	t.Helper()
	m := connectCode.FindStringSubmatch(p.html)
	if m == nil {
		t.Fatalf("the page shows no connect code:\n%s", p.html)
	}
	return m[1]
}

// callback brings what the provider sent to the callback, as a browser does.
func (e *engine) callback(back *url.URL) page {
	e.t.Helper()
	p, err := e.tryCallback(back)
	if err != nil {
		e.t.Fatalf("callback: %v", err)
	}
	return p
}

func (e *engine) tryCallback(back *url.URL) (page, error) {
	data := map[string]any{}
	for name, values := range back.Query() {
		data[name] = values[0]
	}
	resp, err := e.HandleRequest(context.Background(), &logical.Request{
		Operation: logical.ReadOperation, Path: "callback/facebook", Data: data, Storage: e.storage, Unauthenticated: true,
	})
	if err != nil {
		return page{}, err
	}
	return page{resp.Data[logical.HTTPStatusCode].(int), string(resp.Data[logical.HTTPRawBody].([]byte))}, nil
}

// A session is one that was begun.
type session struct{ id, url, path string }

func (e *engine) begin(ref string, data map[string]any) session {
	e.t.Helper()
	answer := e.must(logical.UpdateOperation, "connect/"+ref, data)
	id := answer["session_id"].(string)
	return session{id, answer["authorization_url"].(string), "sessions/" + strings.SplitN(ref, "/", 2)[0] + "/" + id}
}

func (e *engine) consent(s session, c authpipetest.Consent) *url.URL {
	e.t.Helper()
	back, err := e.fb.Authorize(s.url, c)
	if err != nil {
		e.t.Fatalf("at the dialog: %v", err)
	}
	return back
}

const (
	installation = "org_acme/facebook/installation"
	uma          = "org_acme/facebook/users/uma"
	udo          = "org_acme/facebook/users/udo"
)

// connect runs a whole session and returns the connection.
func (e *engine) connect(ref, actor string, c authpipetest.Consent, more ...string) map[string]any {
	e.t.Helper()
	data := map[string]any{"actor": actor}
	for i := 0; i < len(more); i += 2 {
		data[more[i]] = more[i+1]
	}
	s := e.begin(ref, data)
	code := e.callback(e.consent(s, c)).code(e.t)
	return e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": actor, "connect_code": code})
}

func (e *engine) install() map[string]any {
	e.t.Helper()
	return e.connect(installation, "admin", authpipetest.Consent{User: "ada"})
}

// get asks the provider directly and returns the status.
func (e *engine) get(path string) int {
	e.t.Helper()
	resp, err := http.Get(e.base + path)
	if err != nil {
		e.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}
