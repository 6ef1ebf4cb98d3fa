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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// leaks searches what has left the engine for the canaries: its log, storage,
// what it answers to callers that may see no secret, the pages and errors in
// shown, and the URLs of its calls.
func leaks(e *enginetest.Engine, search *canary.Search, shown ...string) []string {
	e.T.Helper()
	places := map[string]string{"the log": e.Log.String(), "what was shown": strings.Join(shown, "\n")}
	keys, err := e.Storage.Keys(context.Background(), "")
	if err != nil {
		e.T.Fatal(err)
	}
	for _, key := range keys {
		entry, err := e.Storage.Storage.Get(context.Background(), key)
		if err != nil {
			e.T.Fatal(err)
		}
		if !strings.HasPrefix(key, "keyring/") { // keysets lie in the clear under the barrier
			places["storage at "+key] = key + "\x00" + string(entry.Value)
		}
	}
	for _, path := range []string{"config/facebook", "events", "health", "info", "metrics", "connections/" + enginetest.Installation, "connections/" + enginetest.Uma, "tenants/org_acme"} {
		resp, err := e.Do(logical.ReadOperation, path, nil)
		text, _ := json.Marshal(resp)
		if resp != nil {
			raw, _ := resp.Data[logical.HTTPRawBody].([]byte)
			text = append(text, raw...)
		}
		places["the answer to "+path] = fmt.Sprint(string(text), err)
	}
	for i, r := range e.Facebook.Requests() {
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

// wire plants what the provider has seen of secrets: also those that only it
// sees, as verifiers.
func throughWire(e *enginetest.Engine, search *canary.Search) {
	for _, r := range e.Facebook.Requests() {
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

// TestNoCanaryLeaks runs through all that a credential lives through, well
// and badly, and then searches what has left the engine.
func TestNoCanaryLeaks(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	var search canary.Search
	const clientToken = "client-token-0123456789abcdef"
	search.Plant("app secret", enginetest.AppSecret)
	search.Plant("client token", clientToken)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": clientToken})
	var shown []string
	show := func(resp *logical.Response, err error) {
		text, _ := json.Marshal(resp)
		shown = append(shown, fmt.Sprint(string(text), err))
	}
	connect := func(ref, actor, user string, data map[string]any) {
		t.Helper()
		data["actor"] = actor
		s := e.Begin(ref, data)
		back := e.Consent(s, authpipetest.Consent{User: user})
		search.Plant("code", back.Query().Get("code"))
		search.Plant("state", back.Query().Get("state"))
		code := e.Callback(back).ConnectCode(t)
		search.Plant("connect code", code)
		search.Plant("connect code", strings.ReplaceAll(code, "-", ""))
		show(e.Do(logical.ReadOperation, s.Path, nil))
		// Wrongly, as a mistaken application might: what it swaps must not be echoed.
		show(e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": actor, "connect_code": back.Query().Get("code")}))
		show(e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": actor, "state": back.Query().Get("code"), "code": back.Query().Get("state")}))
		show(e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": actor, "connect_code": code, "state": code}))
		show(e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": actor, "connect_code": code}))
		show(e.Do(logical.ReadOperation, s.Path, nil))
		// A denial that has all in it, for a session of its own.
		denied := e.Begin(ref, data)
		q := url.Values{"state": {enginetest.StateOf(t, denied)}, "error": {"access_denied"}, "error_description": {enginetest.StateOf(t, denied)}}
		search.Plant("state", enginetest.StateOf(t, denied))
		shown = append(shown, e.Callback(&url.URL{RawQuery: q.Encode()}).HTML)
		show(e.Do(logical.ReadOperation, denied.Path, nil))
	}
	connect(enginetest.Installation, "admin", "ada", map[string]any{})
	connect(enginetest.Uma, "uma", "uma", map[string]any{"scopes": []string{"openid", "email"}, "return_url": ""})
	for _, ref := range []string{enginetest.Installation, enginetest.Uma} {
		search.Plant("token", e.Read("creds/" + ref)["access_token"].(string))
	}
	page := "org_acme/facebook/pages/777"
	search.Plant("page token", e.Read("creds/" + page)["access_token"].(string))
	throughWire(e, &search)

	// A provider that echoes what it was sent, in each of its errors and calls.
	for _, graphError := range []authpipetest.GraphError{{Code: 190, Subcode: 460}, {Code: 4}, {Code: 1}, {Code: 100}, {Code: 102}, {Code: 10}, {Code: 2}, {Code: 999}} {
		for _, secret := range []string{e.CheckedToken(enginetest.Installation), enginetest.AppSecret, enginetest.AppID + "|" + enginetest.AppSecret} {
			graphError.Message = "echo " + secret + " " + url.QueryEscape(secret)
			mend := e.Facebook.Fail(authpipetest.Fault{Error: &graphError})
			show(e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil))
			show(e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil))
			show(e.Do(logical.UpdateOperation, "config/facebook/verify", nil))
			show(e.Do(logical.UpdateOperation, "creds/"+enginetest.Udo, map[string]any{"access_token": secret}))
			show(e.Do(logical.DeleteOperation, "creds/"+enginetest.Uma, nil))
			mend()
			e.Clock.Advance(2 * time.Hour) // longer than any pause
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
			e.Clock.Advance(7 * time.Hour)
			e.MustSweep()
		}
	}
	// One that answers what is no answer.
	for _, body := range []string{`{"error":"` + e.CheckedToken(enginetest.Installation) + `"}`, e.CheckedToken(enginetest.Installation), `{"access_token":{"` + enginetest.AppSecret + `":1}}`, "<html>" + e.CheckedToken(enginetest.Uma)} {
		mend := e.Facebook.Fail(authpipetest.Fault{Body: body})
		show(e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil))
		show(e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil))
		mend()
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	}
	throughWire(e, &search)
	show(e.Do(logical.ReadOperation, "creds/org_acme/facebook/users/nobody", nil))
	show(e.Do(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": "with space " + enginetest.AppSecret}))
	for _, found := range leaks(e, &search, shown...) {
		t.Error(found)
	}
	if search.Len() < 15 {
		t.Errorf("only %d canaries were planted", search.Len())
	}
}

// TestSearchFindsPlantedLeaks leaks on purpose, in each place.
func TestSearchFindsPlantedLeaks(t *testing.T) {
	const secret = "EAAleaked-on-purpose"
	var search canary.Search
	search.Plant("token", secret)
	for place, leak := range map[string]func(*enginetest.Engine){
		"the log":             func(e *enginetest.Engine) { e.Logger().Trace("leak", "token", secret) },
		"storage at session/": func(e *enginetest.Engine) { e.Plant("session/x", []byte(secret)) },
		"the answer to": func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_url": "https://e/" + secret})
		},
		"URL": func(e *enginetest.Engine) { e.Facebook.Get("/v27.0/me?access_token=" + secret) },
	} {
		e := enginetest.New(t, authpipetest.Options{})
		e.Install()
		leak(e)
		if found := leaks(e, &search); len(found) != 1 || !strings.HasPrefix(found[0], place) {
			t.Errorf("in %s is found %v", place, found)
		}
	}
	if found := leaks(enginetest.New(t, authpipetest.Options{}), &search, "page: "+secret); len(found) != 1 {
		t.Errorf("in what was shown is found %v", found)
	}
}
