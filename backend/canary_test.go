package backend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/canary"
)

// leaks searches what has left the engine for the canaries: its log, storage,
// what it answers to those who may see no secret, the pages and errors in
// shown, and the URLs of its calls.
func (e *engine) leaks(search *canary.Search, shown ...string) []string {
	e.t.Helper()
	places := map[string]string{"the log": e.log.String(), "what was shown": strings.Join(shown, "\n")}
	keys, err := e.storage.Keys(context.Background(), "")
	if err != nil {
		e.t.Fatal(err)
	}
	for _, key := range keys {
		entry, err := e.storage.Storage.Get(context.Background(), key)
		if err != nil {
			e.t.Fatal(err)
		}
		if !strings.HasPrefix(key, "keyring/") { // keysets lie in the clear under the barrier
			places["storage at "+key] = key + "\x00" + string(entry.Value)
		}
	}
	for _, path := range []string{"config/facebook", "events", "health", "info", "metrics", "connections/" + installation, "connections/" + uma, "tenants/org_acme"} {
		resp, err := e.do(logical.ReadOperation, path, nil)
		text, _ := json.Marshal(resp)
		if resp != nil {
			raw, _ := resp.Data[logical.HTTPRawBody].([]byte)
			text = append(text, raw...)
		}
		places["the answer to "+path] = fmt.Sprint(string(text), err)
	}
	for i, r := range e.fb.Requests() {
		// An authorization URL has a state. The URL of a batch's entry is in a body.
		if r.Endpoint != authpipetest.EndpointDialog && !r.Batched {
			places[fmt.Sprintf("URL %d, of a call to %s", i, r.Endpoint)] = r.Path + "?" + r.Query.Encode()
		}
	}
	var found []string
	for place, text := range places {
		for _, f := range search.Find([]byte(text)) {
			found = append(found, place+" shows "+f.String())
		}
	}
	return found
}

// wire plants what the provider has seen of secrets: also those that nobody
// else does, as verifiers.
func (e *engine) wire(search *canary.Search) {
	for _, r := range e.fb.Requests() {
		bearer, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		for name, secret := range map[string]string{
			"bearer token": bearer, "code": r.Form.Get("code"), "verifier": r.Form.Get("code_verifier"), "traded token": r.Form.Get("fb_exchange_token"),
			"inspected token": r.Form.Get("input_token"), "app token": r.Form.Get("access_token"), "nonce": r.Query.Get("nonce"), "state": r.Query.Get("state"),
		} {
			if secret != "" {
				search.Plant(name, secret)
			}
		}
	}
}

// TestNoCanaryGetsOut runs through all that a credential lives through, well
// and badly, and then searches what has left the engine.
func TestNoCanaryGetsOut(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	var search canary.Search
	const clientToken = "client-token-0123456789abcdef"
	search.Plant("app secret", appSecret)
	search.Plant("client token", clientToken)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": clientToken})
	var shown []string
	show := func(resp *logical.Response, err error) {
		text, _ := json.Marshal(resp)
		shown = append(shown, fmt.Sprint(string(text), err))
	}
	connect := func(ref, actor, user string, data map[string]any) {
		t.Helper()
		data["actor"] = actor
		s := e.begin(ref, data)
		back := e.consent(s, authpipetest.Consent{User: user})
		search.Plant("code", back.Query().Get("code"))
		search.Plant("state", back.Query().Get("state"))
		code := e.callback(back).code(t)
		search.Plant("connect code", code)
		search.Plant("connect code", strings.ReplaceAll(code, "-", ""))
		show(e.do(logical.ReadOperation, s.path, nil))
		// Wrongly, as a mistaken application might: what it swaps must not be echoed.
		show(e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": actor, "connect_code": back.Query().Get("code")}))
		show(e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": actor, "state": back.Query().Get("code"), "code": back.Query().Get("state")}))
		show(e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": actor, "connect_code": code, "state": code}))
		show(e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": actor, "connect_code": code}))
		show(e.do(logical.ReadOperation, s.path, nil))
		// A denial that has all in it, for a session of its own.
		denied := e.begin(ref, data)
		q := url.Values{"state": {stateOf(t, denied)}, "error": {"access_denied"}, "error_description": {stateOf(t, denied)}}
		search.Plant("state", stateOf(t, denied))
		shown = append(shown, e.callback(&url.URL{RawQuery: q.Encode()}).html)
		show(e.do(logical.ReadOperation, denied.path, nil))
	}
	connect(installation, "admin", "ada", map[string]any{})
	connect(uma, "uma", "uma", map[string]any{"scopes": []string{"openid", "email"}, "return_url": ""})
	for _, ref := range []string{installation, uma} {
		search.Plant("token", e.read("creds/" + ref)["access_token"].(string))
	}
	page := "org_acme/facebook/pages/777"
	search.Plant("page token", e.read("creds/" + page)["access_token"].(string))
	e.wire(&search)

	// A provider that echoes what it was sent, in each of its errors and calls.
	for _, graphError := range []authpipetest.GraphError{{Code: 190, Subcode: 460}, {Code: 4}, {Code: 1}, {Code: 100}, {Code: 102}, {Code: 10}, {Code: 2}, {Code: 999}} {
		for _, secret := range []string{e.token(installation), appSecret, appID + "|" + appSecret} {
			graphError.Message = "echo " + secret + " " + url.QueryEscape(secret)
			mend := e.fb.Fail(authpipetest.Fault{Error: &graphError})
			show(e.do(logical.UpdateOperation, "connections/"+installation+"/refresh", nil))
			show(e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil))
			show(e.do(logical.UpdateOperation, "config/facebook/verify", nil))
			show(e.do(logical.UpdateOperation, "creds/"+udo, map[string]any{"access_token": secret}))
			show(e.do(logical.DeleteOperation, "creds/"+uma, nil))
			mend()
			e.clock.Advance(2 * time.Hour) // longer than any pause
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
			e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
			e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
			e.clock.Advance(7 * time.Hour)
			e.sweep()
		}
	}
	// One that answers what is no answer.
	for _, body := range []string{`{"error":"` + e.token(installation) + `"}`, e.token(installation), `{"access_token":{"` + appSecret + `":1}}`, "<html>" + e.token(uma)} {
		mend := e.fb.Fail(authpipetest.Fault{Body: body})
		show(e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil))
		show(e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil))
		mend()
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	}
	e.wire(&search)
	show(e.do(logical.ReadOperation, "creds/org_acme/facebook/users/nobody", nil))
	show(e.do(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": "with space " + appSecret}))
	for _, found := range e.leaks(&search, shown...) {
		t.Error(found)
	}
	if search.Len() < 15 {
		t.Errorf("only %d canaries were planted", search.Len())
	}
}

// token is what is stored, without asking whether it may be served.
func (e *engine) token(ref string) string {
	e.t.Helper()
	e.must(logical.UpdateOperation, "connections/"+ref+"/check", nil)
	return e.read("creds/" + ref)["access_token"].(string)
}

// TestTheSearchFindsWhatTheEngineLeaks leaks on purpose, in each place.
func TestTheSearchFindsWhatTheEngineLeaks(t *testing.T) {
	const secret = "EAAleaked-on-purpose"
	var search canary.Search
	search.Plant("token", secret)
	for place, leak := range map[string]func(*engine){
		"the log":             func(e *engine) { e.Logger().Trace("leak", "token", secret) },
		"storage at session/": func(e *engine) { e.plant("session/x", []byte(secret)) },
		"the answer to": func(e *engine) {
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_url": "https://e/" + secret})
		},
		"URL": func(e *engine) { e.get("/v27.0/me?access_token=" + secret) },
	} {
		e := newEngine(t, authpipetest.Options{})
		e.install()
		leak(e)
		if found := e.leaks(&search); len(found) != 1 || !strings.HasPrefix(found[0], place) {
			t.Errorf("in %s is found %v", place, found)
		}
	}
	if found := newEngine(t, authpipetest.Options{}).leaks(&search, "page: "+secret); len(found) != 1 {
		t.Errorf("in what was shown is found %v", found)
	}
}
