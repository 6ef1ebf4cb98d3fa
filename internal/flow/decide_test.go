package flow_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

// state has the form of one: 32 bytes in base64url.
const state = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

func answer(code string) flow.Answer {
	return flow.Answer{State: oauth.NewSecret(state), Code: oauth.NewSecret(code)}
}

func TestAnswerIsWellFormed(t *testing.T) {
	for name, row := range map[string]struct {
		answer flow.Answer
		want   bool
	}{
		"a state and a code":          {answer("AQcode"), true},
		"a state and an error":        {flow.Answer{State: oauth.NewSecret(state), Error: "access_denied"}, true},
		"Facebook's own error fields": {flow.Answer{State: oauth.NewSecret(state), ErrorCode: "200", ErrorMessage: "Permissions error"}, true},
		"no code and no error":        {answer(""), false},
		"a code and an error":         {flow.Answer{State: oauth.NewSecret(state), Code: oauth.NewSecret("AQ"), Error: "access_denied"}, false},
		"no state":                    {flow.Answer{Code: oauth.NewSecret("AQcode")}, false},
		"a state of another form":     {flow.Answer{State: oauth.NewSecret("x"), Code: oauth.NewSecret("AQcode")}, false},
		"a state with a line break":   {flow.Answer{State: oauth.NewSecret(state[:42] + "\n"), Code: oauth.NewSecret("AQcode")}, false},
		"a code with a space":         {answer("AQ code"), false},
		"a code that is not ASCII":    {answer("AQcödé"), false},
		"the longest code":            {answer(strings.Repeat("A", 4096)), true},
		"a longer code":               {answer(strings.Repeat("A", 4097)), false},
		"a longer error": {
			flow.Answer{State: oauth.NewSecret(state), Error: "access_denied", ErrorDescription: strings.Repeat("A", 1025)}, false,
		},
	} {
		if got := flow.WellFormed(row.answer); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAnswerLosesTheEndOfACopiedURL(t *testing.T) {
	a := flow.Trimmed(flow.Answer{
		State: oauth.NewSecret(state + "#_=_"), Code: oauth.NewSecret("AQcode#_=_"), Error: "access_denied#", ErrorDescription: "see #1#_=_",
	})
	if a.State.Reveal() != state || a.Code.Reveal() != "AQcode" || a.Error != "access_denied" || a.ErrorDescription != "see #1" {
		t.Errorf("it is %+v, code %q", a, a.Code.Reveal())
	}
}

func TestReasonOfADenialShowsNoStateAndNoControl(t *testing.T) {
	got := flow.Reason(flow.Answer{
		State: oauth.NewSecret(state), Error: "access_denied", ErrorReason: "for " + state, ErrorDescription: "a\x00b\u202ec\xff" + strings.Repeat("é", 200),
	})
	if strings.Contains(got, state) || strings.ContainsAny(got, "\x00\u202e") || !utf8.ValidString(got) || strings.Count(got, "é") > 100 || !strings.Contains(got, "access_denied") {
		t.Errorf("the reason is %q", got)
	}
}

func TestRedemptionIsRepeatedOnlyIfThatCanHelp(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want bool
	}{
		"the provider was not reached":       {&provider.Error{Class: provider.Transient}, true},
		"a rate limit":                       {&provider.Error{Class: provider.Throttled}, true},
		"a paused call of a wrong client":    {&provider.Error{Class: provider.Misconfigured, Err: provider.ErrCircuitOpen}, true},
		"the person has not approved yet":    {&provider.Error{Class: provider.Transient, Err: provider.ErrPending}, true},
		"the code was used":                  {&provider.Error{Class: provider.Transient, Err: provider.ErrCodeUsed}, false},
		"the code has expired":               {&provider.Error{Class: provider.Transient, Err: provider.ErrCodeExpired}, false},
		"a wrong client":                     {&provider.Error{Class: provider.Misconfigured}, false},
		"the person is gone":                 {&provider.Error{Class: provider.NeedsReauth}, false},
		"an error of storage":                {errors.New("disk full"), true},
		"the mount shuts down":               {context.Canceled, true},
		"the installation is missing":        {oauth.Errorf(oauth.InstallationRequired, "x"), true},
		"the tenant is suspended":            {oauth.Errorf(oauth.Suspended, "x"), true},
		"another account":                    {oauth.Errorf(oauth.AccountMismatch, "x"), false},
		"the provider is not known any more": {oauth.Errorf(oauth.NotFound, "x"), false},
	} {
		if got := flow.Retryable(row.err); got != row.want {
			t.Errorf("%s: it may be repeated: %v", name, got)
		}
	}
}

func TestSameOwner(t *testing.T) {
	for name, row := range map[string]struct {
		a, b oauth.Token
		want bool
	}{
		"one account":                              {oauth.Token{Account: "1"}, oauth.Token{Account: "1"}, true},
		"two accounts":                             {oauth.Token{Account: "1"}, oauth.Token{Account: "2"}, false},
		"two system users of one business":         {oauth.Token{Account: "1", Business: "9"}, oauth.Token{Account: "2", Business: "9"}, true},
		"two system users of two businesses":       {oauth.Token{Account: "1", Business: "8"}, oauth.Token{Account: "2", Business: "9"}, false},
		"a person and a system user of a business": {oauth.Token{Account: "1"}, oauth.Token{Account: "2", Business: "9"}, false},
	} {
		if got := flow.SameOwner(row.a, row.b); got != row.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestCheckActor(t *testing.T) {
	for actor, ok := range map[string]bool{
		"uma": true, "Ümit Ö. 🙂": true, strings.Repeat("é", 256): true,
		"": false, strings.Repeat("é", 257): false, "a\nb": false, "a\u202eb": false, "a\xffb": false,
	} {
		if err := flow.CheckActor(actor); (err == nil) != ok {
			t.Errorf("%q: %v", actor, err)
		}
	}
}

func TestCheckScopes(t *testing.T) {
	p := facebook.New(nil, time.Now) // whose scopes have no comma
	for scope, ok := range map[string]bool{
		"pages_show_list": true, "https://www.googleapis.com/auth/drive": true, strings.Repeat("a", 128): true,
		"": false, strings.Repeat("a", 129): false, "a b": false, "a,b": false, `a"b`: false, `a\b`: false, "é": false,
	} {
		if err := flow.CheckScopes(p, "scopes", []string{scope}); (err == nil) != ok {
			t.Errorf("%q: %v", scope, err)
		}
	}
	if err := flow.CheckScopes(p, "scopes", make([]string, 101)); err == nil || !strings.Contains(err.Error(), "100 scopes") {
		t.Errorf("101 scopes: %v", err)
	}
}
