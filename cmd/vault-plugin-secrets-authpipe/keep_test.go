package main_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// aTick is how long a test waits for what the engine does by itself: an entry waits for its minute to begin and then for
// Vault's tick, which comes once a minute.
const aTick = 3 * time.Minute

// TestKept has a token's life shortened to minutes, and makes no request from then on: the sweep refreshes it. But first
// the sweep meets a provider that hangs, a leader that steps down and a plugin that is killed.
func TestKept(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server and its minutes: left out with -short")
	}
	t.Parallel()
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	server := startRaft(t, findVault(t), buildPlugin(t))
	server.audit(t)
	w := &world{server: server, facebook: facebook}
	t.Cleanup(func() { w.inspect(t); server.stop(t); w.inspectLog(t) })
	w.mount(t, facebook.Start(t))
	w.connect(t, "org_acme/facebook/installation", alice)
	w.connect(t, "org_acme/facebook/users/bob", bob)
	const ref = "org_acme/facebook/users/bob"
	token := w.token(t, ref)

	exchanges := facebook.Count(authpipetest.EndpointExchangeToken)
	hang := facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true})
	facebook.SetTokenExpiry(token, time.Now().Add(3*time.Minute))
	server.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil)
	awaitCalls(t, facebook, exchanges+1)

	// The sweep is at it now, and hangs. What lives is served at once.
	within(t, 5*time.Second, "a read", func() { w.token(t, "org_acme/facebook/installation") })
	// So is a leader let go. (It takes 10 seconds to come back, of Vault's own.)
	within(t, 15*time.Second, "a change of leader", func() {
		server.call(t, http.MethodPut, "sys/step-down", nil)
		server.awaitActive(t)
	})
	// The new one takes up what is due by itself, and is killed in the middle of it.
	awaitCalls(t, facebook, exchanges+2)
	for _, pid := range vaulttest.ProcessesOf(server.plugin) {
		process, err := os.FindProcess(pid)
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	// On one day Facebook gives a token no more life than it had: give it some.
	facebook.SetTokenExpiry(token, time.Now().Add(time.Hour))
	hang()
	// The next tick starts the plugin again, and what was due is still due.
	awaitCalls(t, facebook, exchanges+3)
	server.await(t, "to serve the fresh token", func() bool { return w.token(t, ref) != token })
	if seen, _ := facebook.Inspect(w.token(t, ref)); !seen.Valid || seen.ExpiresAt.Before(time.Now().Add(50*time.Minute)) {
		t.Errorf("what is served is %+v", seen)
	}
}

// within fails the test if act takes longer than a call to a provider may: it waited for one.
func within(t *testing.T, d time.Duration, what string, act func()) {
	t.Helper()
	begun := time.Now()
	act()
	if took := time.Since(begun); took > d {
		t.Errorf("%s took %v: it waited for a provider that hangs", what, took)
	}
}

func awaitCalls(t *testing.T, facebook *authpipetest.Facebook, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), aTick)
	defer cancel()
	if err := facebook.AwaitCount(ctx, authpipetest.EndpointExchangeToken, n); err != nil {
		t.Fatal(err)
	}
}

// mount mounts and configures the engine for the first app at the Facebook under base.
func (w *world) mount(t *testing.T, base string) {
	t.Helper()
	callback := w.server.addr + "/v1/authpipe/callback/facebook"
	w.facebook.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}, RequireAppSecret: true})
	w.facebook.AddUser(authpipetest.User{ID: alice})
	w.facebook.AddUser(authpipetest.User{ID: bob})
	w.server.call(t, http.MethodPost, "sys/mounts/authpipe", map[string]any{"type": pluginName})
	w.server.call(t, http.MethodPost, "authpipe/config/facebook", map[string]any{
		"client_id": appID, "client_secret": appSecret, "redirect_uris": callback, "dialog_url": base, "graph_url": base,
	})
}

// connect runs a session to its end, as the person.
func (w *world) connect(t *testing.T, ref, person string) {
	t.Helper()
	begun := w.server.call(t, http.MethodPost, "authpipe/connect/"+ref, map[string]any{"actor": person})["data"].(map[string]any)
	back, err := w.facebook.Authorize(begun["authorization_url"].(string), authpipetest.Consent{User: person})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Get(back.String())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile(connectCode).FindSubmatch(page)
	if code == nil {
		t.Fatalf("no connect code in %s", page)
	}
	w.keep("CODE", string(code[1]))
	w.server.call(t, http.MethodPost, "authpipe/sessions/org_acme/"+begun["session_id"].(string)+"/complete",
		map[string]any{"actor": person, "connect_code": string(code[1])})
}

func (w *world) token(t *testing.T, ref string) string {
	t.Helper()
	answer, status := w.server.try(http.MethodGet, "authpipe/creds/"+ref, nil)
	if status != 200 {
		t.Fatalf("reading %s: status %d: %v", ref, status, answer)
	}
	return answer["data"].(map[string]any)["access_token"].(string)
}
