package backend_test

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestNoCallFailsForAResetSecret has each kind of call meet a secret that was
// reset in the dashboard just before it.
func TestNoCallFailsForAResetSecret(t *testing.T) {
	// A step prepares the engine and returns what must not fail.
	steps := map[string]func(e *engine) (act func()){
		"an installation is connected": func(e *engine) func() { return func() { e.install() } },
		"a page is read":               func(e *engine) func() { e.install(); return func() { e.read("creds/" + page777) } },
		"a business is deleted": func(e *engine) func() {
			e.install()
			return func() { e.must(logical.DeleteOperation, "creds/"+installation, nil) }
		},
		"a user is deleted": func(e *engine) func() {
			e.install()
			e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
			return func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) }
		},
		"a token is imported": func(e *engine) func() {
			token := e.obtained("ada")
			return func() { e.must(logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": token}) }
		},
		"a challenge is dropped": func(e *engine) func() {
			e.install()
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"pkce": "always"})
			return func() { e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) }
		},
		"an ID token is asked for": func(e *engine) func() {
			e.install()
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,email"})
			return func() { e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) }
		},
		"what is due is checked in a batch": func(e *engine) func() {
			e.install()
			e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
			return func() {
				e.after(day)
				e.untouched([]string{installation, uma})
			}
		},
	}
	for facebook, o := range map[string]authpipetest.Options{
		"as it is": {}, "whose proofs fail as an OAuthException": {ProofErrorOAuth: true}, "that reads no POST": {RevokeTokenOnlyByGET: true},
	} {
		for step, prepare := range steps {
			t.Run(step+" at a Facebook "+facebook, func(t *testing.T) {
				e := business(t, o, authpipetest.Business{}, authpipetest.Configuration{})
				e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{mountURL + "/callback/facebook", "https://app.example.com/oauth"}})
				act := prepare(e)
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
				e.fb.SetAppSecret(appID, newSecret)
				act()
			})
		}
	}
}
