package backend_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

// errorsFile is generated from [answers] and [consequences], which
// TestErrorDecidesCredentialStatus holds the engine to, and from the rules of
// internal/provider/facebook.
const errorsFile = "../docs/facebook-errors.md"

const errorsHead = `# What the engine does with each error of Facebook

Look up an error that a customer, a log line or ` + "`last_error`" + ` shows. This page is generated (` + "`make reference`" + `), and a test has Facebook's simulator answer
each of these errors to each of these calls.

How to read it: an error has a **class**, and four answers to four questions.

- **Whom it concerns**: the ` + "`app`" + ` (all calls), one ` + "`account`, `page` or `business`" + ` (all calls for it, whatever the token), the ` + "`token`" + ` alone, or this one ` + "`request`" + `.
- **What helps**: ` + "`time`" + `; the ` + "`person`" + ` or an admin of their organization; the ` + "`operator`" + `, who writes ` + "`config/facebook`" + `; the ` + "`developer`" + ` of the app, in Facebook's app dashboard.
- **Whether it passes** by itself.
- **Whether that is sure.** What is not sure is confirmed before anything is decided for good.

`

// column is one call of the engine, or several that fare the same.
type column struct {
	name   string
	class  func(answer) string
	caller facebook.Caller
}

var columns = []column{
	{"refresh", func(a answer) string { return ofToken(a.tokenEndpoint, a.error) }, facebook.AtTokenEndpoint},
	{"exchange of a code", func(a answer) string { return a.tokenEndpoint }, facebook.AtTokenEndpoint},
	{"check", answer.inspection, facebook.WithAppToken},
	{"batch of checks", answer.inspection, facebook.WithAppToken},
	{"revocation", func(a answer) string { return a.client }, facebook.WithAppToken},
	{"revocation of a business's token", func(a answer) string { return a.tokenEndpoint }, facebook.AtTokenEndpoint},
	{"list of pages", func(a answer) string { return ofPages(a.theirs, a.error) }, facebook.WithToken},
	{"question for the business", func(a answer) string { return ofFresh(a.theirs, a.error) }, facebook.WithToken},
	{"the same, of a person", func(a answer) string {
		if a.theirs == "caller" || a.theirs == "permission" {
			return "ignored"
		}
		return ofFresh(a.theirs, a.error)
	}, facebook.WithToken},
	{"begin on a device", func(a answer) string { return a.client }, facebook.WithAppToken},
	{"poll of a device", func(a answer) string { return a.client }, facebook.WithAppToken},
}

// explained is what the dialect says of the answer to a call of that kind.
func (a answer) explained(caller facebook.Caller) (facts [4]string, class, rule string) {
	e, rule := facebook.Explain(facebook.ErrorObject{
		Code: a.error.Code, Subcode: a.error.Subcode, Message: a.error.Message, IsTransient: a.error.IsTransient != nil && *a.error.IsTransient,
	}, a.status, caller)
	yes := func(b bool) string {
		if b {
			return "yes"
		}
		return "no"
	}
	return [4]string{string(e.Owner()), string(e.Help()), yes(e.Passes()), yes(!e.Uncertain)}, string(e.Class), rule
}

// name is how the document shows the answer.
func (a answer) name() string {
	name := fmt.Sprint(a.error.Code)
	if a.error.Subcode != 0 {
		name += fmt.Sprintf("/%d", a.error.Subcode)
	}
	if a.error.IsTransient != nil {
		name += ", is_transient"
	}
	if a.status != 400 {
		name += fmt.Sprintf(", status %d", a.status)
	}
	if a.error.Message != "" {
		name += ": " + a.error.Message
	}
	return name
}

// TestDocumentOfErrors also holds the classes of [answers] to the rules, and finds
// rules without an answer.
func TestDocumentOfErrors(t *testing.T) {
	var b strings.Builder
	b.WriteString(errorsHead)
	b.WriteString("## The errors\n\nBy code and subcode. Where an answer means something else to calls with the app's own token, that stands in a row below.\n\n")
	b.WriteString("| answer | concerns | helps | passes | sure |\n|---|---|---|---|---|\n")
	seen := map[string]bool{}
	for _, a := range answers() {
		theirs, class, rule := a.explained(facebook.WithToken)
		seen[rule] = true
		if class != a.theirs {
			t.Errorf("%s is %s to a call with a token, want %s", a.name(), class, a.theirs)
		}
		fmt.Fprintf(&b, "| %s | %s |\n", a.name(), strings.Join(theirs[:], " | "))
		for _, other := range []struct {
			caller facebook.Caller
			name   string
			class  string
		}{{facebook.AtTokenEndpoint, "at the token endpoint", a.tokenEndpoint}, {facebook.WithAppToken, "with the app's own token", a.client}} {
			facts, class, rule := a.explained(other.caller)
			seen[rule] = true
			if class != other.class {
				t.Errorf("%s is %s %s, want %s", a.name(), class, other.name, other.class)
			}
			if facts != theirs {
				fmt.Fprintf(&b, "| … %s | %s |\n", other.name, strings.Join(facts[:], " | "))
			}
		}
	}
	for _, rule := range facebook.RuleNames() {
		if !seen[rule] {
			t.Errorf("no answer is tried for the rule %q", rule)
		}
	}

	b.WriteString("\n## Which class it has at each call\n\nThe calls, in the order of the columns:\n\n")
	for i, c := range columns {
		fmt.Fprintf(&b, "%d. %s\n", i+1, c.name)
	}
	b.WriteString("\n| answer |")
	for i := range columns {
		fmt.Fprintf(&b, " %d |", i+1)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(columns)) + "\n")
	for _, a := range answers() {
		fmt.Fprintf(&b, "| %s |", a.name())
		for _, c := range columns {
			fmt.Fprintf(&b, " %s |", c.class(a))
		}
		b.WriteString("\n")
	}

	b.WriteString("\n`doubtful` is `needs_reauth` that is not confirmed yet: the credential stays `active`, and a check asks again a minute later. `unexpected` is `caller` for a call of the engine's own.\n`refused` is `misconfigured` for one token, while a probe of the client succeeds. `ignored`: the connection is made all the same,\nbecause a person's token need not say to which business it belongs.\n")
	b.WriteString("\n## What becomes of it\n\n| class | the caller gets | credential | counts as its failure | account | provider | session |\n|---|---|---|---|---|---|---|\n")
	classes := make([]string, 0, len(consequences))
	for class := range consequences {
		classes = append(classes, class)
	}
	slices.Sort(classes)
	for _, class := range classes {
		c := consequences[class]
		counted := "no"
		if c.failures > 0 {
			counted = "yes"
		}
		around := surroundings[class]
		fmt.Fprintf(&b, "| `%s` | `%s` (%d) | `%s` | %s | %s | %s | `%s` |\n", class, c.code, c.http, c.status, counted, around.account, around.provider, c.session)
	}

	if *enginetest.Update {
		if err := os.WriteFile(errorsFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(errorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), b.String()); diff != "" {
		t.Errorf("the document has changed; make reference writes it anew: %s", diff)
	}
}

// surroundings is what an error of a class does beyond the credential: see
// TestLimitPausesItsOwner, TestHealthShowsSuspectedFromFirstFailure.
var surroundings = map[string]struct{ account, provider string }{
	"caller":        {"–", "works"},
	"doubtful":      {"–", "works"},
	"refused":       {"–", "works: a probe succeeds"},
	"unexpected":    {"–", "works"},
	"misconfigured": {"–", "probed; `misconfigured` if that fails too, and called again when it succeeds"},
	"needs_reauth":  {"–", "works"},
	"permission":    {"–", "works"},
	"revoked":       {"its other credentials are checked", "works"},
	"throttled":     {"where it concerns the account, page or business: no call until the time that the answer names", "where it concerns the app: `throttled` until that time"},
	"transient":     {"–", "where it concerns the app: `suspected`; after five in a row and a failed probe `unavailable`, until a probe succeeds"},
}
