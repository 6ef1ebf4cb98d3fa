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

// The app and the people, as Facebook's own books know them, and where the application is.
const (
	appID, appSecret    = "1024222333444555", "0123456789abcdef0123456789abcdef"
	alice, bobby, maeve = "1000000001", "1000000002", "1000000003"
	pageOfAlice         = "900000000000001"
	returnURL           = "https://app.example.com/facebook/return"
)

// A world is a real Vault with the engine in it, and a Facebook.
type world struct {
	server   *vaulttest.Server
	facebook *authpipetest.Facebook
	graph    string // the Facebook's base URL
	vault    *api.Client
	end      func()
}

// theWorld is the one that examples and tests share. Each has a tenant to itself.
var theWorld = sync.OnceValue(func() *world {
	w, err := newWorld(authpipetest.Options{})
	if err != nil {
		panic(err)
	}
	worldIsUp = true
	return w
})

var worldIsUp bool

var ctx = context.Background()

// plugin is the built program, which all worlds share.
var plugin = sync.OnceValues(func() (program string, err error) {
	program, err = vaulttest.Build(root)
	if err == nil {
		pluginDir = filepath.Dir(program)
	}
	return program, err
})

var (
	root      = filepath.Join("..", "..")
	pluginDir string // what TestMain removes; empty: nothing was built
)

func newWorld(o authpipetest.Options) (*world, error) {
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
	w := &world{server: server, facebook: facebook, graph: graph.URL, end: func() { server.Stop(); graph.Close() }}
	callback := server.Addr + "/v1/authpipe/callback/facebook"
	facebook.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{callback, returnURL}})
	facebook.AddPage(authpipetest.Page{ID: pageOfAlice, Name: "Acme Inc."})
	facebook.AddUser(authpipetest.User{ID: alice, Name: "Alice Admin", Pages: []string{pageOfAlice}})
	facebook.AddUser(authpipetest.User{ID: bobby, Name: "Bob Member"})
	facebook.AddUser(authpipetest.User{ID: maeve, Name: "Maeve Mallory"})
	if w.vault, err = server.Client(); err == nil {
		err = w.vault.Sys().Mount("authpipe", &api.MountInput{Type: vaulttest.Plugin})
	}
	if err == nil {
		_, err = w.vault.Logical().Write("authpipe/config/facebook", map[string]any{
			"client_id": appID, "client_secret": appSecret, "redirect_uris": callback + "," + returnURL, "return_urls": returnURL,
			"dialog_url": graph.URL, "graph_url": graph.URL,
		})
	}
	if err != nil {
		w.end()
		return nil, err
	}
	return w, nil
}

// TestMain stops the world. Examples need it, and cannot be skipped one by one.
func TestMain(m *testing.M) {
	flag.Parse()
	if testing.Short() {
		_ = flag.Set("test.skip", "^Example")
	}
	code := m.Run()
	if worldIsUp {
		theWorld().end()
	}
	if pluginDir != "" {
		_ = os.RemoveAll(pluginDir)
	}
	os.Exit(code)
}

// realWorld is theWorld, for tests.
func realWorld(t *testing.T) *world {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Vault server, which takes its time: left out with -short")
	}
	return theWorld()
}

// A browser is that of one person: it has cookies, follows redirects and the callback page's, and consents to what it is asked.
// The application is in memory, at https://app.example.com.
type browser struct {
	http     http.Client
	facebook *authpipetest.Facebook
	graph    string
	person   string // at Facebook
}

// browserOf returns the browser of somebody who is signed in to the application, too. (By a cookie that says who. Do not.)
func (w *world) browserOf(person, signedIn string, application http.Handler) *browser {
	jar, _ := cookiejar.New(nil)
	at, _ := url.Parse("https://app.example.com/")
	jar.SetCookies(at, []*http.Cookie{{Name: "signed_in", Value: signedIn}})
	return &browser{facebook: w.facebook, graph: w.graph, person: person, http: http.Client{
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
			answer := page.Result()
			answer.Request = r // to resolve where it redirects to
			return answer, nil
		}),
	}}
}

// signedIn is the application's login.
func signedIn(r *http.Request) (authpipe.Person, error) {
	who, err := r.Cookie("signed_in")
	if err != nil {
		return authpipe.Person{}, err
	}
	tenant, actor, _ := strings.Cut(who.Value, "/")
	return authpipe.Person{Tenant: tenant, Actor: actor, MayInstall: actor == "alice"}, nil
}

// A visit is where a browser came to in the end.
type visit struct {
	url    string
	status int
	text   string
	path   []string // the URLs that it came through
}

func (b *browser) post(to string) (visit, error) {
	return b.visit(http.MethodPost, to, nil)
}

func (b *browser) get(to string) (visit, error) { return b.visit(http.MethodGet, to, nil) }

var nextPage = regexp.MustCompile(`http-equiv="refresh" content="0; ?url=([^"]+)"`)

func (b *browser) visit(method, to string, path []string) (visit, error) {
	if len(path) > 10 {
		return visit{}, fmt.Errorf("going round in circles: %v", path)
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

// come is the browser of a person who is sent to an authorization URL, and comes back to the return URL with its query.
func (w *world) come(person, authorizationURL string) url.Values {
	var came url.Values
	browser := w.browserOf(person, "", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { came = r.URL.Query() }))
	if _, err := browser.get(authorizationURL); err != nil {
		panic(err)
	}
	return came
}

// connect connects somebody, without any application.
func (w *world) connect(client *authpipe.Client, tenant, user, person string) {
	whose := authpipe.ForInstallation
	if user != "" {
		whose = authpipe.ForUser
	}
	began, err := client.Connect(ctx, authpipe.ConnectRequest{Tenant: tenant, User: user, For: whose, Actor: "somebody", ReturnURL: returnURL})
	if err != nil {
		panic(err)
	}
	came := w.come(person, began.AuthorizationURL)
	_, err = client.Complete(ctx, authpipe.Completion{
		Tenant: tenant, Session: came.Get("session_id"), Actor: "somebody", ConnectCode: authpipe.NewSecret(came.Get("connect_code")),
	})
	if err != nil {
		panic(err)
	}
}
