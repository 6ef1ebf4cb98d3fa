package backend_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// proves reports whether the provider accepts the proof that uma's token is
// served with.
func (e *engine) proves() bool {
	e.t.Helper()
	c := e.read("creds/" + uma)
	q := url.Values{"access_token": {c["access_token"].(string)}, "appsecret_proof": {c["appsecret_proof"].(string)}}
	return e.get("/v27.0/me?"+q.Encode()) == 200
}

func TestAProofIsMadeOfTheServedToken(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{mountURL + "/callback/facebook"}})
	e.install()
	for _, data := range []map[string]any{nil, {"proof": "now"}} {
		c := e.must(logical.ReadOperation, "creds/"+installation, data)
		q := url.Values{"access_token": {c["access_token"].(string)}, "appsecret_proof": {c["appsecret_proof"].(string)}}
		if data != nil {
			q.Set("appsecret_time", fmt.Sprint(c["appsecret_time"]))
		}
		if status := e.get("/v27.0/me?" + q.Encode()); status != 200 {
			t.Errorf("with the proof of %v the provider answers %d", data, status)
		}
		q.Set("appsecret_proof", strings.Repeat("0", 64))
		if status := e.get("/v27.0/me?" + q.Encode()); status != 400 {
			t.Errorf("with a wrong proof the provider answers %d", status)
		}
	}
	e.refused("invalid_request", 400, logical.ReadOperation, "creds/"+installation, map[string]any{"proof": "later"})
}

// TestEveryCallWithATokenIsProven looks at what the engine sends in its life
// with a business, its page and a person, with their tokens and the app's own.
// The verification that asks for nothing without a token is none of these.
func TestEveryCallWithATokenIsProven(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.install()
	e.read("creds/" + page777)
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	e.clock.Advance(10 * day)
	for _, ref := range []string{installation, uma, page777} {
		e.must(logical.UpdateOperation, "connections/"+ref+"/check", nil)
		e.must(logical.UpdateOperation, "connections/"+ref+"/refresh", nil)
	}
	e.after(2 * day)
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	proven := map[string]bool{}
	for _, r := range e.fb.Requests() {
		token := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + r.Form.Get("access_token") + r.Query.Get("access_token")
		if token == "" || r.Batched { // an entry of a batch is proven by the batch
			continue
		}
		proven[r.Endpoint] = true
		if !r.Query.Has("appsecret_proof") && !r.Form.Has("appsecret_proof") {
			t.Errorf("%s %s is sent without a proof", r.Method, r.Path)
		}
	}
	for _, endpoint := range []string{authpipetest.EndpointMe, authpipetest.EndpointAccounts, authpipetest.EndpointRevokeToken, authpipetest.EndpointRevoke, authpipetest.EndpointBatch} {
		if !proven[endpoint] {
			t.Errorf("%s was never called with a token", endpoint)
		}
	}
}
