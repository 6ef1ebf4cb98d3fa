package facebook_test

import (
	"context"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// TestASecretIsAcceptedByWhatIsSaidOfTheCall has the former secret refused and
// looks at what the answer to the other one says.
func TestASecretIsAcceptedByWhatIsSaidOfTheCall(t *testing.T) {
	refused := authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: &authpipetest.GraphError{Code: 190, Message: "Invalid OAuth access token signature."}}
	for name, row := range map[string]struct {
		second *authpipetest.Fault
		want   oauth.Secret
		class  provider.Class
	}{
		"an answer":             {nil, oauth.NewSecret(appSecret), ""},
		"a dead token":          {&authpipetest.Fault{Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":460}}}`}, oauth.NewSecret(appSecret), provider.NeedsReauth},
		"an outage":             {&authpipetest.Fault{Status: 500, Error: &authpipetest.GraphError{Code: 2}}, oauth.Secret{}, provider.Transient},
		"no answer":             {&authpipetest.Fault{Reset: true}, oauth.Secret{}, provider.Transient},
		"a limit":               {&authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4}}, oauth.Secret{}, provider.Throttled},
		"that it is wrong, too": {&refused, oauth.Secret{}, provider.Misconfigured},
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		accepted := oauth.NewSecret("")
		w.client.Secret, w.client.OtherSecret = oauth.NewSecret("FORMER"), oauth.NewSecret(appSecret)
		w.client.Accepted = func(_ context.Context, s oauth.Secret) { accepted = s }
		w.fb.Fail(refused)
		if row.second != nil {
			second := *row.second
			second.Endpoint, second.Times = authpipetest.EndpointDebugToken, 1
			w.fb.Fail(second)
		}
		_, err := w.Inspect(t.Context(), w.client, token)
		if accepted != row.want || (err != nil) != (row.class != "") || err != nil && provider.ClassOf(err) != row.class {
			t.Errorf("%s: accepted %q, %v", name, accepted.Reveal(), err)
		}
	}
}

// TestARedirectMismatchIsNoSecretsFault spends no second call, and no code, on
// what another secret cannot mend.
func TestARedirectMismatchIsNoSecretsFault(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	code := w.code(t, provider.AuthorizationRequest{Scopes: []string{"email"}})
	w.client.OtherSecret = oauth.NewSecret("FORMER")
	w.client.Accepted = func(context.Context, oauth.Secret) { t.Error("a secret is found to be accepted") }
	if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: "https://e/other"}); provider.ClassOf(err) != provider.Misconfigured || err == nil {
		t.Errorf("with another redirect URI: %v", err)
	}
	if got := w.fb.Count(authpipetest.EndpointAccessToken); got != 1 {
		t.Errorf("the code was sent %d times", got)
	}
}
