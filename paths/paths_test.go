package paths_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
	"github.com/authpipe/vault-plugin-secrets-authpipe/paths"
)

// routes has the engine's patterns, of which no operation is called here.
var routes = &framework.Backend{Paths: paths.All(paths.Deps{})}

func TestCheckOfFields(t *testing.T) {
	for name, row := range map[string]struct {
		op      logical.Operation
		path    string
		data    map[string]any
		err     string // part of it; "": there is none
		warning string
	}{
		"a field that a write has": {logical.UpdateOperation, "connect/org_acme/facebook/users/uma", map[string]any{"actor": "uma"}, "", ""},
		"an unknown field of a write": {
			logical.UpdateOperation, "connect/org_acme/facebook/users/uma", map[string]any{"colour": "red"}, `field "colour" is unknown here; see`, "",
		},
		"a mistyped field of a write": {
			logical.UpdateOperation, "connect/org_acme/facebook/users/uma", map[string]any{"actr": "uma"}, "did you mean actor?", "",
		},
		"an unknown field of a read":      {logical.ReadOperation, "creds/org_acme/facebook/users/uma", map[string]any{"version": 1}, "", "was ignored"},
		"a static credential's field":     {logical.UpdateOperation, "creds/org_acme/facebook/users/uma", map[string]any{"credential": "x"}, "is for static credentials", ""},
		"a token's field of a static one": {logical.UpdateOperation, "creds/org_acme/stripe/static/billing", map[string]any{"access_token": "x"}, "a static credential has", ""},
		"a read's field in a write":       {logical.UpdateOperation, "creds/org_acme/facebook/users/uma", map[string]any{"min_ttl": 10}, "is not for this operation", ""},
		"a field of the path in the body": {logical.UpdateOperation, "connect/org_acme/facebook/users/uma", map[string]any{"tenant": "org_evil"}, "stands in the path", ""},
		"a number where a string belongs": {logical.UpdateOperation, "connect/org_acme/facebook/users/uma", map[string]any{"actor": json.Number("1")}, "must be a string", ""},
		"a string where a number belongs": {logical.ReadOperation, "events", map[string]any{"limit": "many"}, "must be a whole number", ""},
		"null":                            {logical.UpdateOperation, "connect/org_acme/facebook/users/uma", map[string]any{"actor": nil}, "must be a string", ""},
		"an empty duration that resets":   {logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": ""}, "", ""},
		"an empty duration that does not": {logical.ReadOperation, "creds/org_acme/facebook/users/uma", map[string]any{"min_ttl": ""}, "must be a duration", ""},
		"a code of an error that is a number": {
			logical.UpdateOperation, "sessions/org_acme/x/complete", map[string]any{"error_code": json.Number("200")}, "", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			warnings, err := paths.Check(routes.Route(row.path), &logical.Request{Operation: row.op, Path: row.path, Data: row.data})
			if (err != nil) != (row.err != "") || err != nil && !strings.Contains(err.Error(), row.err) {
				t.Errorf("the error is %v", err)
			}
			if got := strings.Join(warnings, "\n"); (got != "") != (row.warning != "") || !strings.Contains(got, row.warning) {
				t.Errorf("the warnings are %q", got)
			}
		})
	}
}

func TestStatusAndOutcomeOfAnError(t *testing.T) {
	_, badRef := tenant.ParseID("a b")
	for name, row := range map[string]struct {
		err     error
		status  int // 0: Vault knows the error by itself
		outcome string
	}{
		"a code of the API":          {oauth.Errorf(oauth.NeedsReauth, "x"), http.StatusConflict, "needs_reauth"},
		"a wrapped code":             {fmt.Errorf("reading: %w", oauth.Errorf(oauth.NotFound, "x")), http.StatusNotFound, "not_found"},
		"the provider's rate limit":  {&provider.Error{Class: provider.Throttled}, http.StatusTooManyRequests, "throttled"},
		"a name that cannot be one":  {badRef, http.StatusBadRequest, "invalid_request"},
		"a node that may not write":  {store.ErrReadOnly, 0, "forwarded"},
		"a caller of another tenant": {logical.ErrPermissionDenied, 0, "denied"},
		"an error of storage":        {errors.New("disk full"), 0, "error"},
	} {
		coded := paths.Coded(row.err)
		var withStatus logical.HTTPCodedError
		if errors.As(coded, &withStatus) != (row.status != 0) || withStatus != nil && withStatus.Code() != row.status {
			t.Errorf("%s: it is answered as %#v", name, coded)
		}
		if got := paths.Outcome(nil, row.err); got != row.outcome {
			t.Errorf("%s: the outcome is %q", name, got)
		}
	}
	if !errors.Is(paths.Coded(store.ErrReadOnly), logical.ErrReadOnly) {
		t.Error("Vault does not forward a write of another node")
	}
	if got := paths.Outcome(&logical.Response{}, nil); got != "ok" {
		t.Errorf("the outcome of an answer is %q", got)
	}
	if got := paths.Outcome(logical.ErrorResponse("no"), nil); got != "invalid_request" {
		t.Errorf("the outcome of the framework's error is %q", got)
	}
}

func TestTenantOfAPath(t *testing.T) {
	for path, want := range map[string]tenant.ID{
		"creds/org_acme/facebook/installation": "org_acme",
		"connections/org_acme/":                "org_acme",
		"connect/org_acme/facebook/users/u":    "org_acme",
		"sessions/org_acme/x/complete":         "org_acme",
		"tenants/org_acme":                     "org_acme",
		"creds/":                               "",
		"creds":                                "",
		"creds/a b/facebook/installation":      "",
		"accounts/facebook/42":                 "",
		"config/facebook":                      "",
		"callback/facebook":                    "",
		"webhooks/facebook/notify":             "",
	} {
		if got := paths.TenantOf(path); got != want {
			t.Errorf("%s is about %q, want %q", path, got, want)
		}
	}
}

func TestHelpShowsPathsAndWrapsLines(t *testing.T) {
	got := paths.Help("    ^creds/(?P<tenant>[^/]+)/?$\n        " + strings.Repeat("word ", 30) + "\n\n")
	if !strings.HasPrefix(got, "    creds/<tenant>/\n        word word") {
		t.Errorf("it is %q", got)
	}
	for line := range strings.Lines(got) {
		if len(strings.TrimSuffix(line, "\n")) > 80 || !strings.HasPrefix(line, "    ") {
			t.Errorf("a line is %q", line)
		}
	}
}
