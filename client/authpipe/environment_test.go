package authpipe_test

import (
	"context"
	"flag"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// The app and the people at Facebook, and the application's return URL.
const (
	appID, appSecret    = "1024222333444555", "0123456789abcdef0123456789abcdef"
	alice, bobby, maeve = "1000000001", "1000000002", "1000000003"
	pageOfAlice         = "900000000000001"
	returnURL           = "https://app.example.com/facebook/return"
)

// An environment is a real Vault with the engine, and a simulated Facebook.
type environment struct {
	server   *vaulttest.Server
	facebook *authpipetest.Facebook
	graph    string // the Facebook's base URL
	vault    *api.Client
	end      func()
}

// sharedEnvironment is shared by examples and tests. Each has its own tenant.
var sharedEnvironment = sync.OnceValue(func() *environment {
	env, err := newEnvironment(authpipetest.Options{})
	if err != nil {
		panic(err)
	}
	environmentStarted = true
	return env
})

var environmentStarted bool

var ctx = context.Background()

// plugin is the built program, which all environments share.
var plugin = sync.OnceValues(func() (program string, err error) {
	program, err = vaulttest.Build(root)
	if err == nil {
		pluginDir = filepath.Dir(program)
	}
	return program, err
})

var (
	root      = filepath.Join("..", "..")
	pluginDir string // TestMain removes it; empty: the plugin was not built
)

func newEnvironment(o authpipetest.Options) (*environment, error) {
	program, err := plugin()
	if err != nil {
		return nil, err
	}
	server, err := vaulttest.Start(root, program)
	if err != nil {
		return nil, err
	}
	facebook := authpipetest.NewFacebook(o)
	graph := httptest.NewServer(facebook)
	env := &environment{server: server, facebook: facebook, graph: graph.URL, end: func() { server.Stop(); graph.Close() }}
	callback := server.Addr + "/v1/authpipe/callback/facebook"
	facebook.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{callback, returnURL}})
	facebook.AddPage(authpipetest.Page{ID: pageOfAlice, Name: "Acme Inc."})
	facebook.AddUser(authpipetest.User{ID: alice, Name: "Alice Admin", Pages: []string{pageOfAlice}})
	facebook.AddUser(authpipetest.User{ID: bobby, Name: "Bob Member"})
	facebook.AddUser(authpipetest.User{ID: maeve, Name: "Maeve Mallory"})
	if env.vault, err = server.Client(); err == nil {
		err = env.vault.Sys().Mount("authpipe", &api.MountInput{Type: vaulttest.Plugin})
	}
	if err == nil {
		_, err = env.vault.Logical().Write("authpipe/config/facebook", map[string]any{
			"client_id": appID, "client_secret": appSecret, "redirect_uris": callback + "," + returnURL, "return_urls": returnURL,
			"dialog_url": graph.URL, "graph_url": graph.URL,
		})
	}
	if err != nil {
		env.end()
		return nil, err
	}
	return env, nil
}

// TestMain stops the shared environment. With -short it skips the examples, which need it and cannot skip themselves.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		_ = flag.Set("test.skip", "^Example")
	}
	code := m.Run()
	if environmentStarted {
		sharedEnvironment().end()
	}
	if pluginDir != "" {
		_ = os.RemoveAll(pluginDir)
	}
	os.Exit(code)
}

// testEnvironment is sharedEnvironment, for tests.
func testEnvironment(t *testing.T) *environment {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	return sharedEnvironment()
}

// A browser is one person's browser: it has cookies, follows redirects and the callback page's refresh, and consents to everything.
// The application is in memory, at https://app.example.com.
type browser struct {
	http     http.Client
	facebook *authpipetest.Facebook
	graph    string
	person   string // at Facebook
}

// browserOf returns the browser of a person that is signed in to the application, too: by a cookie with the person's name, which a
// real application must not do.
func (env *environment) browserOf(person, signedIn string, application http.Handler) *browser {
	jar, _ := cookiejar.New(nil)
	at, _ := url.Parse("https://app.example.com/")
	jar.SetCookies(at, []*http.Cookie{{Name: "signed_in", Value: signedIn}})
	return &browser{facebook: env.facebook, graph: env.graph, person: person, http: http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if r.URL.Host != "app.example.com" || application == nil {
				return http.DefaultTransport.RoundTrip(r)
			}
			page := httptest.NewRecorder()
			if r.Body == nil {
				r.Body = http.NoBody
			}
			application.ServeHTTP(page, r)
			resp := page.Result()
			resp.Request = r // to resolve a relative redirect
			return resp, nil
		}),
	}}
}

// signedIn is the application's login.
func signedIn(r *http.Request) (authpipe.Person, error) {
	cookie, err := r.Cookie("signed_in")
	if err != nil {
		return authpipe.Person{}, err
	}
	tenant, actor, _ := strings.Cut(cookie.Value, "/")
	return authpipe.Person{Tenant: tenant, Actor: actor, MayInstall: actor == "alice"}, nil
}

// A visit is the last page that a browser came to.
type visit struct {
	url    string
	status int
	text   string
	path   []string // the URLs on the way
}

func (b *browser) post(to string) (visit, error) {
	return b.visit(http.MethodPost, to, nil)
}

func (b *browser) get(to string) (visit, error) { return b.visit(http.MethodGet, to, nil) }

var nextPage = regexp.MustCompile(`http-equiv="refresh" content="0; ?url=([^"]+)"`)

func (b *browser) visit(method, to string, path []string) (visit, error) {
	if len(path) > 10 {
		return visit{}, fmt.Errorf("too many redirects: %v", path)
	}
	path = append(path, to)
	if strings.HasPrefix(to, b.graph) {
		back, err := b.facebook.Authorize(to, authpipetest.Consent{User: b.person})
		if err != nil {
			return visit{}, err
		}
		return b.visit(http.MethodGet, back.String(), path)
	}
	req, err := http.NewRequest(method, to, nil)
	if err != nil {
		return visit{}, err
	}
	resp, err := b.http.Do(req)
	if err != nil {
		return visit{}, err
	}
	defer resp.Body.Close()
	if next, err := resp.Location(); err == nil {
		return b.visit(http.MethodGet, next.String(), path)
	}
	body, err := io.ReadAll(resp.Body)
	if next := nextPage.FindSubmatch(body); next != nil {
		return b.visit(http.MethodGet, html.UnescapeString(string(next[1])), path)
	}
	return visit{url: to, status: resp.StatusCode, text: strings.TrimSpace(string(body)), path: path}, err
}

// come opens an authorization URL in a person's browser, and returns the query with which it comes back to the return URL.
func (env *environment) come(person, authorizationURL string) url.Values {
	var came url.Values
	browser := env.browserOf(person, "", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { came = r.URL.Query() }))
	if _, err := browser.get(authorizationURL); err != nil {
		panic(err)
	}
	return came
}

// connect connects a person's account, without an application.
func (env *environment) connect(client *authpipe.Client, tenant, user, person string) {
	whose := authpipe.ForInstallation
	if user != "" {
		whose = authpipe.ForUser
	}
	began, err := client.Connect(ctx, authpipe.ConnectRequest{Tenant: tenant, User: user, For: whose, Actor: "an-actor", ReturnURL: returnURL})
	if err != nil {
		panic(err)
	}
	came := env.come(person, began.AuthorizationURL)
	_, err = client.Complete(ctx, authpipe.Completion{
		Tenant: tenant, Session: came.Get("session_id"), Actor: "an-actor", ConnectCode: authpipe.NewSecret(came.Get("connect_code")),
	})
	if err != nil {
		panic(err)
	}
}
