package facebook_test

import (
	"context"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

func TestManyTokensAreInspectedInOneCall(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	living := w.token(t)
	tokens := make([]oauth.Token, w.BatchLimit())
	for i := range tokens {
		tokens[i] = living
	}
	tokens[3].AccessToken = oauth.NewSecret("EAAnobodys")
	before := w.fb.Count("")
	all := w.InspectAll(t.Context(), w.client, tokens)
	if calls := w.fb.Count("") - before; calls != 1 || len(all) != len(tokens) {
		t.Fatalf("%d calls, %d answers", calls, len(all))
	}
	for i, inspection := range all {
		alone, err := w.Inspect(t.Context(), w.client, tokens[i])
		if provider.ClassOf(inspection.Err) != provider.ClassOf(err) || (inspection.Err == nil) != (err == nil) || inspection.Token.Account != alone.Account {
			t.Errorf("token %d: %v, %v; alone: %v, %v", i, inspection.Token, inspection.Err, alone, err)
		}
	}
	for _, r := range w.fb.Requests() {
		if !r.Batched && strings.Contains(r.Query.Encode(), "EAA") {
			t.Errorf("a token stands in the URL of %s", r.Path)
		}
	}
}

func TestARevokedGrantIsFoundInABatch(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.RemoveApp("123", "ada")
	all := w.InspectAll(t.Context(), w.client, []oauth.Token{token})
	if provider.ClassOf(all[0].Err) != provider.Revoked {
		t.Error(all[0].Err)
	}
}

// TestTroubleInABatch has some of a batch, or all of it, go wrong.
func TestTroubleInABatch(t *testing.T) {
	const none = provider.Class("")
	graph := func(code int, message string) *authpipetest.GraphError {
		return &authpipetest.GraphError{Code: code, Message: message}
	}
	for name, row := range map[string]struct {
		fault authpipetest.Fault
		want  []provider.Class
	}{
		"one call of it took too long":                                 {authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Reset: true}, []provider.Class{provider.Transient, none, none}},
		"one call of it is throttled":                                  {authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: graph(4, "")}, []provider.Class{provider.Throttled, none, none}},
		"one call of it is answered in HTML":                           {authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Body: "<html>"}, []provider.Class{provider.Transient, none, none}},
		"all of it is throttled":                                       {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Error: graph(4, "")}, []provider.Class{provider.Throttled, provider.Throttled, provider.Throttled}},
		"the client is refused":                                        {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Error: graph(190, "Invalid OAuth access token signature.")}, []provider.Class{provider.Misconfigured, provider.Misconfigured, provider.Misconfigured}},
		"an answer is missing":                                         {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Body: `[null,null]`}, []provider.Class{provider.Transient, provider.Transient, provider.Transient}},
		"the answer is no list":                                        {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Body: `{}`}, []provider.Class{provider.Transient, provider.Transient, provider.Transient}},
		"nothing is answered":                                          {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Reset: true}, []provider.Class{provider.Transient, provider.Transient, provider.Transient}},
		"it is refused as a whole: then each goes alone":               {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Times: 1, Error: graph(100, "(#100) Invalid parameter")}, []provider.Class{none, none, none}},
		"each is refused as a whole, which says nothing of the tokens": {authpipetest.Fault{Endpoint: authpipetest.EndpointBatch, Error: graph(100, "(#100) param batch must be an array.")}, []provider.Class{provider.Transient, provider.Transient, provider.Transient}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			token := w.token(t)
			defer w.fb.Fail(row.fault)()
			for i, inspection := range w.InspectAll(t.Context(), w.client, []oauth.Token{token, token, token}) {
				class := none
				if inspection.Err != nil {
					class = provider.ClassOf(inspection.Err)
				}
				if class != row.want[i] {
					t.Errorf("token %d: %v, want class %q", i, inspection.Err, row.want[i])
				}
				if inspection.Err == nil && inspection.Token.Account != token.Account {
					t.Errorf("token %d is %s's", i, inspection.Token.Account)
				}
			}
		})
	}
}

// TestABatchIsSentWithTheOtherSecret covers both ways in which Facebook may
// refuse a batch's client: all of it, or call by call.
func TestABatchIsSentWithTheOtherSecret(t *testing.T) {
	refused := &authpipetest.GraphError{Code: 190, Message: "Invalid OAuth access token signature."}
	for name, fault := range map[string]authpipetest.Fault{
		"all of it":    {Endpoint: authpipetest.EndpointBatch, Times: 1, Error: refused},
		"call by call": {Endpoint: authpipetest.EndpointDebugToken, Times: 2, Error: refused},
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		accepted := oauth.NewSecret("")
		w.client.Secret, w.client.OtherSecret = oauth.NewSecret("former"), oauth.NewSecret(appSecret)
		w.client.Accepted = func(_ context.Context, s oauth.Secret) { accepted = s }
		w.fb.Fail(fault)
		all := w.InspectAll(t.Context(), w.client, []oauth.Token{token, token})
		if all[0].Err != nil || all[1].Err != nil || accepted != oauth.NewSecret(appSecret) {
			t.Errorf("%s: %v, %v, accepted %q", name, all[0].Err, all[1].Err, accepted.Reveal())
		}
	}
}
