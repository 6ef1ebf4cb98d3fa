package flow_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// TestCallbackIsBoundToItsProvider is the mix-up attack (RFC 9700,
// section 4.4): of two providers one is the attacker's, who has the other's
// answer come to its callback. Each has a redirect URI of its own, and a
// session knows its provider.
func TestCallbackIsBoundToItsProvider(t *testing.T) {
	honest, evil := authpipetest.NewFacebook(authpipetest.Options{}), authpipetest.NewFacebook(authpipetest.Options{})
	f := newFlow(t, map[string]*authpipetest.Facebook{"honest": honest, "evil": evil})
	ctx := t.Context()
	begin := func(name string) (flow.Begun, flow.Answer) {
		t.Helper()
		begun, err := f.Begin(ctx, flow.Request{Ref: tenant.Ref{Tenant: "org_acme", Provider: name}, Actor: "admin"})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(begun.AuthorizationURL)
		if err != nil {
			t.Fatal(err)
		}
		if got := u.Query().Get("redirect_uri"); got != "https://e/callback/"+name {
			t.Errorf("%s sends its answers to %s", name, got)
		}
		return begun, flow.Answer{State: oauth.NewSecret(u.Query().Get("state")), Code: oauth.NewSecret("AQof-the-honest-provider")}
	}
	for _, way := range []struct{ session, callback string }{{"honest", "evil"}, {"evil", "honest"}} {
		begun, answer := begin(way.session)
		landing, err := f.Callback(ctx, way.callback, answer)
		if err != nil || !landing.Unknown || !landing.ConnectCode.IsZero() {
			t.Errorf("a session of %s at the callback of %s lands as %+v, %v", way.session, way.callback, landing, err)
		}
		if s, err := f.Session(ctx, "org_acme", begun.SessionID); err != nil || s.Status != store.SessionPending {
			t.Errorf("the session of %s is %s, %v", way.session, s.Status, err)
		}
	}
	// And a code goes to the provider of its session alone.
	begun, answer := begin("honest")
	if landing, err := f.Callback(ctx, "honest", answer); err != nil || landing.ConnectCode.IsZero() {
		t.Fatalf("%+v, %v", landing, err)
	}
	_, err := f.Complete(ctx, flow.Completion{Tenant: "org_acme", SessionID: begun.SessionID, Actor: "admin", Proof: flow.Proof{Answer: &answer}})
	if err == nil || honest.Count(authpipetest.EndpointAccessToken) != 1 || evil.Count("") != 0 {
		t.Errorf("the code was sent %d times to its provider and %d times to the other: %v", honest.Count(authpipetest.EndpointAccessToken), evil.Count(""), err)
	}
}

// newFlow returns a flow with a provider for each Facebook.
func newFlow(t *testing.T, facebooks map[string]*authpipetest.Facebook) *flow.Flow {
	t.Helper()
	yes, day := true, 24*time.Hour
	providers := map[string]provider.Provider{}
	s := store.New(store.Options{Storage: storagetest.New(), Now: time.Now})
	for name, fb := range facebooks {
		redirect := "https://e/callback/" + name
		fb.AddApp(authpipetest.App{ID: "123", Secret: "SEC", RedirectURIs: []string{redirect}})
		base := fb.Start(t)
		providers[name] = facebook.New(http.DefaultTransport, time.Now)
		err := s.Mount.UpdateConfig(t.Context(), name, func(store.Config) (store.Config, error) {
			return store.Config{
				ClientID: "123", ClientSecret: oauth.NewSecret("SEC"), RedirectURIs: []string{redirect}, InstallationScopes: []string{"email"}, APIVersion: "v26.0",
				PKCE: flow.PKCENever, Completion: flow.Confirm, RequireInstallation: &yes, Enabled: &yes, SessionTTL: time.Minute, CheckInterval: &day, ClientSecretOverlap: &day,
				AuthorizationBase: base, APIBase: base,
			}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	calls := breaker.New(breaker.Options{
		Store: s, Providers: providers, Now: time.Now, Log: hclog.NewNullLogger(), Writable: func() bool { return true }, Context: t.Context(),
	})
	return flow.New(flow.Options{
		Store: s, Providers: providers, Now: time.Now, Log: hclog.NewNullLogger(),
		Breaker: calls, Revoker: revoke.New(revoke.Options{Store: s, Breaker: calls, Now: time.Now, Log: hclog.NewNullLogger()}),
	})
}
