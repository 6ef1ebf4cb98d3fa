package enginetest

import (
	"flag"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

// The application at Facebook, and where the engine is mounted.
const (
	AppID       = "123"
	AppSecret   = "s3cr3t-of-the-app-0123456789abcdef"
	NewSecret   = "another-secret-0123456789abcdef"
	ClientToken = "client-token-0123456789"
	BusinessID  = "5566"
	ConfigID    = "31"
	MountURL    = "https://vault.example.com/v1/authpipe"
	ReturnURL   = "https://app.example.com/connected?from=authpipe"
	RelayURI    = "https://app.example.com/oauth" // a redirect URI that the application hosts
)

// Refs and paths of the tenants in tests.
const (
	Acme         = "tenants/org_acme"
	Installation = "org_acme/facebook/installation"
	Uma          = "org_acme/facebook/users/uma"
	Udo          = "org_acme/facebook/users/udo"
	Page777      = "org_acme/facebook/pages/777"
	StaticStripe = "org_acme/stripe/static/billing"
	StaticHook   = "org_acme/facebook/static/webhook"
	Globex       = "org_globex/facebook/installation"
	Newcomer     = "org_new/facebook/installation"
	APIKey       = "sk_live_0123456789abcdef"
)

// Paths that Facebook's webhooks post to.
const (
	DeauthorizePath  = "webhooks/facebook/deauthorize"
	DataDeletionPath = "webhooks/facebook/data-deletion"
	NotifyPath       = "webhooks/facebook/notify"
)

// Day is 24 hours.
const Day = 24 * time.Hour

// Patience is how long a test waits for what must happen. Only a test that fails
// spends it.
const Patience = 2 * time.Minute

// Build is the build of the engines under test.
var Build = version.Build{Version: "v1.2.3", Commit: "c0ffee", Date: time.Date(2026, time.December, 1, 8, 0, 0, 0, time.UTC), Go: "go1.99"}

// Update is set to write golden files anew.
var Update = flag.Bool("update", false, "write golden files anew")

// Full says to take every storage operation and combination, and not some of them.
var Full = longtest.Runs("test-full")

// NastyTexts might be taken for markup, a header, a line of a log or the end of
// something.
var NastyTexts = []string{
	`"><script>alert(1)</script>`, `'><img src=x onerror=alert(1)>`, `</title><h1>hacked`, `</style><script>x</script>`, `javascript:alert(1)`, `{{.Policy}}`,
	"x\r\nSet-Cookie: a=b", "x\nLocation: https://evil.example", "\x00\x01\x1b[31m", "\xff\xfe", "\u202etxt.exe", "%0d%0aSet-Cookie:%20a=b", `0; url=https://evil.example`, `&quot;&#62;`,
	"line\u2028line", "a\tb", strings.Repeat("A", 1024),
}

// RevokeDown is a provider that cannot revoke.
var RevokeDown = authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 500, Body: "<html>down</html>"}

// Disconnected is the change in a delivery that says that a person has removed
// the app.
var Disconnected = map[string]any{"field": "connected", "value": map[string]any{"verb": "revoked"}}
