package backend_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// checkCalls fails the test if the engine made a call that Meta refuses to apps
// that were made since 2026-11-04 (C2).
func checkCalls(e *enginetest.Engine) {
	for _, r := range e.Facebook.Requests() {
		if r.Discontinued != "" {
			e.T.Errorf("%s %s uses what new apps may not: %s", r.Method, r.Path, r.Discontinued)
		}
	}
}

// TestNewAppNeedsNoMethodOverride lives through all that a credential does, for
// apps of before and after 2026-11-04. Meta has not published what it answers
// where a new app overrides a method: whatever it is, it must not matter.
func TestNewAppNeedsNoMethodOverride(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"an old app": {OldApps: true},
		"a new app":  {},
		"a new app whose override is refused as misconfigured": {DiscontinuedError: &authpipetest.GraphError{Code: 3, Message: "Application does not have the capability to make this API call."}},
		"a new app whose override is refused as a dead token":  {DiscontinuedError: &authpipetest.GraphError{Code: 190, Message: "Error validating access token"}},
		"a new app whose override is refused as permission":    {DiscontinuedError: &authpipetest.GraphError{Code: 10, Message: "(#10) Application does not have permission for this action"}},
	} {
		for _, kind := range []string{"a person", "a business"} {
			t.Run(fmt.Sprintf("%s, %s", name, kind), func(t *testing.T) {
				t.Parallel()
				e := enginetest.Business(t, o, authpipetest.Business{}, authpipetest.Configuration{})
				if kind == "a person" {
					e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": ""})
				}
				live(e)
				checkCalls(e)
			})
		}
	}
}

// TestURLsHoldNoSecret looks at the URLs of all calls in a life of
// credentials. Meta takes the secrets of /oauth/revoke, which ends one token of
// a business, in its URL alone.
func TestURLsHoldNoSecret(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	live(e)
	for _, r := range e.Facebook.Requests() {
		if r.Batched || r.Endpoint == authpipetest.EndpointDialog {
			continue // in a body; and what the browser is sent to
		}
		query := r.Query.Encode()
		secret := strings.Contains(query, "EAA") || strings.Contains(query, enginetest.AppSecret) || r.Query.Has("code")
		if secret != (r.Endpoint == authpipetest.EndpointRevokeToken) {
			t.Errorf("%s %s: a secret in the URL: %v", r.Method, r.Path, secret)
		}
	}
}
