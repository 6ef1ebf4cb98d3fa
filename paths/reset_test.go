package paths_test

import (
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestCallsSucceedAfterSecretReset has each kind of call meet a secret that was
// reset in the dashboard just before it.
func TestCallsSucceedAfterSecretReset(t *testing.T) {
	// A step prepares the engine and returns what must not fail.
	steps := map[string]func(e *enginetest.Engine) (act func()){
		"an installation is connected": func(e *enginetest.Engine) func() { return func() { e.Install() } },
		"a page is read": func(e *enginetest.Engine) func() {
			e.Install()
			return func() { e.Read("creds/" + enginetest.Page777) }
		},
		"a business is deleted": func(e *enginetest.Engine) func() {
			e.Install()
			return func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) }
		},
		"a user is deleted": func(e *enginetest.Engine) func() {
			e.Install()
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
			return func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil) }
		},
		"a token is imported": func(e *enginetest.Engine) func() {
			token := e.ObtainToken("ada")
			return func() {
				e.Must(logical.UpdateOperation, "creds/"+enginetest.Installation, map[string]any{"access_token": token})
			}
		},
		"a challenge is dropped": func(e *enginetest.Engine) func() {
			e.Install()
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"pkce": "always"})
			return func() { e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) }
		},
		"an ID token is asked for": func(e *enginetest.Engine) func() {
			e.Install()
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,email"})
			return func() { e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) }
		},
		"what is due is checked in a batch": func(e *enginetest.Engine) func() {
			e.Install()
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
			return func() {
				e.After(enginetest.Day)
				e.CheckHealthy([]string{enginetest.Installation, enginetest.Uma})
			}
		},
	}
	for facebook, o := range map[string]authpipetest.Options{
		"as it is": {}, "whose proofs fail as an OAuthException": {ProofErrorOAuth: true}, "that reads no POST": {RevokeTokenOnlyByGET: true},
	} {
		for step, prepare := range steps {
			t.Run(step+" at a Facebook "+facebook, func(t *testing.T) {
				e := enginetest.Business(t, o, authpipetest.Business{}, authpipetest.Configuration{})
				e.Facebook.AddApp(authpipetest.App{ID: enginetest.AppID, Secret: enginetest.AppSecret, RequireAppSecret: true, RedirectURIs: []string{enginetest.MountURL + "/callback/facebook", "https://app.example.com/oauth"}})
				act := prepare(e)
				e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
				e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
				act()
			})
		}
	}
}
