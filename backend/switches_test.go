package backend_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestEngineWorksWithEachFacebookDecision plays a life of credentials at
// a Facebook that does the other thing, wherever it is not known what it does.
func TestEngineWorksWithEachFacebookDecision(t *testing.T) {
	decisions := map[string]authpipetest.Options{
		"a repeated exchange omits expires_in":        {RepeatOmitsExpiresIn: true},
		"an exchange omits expires_in":                {ExchangeOmitsExpiresIn: true},
		"an exchange extends nothing":                 {ReexchangeNeverExtends: true},
		"a code yields a short-lived token":           {CodeTokenLife: authpipetest.ShortLife, CodeOmitsExpiresIn: true},
		"a mismatch consumes the code":                {MismatchConsumesCode: true},
		"every challenge is bound":                    {PKCE: authpipetest.PKCEAlways},
		"a wrong proof is an OAuthException":          {ProofErrorOAuth: true},
		"a bad token has status 401":                  {TokenErrorStatus: 401},
		"a limit has status 429":                      {ThrottleStatus: 429},
		"a permission error has status 400":           {PermissionErrorStatus: 400},
		"a page's token was issued nobody knows when": {PageTokenOmitsIssuedAt: true},
		"ids are numbers":                             {AppIDAsNumber: true, TargetIDsAsNumbers: true},
		"a revocation must be a GET":                  {RevokeTokenOnlyByGET: true},
		"a key is of an unknown type":                 {UnknownKeys: true},
		"apps are old":                                {OldApps: true},
		"a batch's proof is not for its calls":        {BatchProofPerCall: true},
		"no answer names its version":                 {NoVersionHeader: true},
		"a business's token is called a person's":     {IntegrationTokenType: authpipetest.KindUser},
		"a revocation answers true":                   {RevokeAnswersTrue: true},
	}
	type combination struct{ pkce, kind string }
	var combinations []combination
	for _, pkce := range []string{"auto", "always", "never"} {
		for _, kind := range []string{"a person", "a business"} {
			combinations = append(combinations, combination{pkce, kind})
		}
	}
	for i, name := range slices.Sorted(maps.Keys(decisions)) {
		for n, c := range combinations {
			if !enginetest.Full && n != i%len(combinations) {
				continue // one for each decision, and each with several
			}
			t.Run(name+", for "+c.kind+", with pkce "+c.pkce, func(t *testing.T) {
				t.Parallel()
				e := enginetest.Business(t, decisions[name], authpipetest.Business{}, authpipetest.Configuration{})
				if c.kind == "a person" {
					e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": ""})
				}
				e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"pkce": c.pkce, "user_scopes": "openid,email"})
				live(e)
			})
		}
	}
}

// live connects an installation and a user, keeps them alive, and parts with
// them.
func live(e *enginetest.Engine) {
	e.T.Helper()
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	if ok, found := e.Findings(); !ok {
		e.T.Errorf("found is %v", found)
	}
	for _, question := range []string{"refresh", "check"} {
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/"+question, nil)
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/"+question, nil)
	}
	e.After(enginetest.Day) // checks come in a batch
	e.CheckHealthy([]string{enginetest.Installation, enginetest.Uma})
	stop := e.Facebook.Throttle(authpipetest.Throttle{CallCount: 100})
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	stop()
	e.Clock.Advance(time.Hour) // the provider is not asked again before
	tokens := []any{e.Read("creds/" + enginetest.Uma)["access_token"], e.Read("creds/" + enginetest.Installation)["access_token"]}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	for _, token := range tokens {
		if known, _ := e.Facebook.Inspect(token.(string)); known.Valid {
			e.T.Errorf("it lives on: %+v", known)
		}
	}
}
