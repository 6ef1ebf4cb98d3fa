package facebook_test

import (
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// newBusiness returns a world where a business has installed the app, and the
// token of the business.
func newBusiness(t *testing.T, o authpipetest.Options) (world, oauth.Token) {
	t.Helper()
	w := newWorld(t, o)
	w.fb.AddBusiness(authpipetest.Business{ID: "5566", Admins: []string{"ada"}})
	w.fb.AddConfiguration(authpipetest.Configuration{ID: "31", App: "123", Permissions: []string{"pages_show_list"}, ExpiresIn60Days: true})
	token, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: w.code(t, provider.AuthorizationRequest{ConfigID: "31"}), RedirectURI: redirectURI})
	if err == nil {
		token, err = w.Settle(t.Context(), w.client, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return w, token
}

// TestABusinessTokenIsToldByItsBusiness and not by its type, which is not
// written down.
func TestABusinessTokenIsToldByItsBusiness(t *testing.T) {
	for _, named := range []string{authpipetest.KindSystemUser, authpipetest.KindUser, "BUSINESS_INTEGRATION"} {
		w, token := newBusiness(t, authpipetest.Options{IntegrationTokenType: named})
		if token.Kind != named || token.Business != "5566" || !w.RevokesAlone(token) {
			t.Errorf("%s: of business %q, revoked alone: %v", token.Kind, token.Business, w.RevokesAlone(token))
		}
		if person := w.token(t); person.Business != "" || w.RevokesAlone(person) {
			t.Errorf("a person's is of business %q", person.Business)
		}
	}
}

func TestABusinessThatIsNotToldIsNotNone(t *testing.T) {
	w, token := newBusiness(t, authpipetest.Options{})
	defer w.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Body: `{}`})()
	if got, err := w.Settle(t.Context(), w.client, token); provider.ClassOf(err) != provider.Transient || err == nil {
		t.Errorf("settled as one of business %q: %v", got.Business, err)
	}
}

func TestABusinessTokenIsRevokedAlone(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"where it must be a GET":       {RevokeTokenOnlyByGET: true},
		"of an old app":                {OldApps: true},
		"whatever the token is called": {IntegrationTokenType: authpipetest.KindUser},
	} {
		w, token := newBusiness(t, o)
		other, err := w.Refresh(t.Context(), w.client, token)
		if err != nil || other.AccessToken == token.AccessToken || other.ExpiresAt.IsZero() {
			t.Fatalf("%s: refreshed it expires at %v, %v", name, other.ExpiresAt, err)
		}
		if err := w.Revoke(t.Context(), w.client, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if known, _ := w.fb.Inspect(token.AccessToken.Reveal()); known.Valid {
			t.Errorf("%s: it lives on", name)
		}
		if known, _ := w.fb.Inspect(other.AccessToken.Reveal()); !known.Valid {
			t.Errorf("%s: another token has died with it", name)
		}
	}
}

func TestADeadBusinessTokenIsRevoked(t *testing.T) {
	for name, die := range map[string]func(world, oauth.Token){
		"the business took the app away": func(w world, _ oauth.Token) { w.fb.RemoveIntegration("123", "5566") },
		"it was revoked before": func(w world, token oauth.Token) {
			if err := w.Revoke(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
		},
		"it has expired": func(w world, token oauth.Token) { w.fb.ExpireToken(token.AccessToken.Reveal()) },
	} {
		w, token := newBusiness(t, authpipetest.Options{})
		die(w, token)
		if err := w.Revoke(t.Context(), w.client, token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
