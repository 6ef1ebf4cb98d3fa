package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// The two tests give a token a short lifetime, and make no request from then on: the sweep refreshes it. They wait two minutes,
// for Vault's ticks.

// TestNewLeaderRefreshesWithoutRequests has the leader step down while the sweep's call hangs.
func TestNewLeaderRefreshesWithoutRequests(t *testing.T) {
	testSweepInTrouble(t, func(h hangingSweep) error {
		// A read of another token does not wait for the sweep's call.
		h.token(t, "org_acme/facebook/installation")
		if !h.held() {
			return errors.New("a read returned only after the sweep's call")
		}
		// The leader steps down without waiting for the call, which is cancelled.
		called := h.lastCall(exchangeToken)
		ended := make(chan time.Duration, 1)
		go func() {
			_ = vaulttest.Await("the sweep's call to end", patience, nil, func() error {
				if h.held() && h.lastCall(exchangeToken).Equal(called) {
					return errors.New("it hangs")
				}
				return nil
			})
			ended <- time.Since(called)
		}()
		h.server.stepDown(t)
		if took := <-ended; took >= callTimeout {
			return fmt.Errorf("the leader stepped down, and the sweep's call went on for %v", took)
		}
		return nil
	})
}

// TestSweepRefreshesAfterPluginCrash kills the plugin while the sweep's call hangs.
func TestSweepRefreshesAfterPluginCrash(t *testing.T) {
	testSweepInTrouble(t, func(h hangingSweep) error {
		if !h.held() {
			return errors.New("the call ended before the plugin was killed")
		}
		killPlugins(t, h.server)
		return nil
	})
}

// A hangingSweep is a Vault whose sweep waits for Facebook, which does not answer.
type hangingSweep struct{ *environment }

const exchangeToken = authpipetest.EndpointExchangeToken

// held reports whether the sweep's call hangs.
func (h hangingSweep) held() bool { return h.facebook.Held(exchangeToken) > 0 }

// testSweepInTrouble has a sweep's call hang, makes trouble, and checks that the due work is then done without a request. The
// engine gives up a call after 10 seconds. On a slow machine trouble may come later, and then returns an error: that proves
// nothing, and all is tried again.
func testSweepInTrouble(t *testing.T, trouble func(hangingSweep) error) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Vault server and its minutes: left out with -short")
	}
	t.Parallel()
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	server := startRaft(t, findVault(t), buildPlugin(t))
	server.audit(t)
	w := &environment{server: server, facebook: facebook}
	t.Cleanup(func() { w.inspect(t); server.stop(t); w.inspectLog(t) })
	w.mount(t, facebook.Start(t))
	w.connect(t, "org_acme/facebook/installation", alice)

	const attempts = 5
	for n := 1; ; n++ {
		late := w.sweepInTrouble(t, trouble)
		if late == nil {
			return
		}
		if n == attempts {
			t.Fatalf("%d times in a row: %v", n, late)
		}
		t.Logf("attempt %d proves nothing: %v", n, late)
	}
}

// sweepInTrouble returns the error of trouble, if that came too late.
func (w *environment) sweepInTrouble(t *testing.T, trouble func(hangingSweep) error) (late error) {
	t.Helper()
	const ref = "org_acme/facebook/users/bob"
	w.connect(t, ref, bob)
	token := w.token(t, ref)

	exchanges := w.facebook.Count(exchangeToken)
	release := w.facebook.Fail(authpipetest.Fault{Endpoint: exchangeToken, Hang: true})
	defer release()
	w.facebook.SetTokenExpiry(token, time.Now().Add(4*time.Minute))
	w.server.call(t, http.MethodPost, "authpipe/connections/"+ref+"/check", nil)
	awaitCalls(t, w.facebook, exchangeToken, exchanges+1)
	if late := trouble(hangingSweep{w}); late != nil {
		return late
	}
	// Within a day Facebook extends no token, so set its expiry.
	w.facebook.SetTokenExpiry(token, time.Now().Add(2*time.Hour))
	release()
	// The next tick starts the plugin again, and the work is still due.
	awaitCalls(t, w.facebook, exchangeToken, exchanges+2)
	await(t, "the fresh token to be served", func() error {
		answer, err := w.server.request(http.MethodGet, "authpipe/creds/"+ref, nil)
		if err != nil || answer.status != http.StatusOK {
			return errors.Join(err, answer.error())
		}
		if answer.body["data"].(map[string]any)["access_token"] == token {
			return errors.New("it is the former token")
		}
		return nil
	})
	if seen, _ := w.facebook.Inspect(w.token(t, ref)); !seen.Valid || seen.ExpiresAt.Before(time.Now().Add(50*time.Minute)) {
		t.Errorf("the served token is %+v", seen)
	}
	return nil
}

// callTimeout is when the engine gives up a call to the provider.
const callTimeout = 10 * time.Second

// lastCall returns when an endpoint of Facebook's was last called.
func (w *environment) lastCall(endpoint string) (at time.Time) {
	for _, r := range w.facebook.Requests() {
		if r.Endpoint == endpoint {
			at = r.Time
		}
	}
	return at
}

// killPlugins kills the processes of a server's plugin, as a crash would.
func killPlugins(t *testing.T, server *vaultServer) {
	t.Helper()
	for _, pid := range vaulttest.ProcessesOf(server.plugin) {
		process, err := os.FindProcess(pid)
		if err == nil {
			err = process.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// awaitCalls waits until an endpoint of Facebook's has been called n times in all.
func awaitCalls(t *testing.T, facebook *authpipetest.Facebook, endpoint string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := facebook.AwaitCount(ctx, endpoint, n); err != nil {
		t.Fatal(err)
	}
}

// mount mounts and configures the engine for the first app at the Facebook under base.
func (w *environment) mount(t *testing.T, base string) {
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

// connect runs a session to its end for a person.
func (w *environment) connect(t *testing.T, ref, person string) {
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

func (w *environment) token(t *testing.T, ref string) string {
	t.Helper()
	answer, status := w.server.try(http.MethodGet, "authpipe/creds/"+ref, nil)
	if status != 200 {
		t.Fatalf("reading %s: status %d: %v", ref, status, answer)
	}
	return answer["data"].(map[string]any)["access_token"].(string)
}
