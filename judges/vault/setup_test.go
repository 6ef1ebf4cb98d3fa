package clients

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

const (
	appID     = "1234567890123456"
	appSecret = "facebook-simulator-secret"
	callback  = "https://app.example/callback"
	pageID    = "100000000000777"

	patience = vaulttest.Patience
	// bob has every character that a user's id may have besides letters and digits.
	bob = "auth0|bob.b_b-b+b=b~b:b@example.com"
)

var root = filepath.Join("..", "..")

// server is the Vault that all tests share. Each test has its own mount and Facebook, so that an outage in one test does not affect
// another.
var server = sync.OnceValues(func() (*vaulttest.Server, error) {
	program, err := vaulttest.Build(root)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(program)) // the server has a copy
	s, err := vaulttest.Start(root, program)
	if err == nil {
		stop = s.Stop
	}
	return s, err
})

// stop stops the shared Vault.
var stop = func() {}

func TestMain(m *testing.M) {
	code := m.Run()
	stop()
	removeConsulTemplate()
	os.Exit(code)
}

// A mount is the engine at a path, and its Facebook.
type mount struct {
	path     string // without a slash at its end
	addr     string // of Vault
	facebook *authpipetest.Facebook
	graph    string      // the Facebook's base URL
	vault    *api.Client // with the root token
}

// newMount mounts the engine, configured for an app of a Facebook where Ada and Bob have accounts.
func newMount(t *testing.T, path string) mount {
	t.Helper()
	s, err := server()
	if err != nil {
		t.Fatal(err)
	}
	fb := authpipetest.NewFacebook(authpipetest.Options{})
	web := httptest.NewServer(fb)
	t.Cleanup(web.Close)
	fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{callback}})
	fb.AddPage(authpipetest.Page{ID: pageID, Name: "Ada's Bakery"})
	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Pages: []string{pageID}})
	fb.AddUser(authpipetest.User{ID: "bob", Name: "Bob Member"})
	vault, err := s.Client()
	if err != nil {
		t.Fatal(err)
	}
	if err := vault.Sys().Mount(path, &api.MountInput{Type: vaulttest.Plugin}); err != nil {
		t.Fatal(err)
	}
	m := mount{path, s.Addr, fb, web.URL, vault}
	m.write(t, "config/facebook", map[string]any{
		"client_id": appID, "client_secret": appSecret, "redirect_uris": callback, "dialog_url": web.URL, "graph_url": web.URL,
	})
	return m
}

// write writes to a path below the mount.
func (m mount) write(t *testing.T, path string, data map[string]any) map[string]any {
	t.Helper()
	secret, err := m.vault.Logical().Write(m.path+"/"+path, data)
	if err != nil {
		t.Fatal(err)
	}
	if secret == nil {
		return nil
	}
	return secret.Data
}

// read reads a path below the mount.
func (m mount) read(t *testing.T, path string) map[string]any {
	t.Helper()
	secret, err := m.vault.Logical().Read(m.path + "/" + path)
	if err != nil || secret == nil {
		t.Fatalf("reading %s: %v, %v", path, secret, err)
	}
	return secret.Data
}

// token reads the access token of a ref.
func (m mount) token(t *testing.T, ref string) string {
	t.Helper()
	return fmt.Sprint(m.read(t, "creds/"+ref)["access_token"])
}

// consent consents at the dialog as the person, and returns what the application relays.
func (m mount) consent(t *testing.T, authorizationURL any, person string) (state, code string) {
	t.Helper()
	back, err := m.facebook.Authorize(fmt.Sprint(authorizationURL), authpipetest.Consent{User: person})
	if err != nil {
		t.Fatal(err)
	}
	return back.Query().Get("state"), back.Query().Get("code")
}

// connect connects a person.
func (m mount) connect(t *testing.T, ref, person string) {
	t.Helper()
	begun := m.write(t, "connect/"+ref, map[string]any{"actor": person})
	state, code := m.consent(t, begun["authorization_url"], person)
	tenant, _, _ := strings.Cut(ref, "/")
	m.write(t, fmt.Sprintf("sessions/%s/%v/complete", tenant, begun["session_id"]), map[string]any{"actor": person, "state": state, "code": code})
}
