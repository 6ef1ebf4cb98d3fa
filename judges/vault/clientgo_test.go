package clients

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	vault "github.com/hashicorp/vault-client-go"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func newClientGo(t *testing.T, m mount) *vault.Client {
	t.Helper()
	client, err := vault.New(vault.WithAddress(m.addr), vault.WithRequestTimeout(patience))
	if err == nil {
		err = client.SetToken(m.vault.Token())
	}
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// refused fails the test unless the error has the status and a text of the engine's.
func refused(t *testing.T, err error, status int, code string) {
	t.Helper()
	var response *vault.ResponseError
	if !errors.As(err, &response) || !vault.IsErrorStatus(err, status) || !strings.Contains(strings.Join(response.Errors, "\n"), code) {
		t.Errorf("got %v, want status %d and the text %q", err, status, code)
	}
}

func TestVaultClientGoConnectsReadsListsAndDeletes(t *testing.T) {
	t.Parallel()
	m := newMount(t, "client-go")
	client, ctx := newClientGo(t, m), t.Context()

	begun, err := client.Write(ctx, "client-go/connect/org_acme/facebook/installation", map[string]any{"actor": "alice"})
	if err != nil {
		t.Fatal(err)
	}
	state, code := m.consent(t, begun.Data["authorization_url"], "ada")
	complete := fmt.Sprintf("client-go/sessions/org_acme/%v/complete", begun.Data["session_id"])
	connected, err := client.Write(ctx, complete, map[string]any{"actor": "alice", "state": state, "code": code})
	if err != nil || connected.Data["status"] != "active" {
		t.Fatalf("completing: %+v, %v", connected, err)
	}
	m.connect(t, "org_acme/facebook/users/"+bob, "bob")

	got, err := client.Read(ctx, "client-go/creds/org_acme/facebook/users/"+bob)
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["user_id"] != bob || !strings.HasPrefix(fmt.Sprint(got.Data["access_token"]), "EAA") || got.LeaseID != "" || len(got.Warnings) > 0 {
		t.Errorf("read %+v", got)
	}
	old := got.Data["access_token"]
	m.facebook.SetTokenExpiry(fmt.Sprint(old), time.Now().Add(30*time.Minute))
	m.write(t, "connections/org_acme/facebook/users/"+bob+"/check", nil)
	m.facebook.SetTokenExpiry(fmt.Sprint(old), time.Now().Add(2*time.Hour)) // so that the exchange returns a longer one
	got, err = client.Read(ctx, "client-go/creds/org_acme/facebook/users/"+bob,
		vault.WithQueryParameters(map[string][]string{"min_ttl": {"1h"}, "version": {"-1"}}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Data["access_token"] == old {
		t.Error("min_ttl did not refresh the token")
	}
	if !strings.Contains(strings.Join(got.Warnings, "\n"), `"version"`) {
		t.Errorf("the warnings do not name the unknown field: %q", got.Warnings)
	}

	listed, err := client.List(ctx, "client-go/creds/org_acme/facebook/users/")
	if err != nil {
		t.Fatal(err)
	}
	info, _ := listed.Data["key_info"].(map[string]any)
	one, _ := info[bob].(map[string]any)
	if keys, _ := listed.Data["keys"].([]any); !slices.Equal(keys, []any{any(bob)}) || one["status"] != "active" {
		t.Errorf("listed %+v", listed.Data)
	}

	wrapped, err := client.Read(ctx, "client-go/creds/org_acme/facebook/installation", vault.WithResponseWrapping(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	unwrapped, err := vault.Unwrap[map[string]any](ctx, client, wrapped.WrapInfo.Token)
	if err != nil || unwrapped.Data["access_token"] != m.token(t, "org_acme/facebook/installation") {
		t.Errorf("unwrapping: %+v, %v", unwrapped, err)
	}

	if _, err := client.Delete(ctx, "client-go/creds/org_acme/facebook/users/"+bob); err != nil {
		t.Error(err)
	}
	_, err = client.Read(ctx, "client-go/creds/org_acme/facebook/users/"+bob)
	refused(t, err, http.StatusNotFound, "not_found: ")
	_, err = client.List(ctx, "client-go/creds/org_acme/facebook/users/")
	refused(t, err, http.StatusNotFound, "")
}

func TestVaultClientGoErrorsHaveEngineText(t *testing.T) {
	t.Parallel()
	m := newMount(t, "client-go-errors")
	client, ctx := newClientGo(t, m), t.Context()
	const installation = "org_acme/facebook/installation"
	_, err := client.Write(ctx, "client-go-errors/connect/org_acme/facebook/users/u1", map[string]any{"actor": "u1"})
	refused(t, err, http.StatusConflict, "installation_required: ")
	_, err = client.Write(ctx, "client-go-errors/connect/"+installation, map[string]any{"actor": "ada", "return_uri": "https://app.example"})
	refused(t, err, http.StatusBadRequest, "did you mean return_url?")
	begun, err := client.Write(ctx, "client-go-errors/connect/"+installation, map[string]any{"actor": "ada"})
	if err != nil {
		t.Fatal(err)
	}
	state, code := m.consent(t, begun.Data["authorization_url"], "ada")
	complete := fmt.Sprintf("client-go-errors/sessions/org_acme/%v/complete", begun.Data["session_id"])
	_, err = client.Write(ctx, complete, map[string]any{"actor": "mallory", "state": state, "code": code})
	refused(t, err, http.StatusConflict, "actor_mismatch: ")
	m.connect(t, installation, "ada")

	patch := vault.WithRequestCallbacks(func(r *http.Request) {
		r.Method = http.MethodPatch
		r.Header.Set("Content-Type", "application/merge-patch+json")
	})
	_, err = client.Write(ctx, "client-go-errors/creds/"+installation, map[string]any{"access_token": "x"}, patch)
	refused(t, err, http.StatusMethodNotAllowed, "unsupported operation")

	// The client retries 429 and 5xx. The engine answers these from memory, so a retry makes no call to Facebook.
	m.facebook.Throttle(authpipetest.Throttle{App: appID, CallCount: 100})
	before := m.facebook.Count(authpipetest.EndpointExchangeToken)
	_, err = client.Write(ctx, "client-go-errors/connections/"+installation+"/refresh", nil)
	refused(t, err, http.StatusTooManyRequests, "throttled: ")
	if calls := m.facebook.Count(authpipetest.EndpointExchangeToken) - before; calls != 1 {
		t.Errorf("a throttled refresh and its retries make %d calls, want 1", calls)
	}
	if _, err := client.Read(ctx, "client-go-errors/creds/"+installation); err != nil {
		t.Errorf("reading while throttled: %v", err)
	}

	m = newMount(t, "client-go-outage")
	m.connect(t, installation, "ada")
	m.facebook.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "<h1>Sorry</h1>"})
	_, err = client.Write(ctx, "client-go-outage/connections/"+installation+"/refresh", nil)
	refused(t, err, http.StatusBadGateway, "unavailable: ")

	m.write(t, "tenants/org_acme", map[string]any{"suspended": true})
	_, err = client.Read(ctx, "client-go-outage/creds/"+installation)
	refused(t, err, http.StatusConflict, "suspended: ")
}
