package facebook

import (
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// A rule says what an error of the Graph API means. Sources are Meta's pages
// "Handle Errors" and "Rate Limits" where no other is named.
type rule struct {
	// Name says which answers are meant, for docs/facebook-errors.md.
	Name  string
	Class provider.Class
	// Concerns and Remedy: "" is what Class means by itself.
	Concerns  provider.Concern
	Remedy    provider.Remedy
	Uncertain bool
	// OfToken: it holds too where debug_token says it of the token that it was
	// asked about.
	OfToken bool

	when func(g *graphError, r request, status int) bool
}

// rules are in the order in which they are tried: the first that matches holds.
// Limits come first, because a throttled call says nothing about its token.
// Texts are compared only where the code has several meanings.
var rules = []rule{
	{Name: "4, 341, 613, or another limit in answer to a call with the app's own token that is about no token", Class: provider.Throttled, OfToken: true,
		when: func(g *graphError, r request, _ int) bool {
			return g.anyCode(4, 341, 613) || r.client && !r.inner && (g.anyCode(17, 32) || g.businessLimit())
		}},
	{Name: "17", Class: provider.Throttled, Concerns: provider.ConcernsAccount, OfToken: true, when: code(17)},
	{Name: "32, 80001", Class: provider.Throttled, Concerns: provider.ConcernsPage, OfToken: true, when: code(32, 80001)},
	{Name: "80000, 80002 to 80014", Class: provider.Throttled, Concerns: provider.ConcernsBusiness, OfToken: true,
		when: func(g *graphError, _ request, _ int) bool { return g.businessLimit() }},
	// The proof is missing, or made with another secret. Codes differ (reports).
	{Name: "the text names the appsecret_proof", Class: provider.Misconfigured,
		when: text("appsecret_proof", "app secret proof")},
	// The whole app is refused: removed, blocked or deactivated, or it does not take
	// calls from this address (reports).
	{Name: "5 with “source IP address”", Class: provider.Misconfigured,
		when: codeAndText(5, "source IP address")},
	{Name: "200 with “Provide valid app ID”, “API access blocked”, “API access deactivated”, “disabled for non-active apps”",
		Class: provider.Misconfigured, Remedy: provider.RemedyDeveloper,
		when: codeAndText(200, "Provide valid app ID", "API access blocked", "API access deactivated", "disabled for non-active apps")},
	// A missing permission under the code of an invalid parameter or of a dead token
	// (reports).
	{Name: "100 with “Missing Permission”", Class: provider.Permission, OfToken: true,
		when: codeAndText(100, "missing permission")},
	{Name: "190 with “must be granted” or “impersonating a user's page”", Class: provider.Permission, OfToken: true,
		when: codeAndText(190, "must be granted", "impersonating a user's page")},
	// A server that fails says nothing else.
	{Name: "any, with a status of 500 or above", Class: provider.Transient, Uncertain: true,
		when: func(_ *graphError, _ request, status int) bool { return status >= http.StatusInternalServerError }},
	{Name: "190 with “must be called with a”, in answer to a call with the app's own token", Class: provider.Misconfigured,
		when: func(g *graphError, r request, _ int) bool { return r.client && g.wrongKind() }},
	{Name: "190 with “must be called with a”", Class: provider.Caller, OfToken: true,
		when: func(g *graphError, _ request, _ int) bool { return g.wrongKind() }},
	{Name: "any, with is_transient", Class: provider.Transient,
		when: func(g *graphError, _ request, _ int) bool { return g.IsTransient }},
	// Comes and goes (reports).
	{Name: "101 with “due to a system error”", Class: provider.Transient,
		when: codeAndText(101, "due to a system error")},
	// Documented as an unknown error, code 1 is also how the token endpoint refuses a
	// client secret or a PKCE verifier.
	{Name: "1 of the token endpoint with “client secret” or “code verifier”", Class: provider.Misconfigured,
		when: func(g *graphError, r request, _ int) bool {
			return r.token && g.Code == 1 && g.says("client secret", "code_verifier", "code verifier")
		}},
	{Name: "100/36008 of the token endpoint, or the text names the redirect_uri", Class: provider.Misconfigured,
		when: func(g *graphError, r request, _ int) bool { return r.token && g.mismatchesRedirect() }},
	// With any other text code 1 comes and goes, or refuses one token for weeks
	// (reports).
	{Name: "1, 2", Class: provider.Transient, Uncertain: true, when: code(1, 2)},
	{Name: "2500 without “Unknown path components”", Class: provider.Transient, Uncertain: true,
		when: func(g *graphError, _ request, _ int) bool { return g.Code == 2500 && !g.says(unknownPath) }},
	{Name: "3", Class: provider.Misconfigured, Remedy: provider.RemedyDeveloper, when: code(3)},
	{Name: "101, 104, 191, 2500, 2635", Class: provider.Misconfigured, when: code(101, 104, 191, 2500, 2635)},
	{Name: "100", Class: provider.Caller, Uncertain: true, when: code(100)},
	{Name: "102, 190, 450 to 468 but 458, 3962, in answer to a call with the app's own token", Class: provider.Misconfigured,
		when: func(g *graphError, r request, _ int) bool {
			subcode, ok := g.session()
			return ok && r.client && subcode != subcodeNotInstalled
		}},
	{Name: "10", Class: provider.Permission, Remedy: provider.RemedyDeveloper, when: code(10)},
	{Name: "200 to 299", Class: provider.Permission,
		when: func(g *graphError, _ request, _ int) bool { return 200 <= g.Code && g.Code < 300 }},
	// The subcodes of 190, which occur as codes too.
	{Name: "190/458", Class: provider.Revoked, Concerns: provider.ConcernsAccount, OfToken: true, when: session(subcodeNotInstalled)},
	{Name: "190/492", Class: provider.Permission, Concerns: provider.ConcernsPage, OfToken: true, when: session(subcodeNoPageRole)},
	// After 90 days without the person, the app has lost no more than what the token opens of
	// their data (reports).
	{Name: "190/493", Class: provider.Permission, OfToken: true, when: session(subcodeInactive)},
	// Bad hours answer so for good tokens (reports).
	{Name: "102, 3962, 190 without a subcode", Class: provider.NeedsReauth, Uncertain: true, OfToken: true, when: session(0)},
	{Name: "190 with any other subcode, 450 to 468", Class: provider.NeedsReauth, OfToken: true,
		when: func(g *graphError, _ request, _ int) bool { _, ok := g.session(); return ok }},
	{Name: "368", Class: provider.Transient, Concerns: provider.ConcernsAccount, when: code(368)},
	{Name: "any other", Class: provider.Transient, Concerns: provider.ConcernsRequest, Uncertain: true, OfToken: true,
		when: func(*graphError, request, int) bool { return true }},
}

func code(codes ...number) func(*graphError, request, int) bool {
	return func(g *graphError, _ request, _ int) bool { return g.anyCode(codes...) }
}

func text(texts ...string) func(*graphError, request, int) bool {
	return func(g *graphError, _ request, _ int) bool { return g.says(texts...) }
}

func codeAndText(code number, texts ...string) func(*graphError, request, int) bool {
	return func(g *graphError, _ request, _ int) bool { return g.Code == code && g.says(texts...) }
}

func session(subcode number) func(*graphError, request, int) bool {
	return func(g *graphError, _ request, _ int) bool { got, ok := g.session(); return ok && got == subcode }
}

// match returns the rule for g as the answer to r. ofToken: debug_token says it of
// the token that it was asked about.
func (g *graphError) match(r request, status int, ofToken bool) rule {
	for _, known := range rules {
		if (known.OfToken || !ofToken) && known.when(g, r, status) {
			return known
		}
	}
	panic("unreachable: the last rule matches all errors")
}

// judge sets what g means, as the answer to r.
func (g *graphError) judge(e *provider.Error, r request, status int) {
	g.apply(g.match(r, status, false), e)
}

// judgeToken sets what g means where debug_token says it of a token.
func (g *graphError) judgeToken(e *provider.Error) {
	g.apply(g.match(request{}, http.StatusOK, true), e)
}

func (g *graphError) apply(r rule, e *provider.Error) {
	e.Class, e.Concerns, e.Remedy, e.Uncertain = r.Class, r.Concerns, r.Remedy, r.Uncertain
	switch subcode, _ := g.session(); {
	case subcode == subcodeExpired && r.Class == provider.NeedsReauth:
		e.Err = provider.ErrTokenExpired
	case subcode == subcodeInactive && r.Class == provider.Permission:
		e.Err = provider.ErrDataAccessOver
	}
}

// A Caller says with what a call is made.
type Caller int

const (
	// WithToken: the token of a person, a system user or a page.
	WithToken Caller = iota
	// AtTokenEndpoint: client id and secret.
	AtTokenEndpoint
	// WithAppToken: the app's own token.
	WithAppToken
)

// Explain returns what g means as the answer to such a call, and the name of the
// rule that says so. Op is empty. docs/facebook-errors.md is written with it.
func Explain(g ErrorObject, status int, caller Caller) (e *provider.Error, rule string) {
	object := graphError{Message: g.Message, Code: number(g.Code), Subcode: number(g.Subcode), IsTransient: g.IsTransient}
	r := request{token: caller == AtTokenEndpoint, client: caller == WithAppToken}
	return object.classified(r, status), object.match(r, status, false).Name
}

// An ErrorObject is what the Graph API says of an error (Meta: "Handle Errors").
type ErrorObject struct {
	Code, Subcode int
	Message       string
	IsTransient   bool
}

// RuleNames are the names of all rules, in the order in which they are tried.
func RuleNames() []string {
	names := make([]string, len(rules))
	for i, r := range rules {
		names[i] = r.Name
	}
	return names
}
