package facebook_test

import (
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

func TestWhatDebugTokenLeavesOutIsKept(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for body, want := range map[string]time.Time{
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9"}}`:                           token.ExpiresAt,
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":null}}`:         token.ExpiresAt,
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":-1}}`:           token.ExpiresAt,
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":0}}`:            {},
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":999999999999}}`: {},
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":1900000000}}`:   time.Unix(1900000000, 0),
	} {
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: body})
		got, err := w.Inspect(t.Context(), w.client, token)
		clear()
		if err != nil || !got.ExpiresAt.Equal(want) || got.Account != "9" {
			t.Errorf("%s: expires at %v, %v", body, got.ExpiresAt, err)
		}
	}
}

// TestWhatExpiresInSaysIsNotTrusted has the token endpoint say nothing useful
// of a token's life: debug_token says it.
func TestWhatExpiresInSaysIsNotTrusted(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for _, said := range []string{`,"expires_in":"5183944"`, `,"expires_in":null`, `,"expires_in":0`, `,"expires_in":-5`, ``} {
		body := `{"access_token":"` + token.AccessToken.Reveal() + `"` + said + `}`
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Body: body})
		got, err := w.Refresh(t.Context(), w.client, token)
		if err != nil || !got.ExpiresAt.Equal(token.ExpiresAt) || got.ExpiryUnknown {
			t.Errorf("refreshed with %q it expires at %v: %v", said, got.ExpiresAt, err)
		}
		clear()
		clear = w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccessToken, Body: body})
		if got, err = w.Exchange(t.Context(), w.client, provider.Grant{Code: oauth.NewSecret("AQ"), RedirectURI: redirectURI}); err == nil {
			got, err = w.Settle(t.Context(), w.client, got)
		}
		if err != nil || !got.ExpiresAt.Equal(token.ExpiresAt) || got.ExpiryUnknown {
			t.Errorf("obtained with %q it expires at %v: %v", said, got.ExpiresAt, err)
		}
		clear()
	}
}

func TestATokenIsSettledAgainAfterAFailure(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.clock.Advance(55 * 24 * time.Hour) // it has five days left
	young := oauth.Token{AccessToken: token.AccessToken, ExpiryUnknown: true}
	clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Status: 500, Error: &authpipetest.GraphError{Code: 2}})
	if _, err := w.Settle(t.Context(), w.client, young); provider.ClassOf(err) != provider.Transient || err == nil {
		t.Errorf("while it cannot be extended: %v", err)
	}
	clear()
	got, err := w.Settle(t.Context(), w.client, young)
	if err != nil || got.ExpiresAt.Sub(w.clock.Now()) < 59*24*time.Hour {
		t.Errorf("settled it expires at %v, %v", got.ExpiresAt, err)
	}
}

func TestATokenOfAnotherAppIsRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.AddApp(authpipetest.App{ID: "124", Secret: appSecret, RedirectURIs: []string{redirectURI}})
	w.client.ID = "124"
	if _, err := w.Inspect(t.Context(), w.client, token); provider.ClassOf(err) != provider.Caller {
		t.Errorf("inspecting it: %v", err)
	}
}

func TestATokenOfAnotherAppIsNotTakenForOurs(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"999","user_id":"9","expires_at":0}}`})
	if _, err := w.Inspect(t.Context(), w.client, token); provider.ClassOf(err) != provider.Caller {
		t.Errorf("inspecting it: %v", err)
	}
}

// TestOneOddTargetDoesNotHideTheOthers also keeps a scope that was narrowed to
// a target that is not understood from reading as one that was granted for all.
func TestOneOddTargetDoesNotHideTheOthers(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for targets, want := range map[string][]string{
		`"act_1",{"a":1},null,"777",778`: {"777", "778", "act_1", "null", `{"a":1}`},
		`""`:                             {""},
		`-1`:                             {"-1"},
		`null`:                           {"null"},
	} {
		clear := w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: `{"data":{"is_valid":true,"app_id":"123","user_id":"9","expires_at":0,
			"granular_scopes":[{"scope":"pages_show_list","target_ids":[` + targets + `]}]}}`})
		got, err := w.Inspect(t.Context(), w.client, token)
		if err != nil || len(got.Granular) != 1 || !slices.Equal(got.Granular[0].Targets, want) {
			t.Errorf("%s: %+v, %v", targets, got.Granular, err)
		}
		clear()
	}
}

func TestTheTraceOfARefusalIsKept(t *testing.T) {
	for name, spoil := range map[string]func(w world, token oauth.Token){
		"of a dead token, whose answer is none": func(w world, token oauth.Token) { w.fb.KillToken(token.AccessToken.Reveal(), 190, 460, "") },
		"of a page that is not the API's": func(w world, _ oauth.Token) {
			w.fb.Fail(authpipetest.Fault{Status: 503, Body: "<html>", Header: http.Header{"X-Fb-Trace-Id": {"Abc"}}})
		},
		"of an error": func(w world, _ oauth.Token) { w.fail(2, 0, "") },
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		spoil(w, token)
		_, err := w.Inspect(t.Context(), w.client, token)
		var e *provider.Error
		if !errors.As(err, &e) || e.TraceID == "" {
			t.Errorf("%s: there is none for the support ticket: %v", name, err)
		}
	}
}
