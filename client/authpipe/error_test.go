package authpipe_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/client/authpipe"
)

func TestRefusalHasItsCode(t *testing.T) {
	for what, row := range map[string]struct {
		status int
		texts  []string
		want   authpipe.Code
	}{
		"behind Vault's own prefix":            {409, []string{"1 error occurred:\n\t* suspended: ask your operator\n\n"}, authpipe.ErrSuspended},
		"at the first byte":                    {424, []string{"misconfigured: the client is refused"}, authpipe.ErrMisconfigured},
		"whatever the status":                  {500, []string{"1 error occurred:\n\t* throttled: until noon\n\n"}, authpipe.ErrThrottled},
		"not within the message":               {500, []string{"the plugin quoted needs_reauth: in a message"}, authpipe.ErrUnavailable},
		"Vault denies":                         {403, []string{"permission denied"}, authpipe.ErrPermissionDenied},
		"a quota of Vault's":                   {429, []string{"request path \"authpipe/\": rate limit quota exceeded"}, authpipe.ErrUnavailable},
		"Vault is sealed":                      {503, []string{"Vault is sealed"}, authpipe.ErrUnavailable},
		"a missing mount":                      {404, []string{"no handler for route \"authpipe/x\". route entry not found."}, authpipe.ErrNoMount},
		"a mount whose plugin did not start":   {404, []string{"no handler for route \"authpipe/x\". route entry found, but backend is nil."}, authpipe.ErrUnavailable},
		"a path that the engine does not have": {404, []string{"1 error occurred:\n\t* unsupported path\n\n"}, authpipe.ErrNoMount},
		"a proxy's 404":                        {404, nil, ""},
		"a proxy's page":                       {502, nil, authpipe.ErrUnavailable},
		"a missing credential has a code":      {404, []string{"1 error occurred:\n\t* not_found: there is none\n\n"}, authpipe.ErrNotFound},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			d.intercept(func(*http.Request) *http.Response {
				if row.texts == nil {
					return d.page(row.status, "<html>Bad Gateway</html>")
				}
				return d.page(row.status, map[string]any{"errors": row.texts})
			})
			_, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), bob())
			var e *authpipe.Error
			var vaults *api.ResponseError // it has a proxy's page in it
			if !errors.As(err, &e) || e.Code != row.want || e.Status != row.status || errors.As(err, &vaults) {
				t.Errorf("got %v, of %+v", err, e)
			}
			if row.want != "" && !errors.Is(err, row.want) || errors.Is(err, authpipe.ErrAccessDenied) || errors.Is(err, authpipe.Code("")) {
				t.Errorf("errors.Is is wrong about %v", err)
			}
		})
	}
}

func TestErrorHasConnectPath(t *testing.T) {
	for what, row := range map[string]struct {
		q    authpipe.Request
		text string
		want string
	}{
		"a user's":                       {bob(), "needs_reauth: it is dead", "connect/" + bobs},
		"the installation's":             {authpipe.Request{Tenant: "org_acme", For: authpipe.ForInstallation}, "revoked: it was taken away", "connect/" + installation},
		"a page's is the user's":         {authpipe.Request{Tenant: "org_acme", User: "bob", Page: "7", For: authpipe.ForUser}, "failed: it has expired", "connect/" + bobs},
		"a page's is the installation's": {authpipe.Request{Tenant: "org_acme", Page: "7", For: authpipe.ForInstallation}, "needs_reauth: it is dead", "connect/" + installation},
		"one that never connected":       {bob(), "not_found: there is none", "connect/" + bobs},
		"a static one has none":          {authpipe.Request{Tenant: "org_acme", Static: "key"}, "not_found: there is none", ""},
	} {
		t.Run(what, func(t *testing.T) {
			d := newDouble(time.Now)
			d.intercept(func(*http.Request) *http.Response { return d.refuse(409, row.text) })
			_, err := newClient(t, d, authpipe.Options{}).Credential(t.Context(), row.q)
			var needs *authpipe.NeedsReauthError
			var missing *authpipe.NotConnectedError
			switch {
			case errors.As(err, &needs) && needs.Path == row.want:
			case errors.As(err, &missing) && missing.Path == row.want:
			default:
				t.Errorf("got %#v", err)
			}
		})
	}
}

func TestSecretsAreNotPrinted(t *testing.T) {
	d := newDouble(time.Now)
	d.put(bobs, stored{token: "EAAcanary"})
	d.put("org_acme/facebook/static/key", stored{token: "sk_canary"})
	client := newClient(t, d, authpipe.Options{})
	credential, err := client.Credential(t.Context(), bob())
	if err != nil {
		t.Fatal(err)
	}
	static, err := client.Credential(t.Context(), authpipe.Request{Tenant: "org_acme", Static: "key"})
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	text, lines := slog.New(slog.NewTextHandler(&said, nil)), slog.New(slog.NewJSONHandler(&said, nil))
	for _, v := range []any{
		credential, *credential, static, []*authpipe.Credential{credential}, []authpipe.Credential{*credential}, map[string]any{"c": credential}, struct{ c authpipe.Credential }{*credential},
		client, credential.AccessToken, &authpipe.Started{UserCode: "canary"}, []authpipe.Completion{{Answer: url.Values{"code": {"canary"}}}},
		authpipe.Started{AuthorizationURL: "https://www.facebook.com/?state=canary", UserCode: "canary"},
		authpipe.Completion{ConnectCode: authpipe.NewSecret("canary"), Answer: url.Values{"code": {"canary"}}}, &credential.AccessToken, []authpipe.Secret{credential.AppSecretProof},
	} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&said, verb+"\n", v)
		}
		text.Info("logged", "v", v)
		lines.Info("logged", "v", v)
		b, _ := json.Marshal(v)
		said.Write(b)
	}
	for _, secret := range []string{"canary", fmt.Sprintf("%x", "canary"), fmt.Sprintf("%X", "canary")} {
		for line := range strings.Lines(said.String()) {
			if strings.Contains(line, secret) {
				t.Errorf("%q is printed: %s", secret, line)
			}
		}
	}
	if credential.AccessToken.Reveal() != "EAAcanary" {
		t.Error("Reveal does not return the secret")
	}
}
