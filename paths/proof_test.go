package paths_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// proves reports whether the provider accepts the proof that uma's token is
// served with.
func proves(e *enginetest.Engine) bool {
	e.T.Helper()
	c := e.Read("creds/" + enginetest.Uma)
	q := url.Values{"access_token": {c["access_token"].(string)}, "appsecret_proof": {c["appsecret_proof"].(string)}}
	return e.Facebook.Get("/v27.0/me?"+q.Encode()) == 200
}

func TestProofIsOfServedToken(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Facebook.AddApp(authpipetest.App{ID: enginetest.AppID, Secret: enginetest.AppSecret, RequireAppSecret: true, RedirectURIs: []string{enginetest.MountURL + "/callback/facebook"}})
	e.Install()
	for _, data := range []map[string]any{nil, {"proof": "now"}} {
		c := e.Must(logical.ReadOperation, "creds/"+enginetest.Installation, data)
		q := url.Values{"access_token": {c["access_token"].(string)}, "appsecret_proof": {c["appsecret_proof"].(string)}}
		if data != nil {
			q.Set("appsecret_time", fmt.Sprint(c["appsecret_time"]))
		}
		if status := e.Facebook.Get("/v27.0/me?" + q.Encode()); status != 200 {
			t.Errorf("with the proof of %v the provider answers %d", data, status)
		}
		q.Set("appsecret_proof", strings.Repeat("0", 64))
		if status := e.Facebook.Get("/v27.0/me?" + q.Encode()); status != 400 {
			t.Errorf("with a wrong proof the provider answers %d", status)
		}
	}
	e.Refused("invalid_request", 400, logical.ReadOperation, "creds/"+enginetest.Installation, map[string]any{"proof": "later"})
}

// TestEveryCallWithTokenSendsProof looks at what the engine sends in its life
// with a business, its page and a person, with their tokens and the app's own.
// The verification that asks for nothing without a token is none of these.
func TestEveryCallWithTokenSendsProof(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.Install()
	e.Read("creds/" + enginetest.Page777)
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	e.Clock.Advance(10 * enginetest.Day)
	for _, ref := range []string{enginetest.Installation, enginetest.Uma, enginetest.Page777} {
		e.Must(logical.UpdateOperation, "connections/"+ref+"/check", nil)
		e.Must(logical.UpdateOperation, "connections/"+ref+"/refresh", nil)
	}
	e.After(2 * enginetest.Day)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(2 * time.Minute)
	proven := map[string]bool{}
	for _, r := range e.Facebook.Requests() {
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
