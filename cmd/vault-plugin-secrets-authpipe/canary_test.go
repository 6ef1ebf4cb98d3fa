package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/canary"
)

// auditLog is the path of the audit log that setup enables.
func (s *vaultServer) auditLog() string { return filepath.Join(filepath.Dir(s.log), "audit.log") }

// audit makes the server write an audit log, as every production server does. An OpenBao does so from its start.
func (s *vaultServer) audit(tb testing.TB) {
	if s.bao {
		return
	}
	s.call(tb, http.MethodPut, "sys/audit/canaries", map[string]any{"type": "file", "options": map[string]any{"file_path": s.auditLog()}})
}

// canaries returns the secrets that must not be found: those of the script's variables, and those that went through the simulator,
// such as verifiers and replaced tokens.
func (w *environment) canaries() *canary.Search {
	search := &canary.Search{}
	plant := func(name, secret string) {
		if secret != "" {
			search.Plant(name, secret)
		}
	}
	plant("app secret", appSecret)
	plant("app secret", secondAppSecret)
	plant("client token", clientToken)
	for _, name := range []string{"app secret", "code", "state", "token", "proof", "connect code", "static secret"} {
		for _, secret := range w.secrets[name] {
			plant(name, secret)
		}
	}
	for _, r := range w.facebook.Requests() {
		token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		for name, secret := range map[string]string{
			"state": r.Query.Get("state"), "code": r.Form.Get("code"), "verifier": r.Form.Get("code_verifier"), "app secret": r.Form.Get("client_secret"),
			"token": token, "traded token": r.Form.Get("fb_exchange_token"), "inspected token": r.Form.Get("input_token"), "app token": r.Form.Get("access_token"),
		} {
			plant(name, secret)
		}
	}
	return search
}

// leaks searches all output of the engine, while the server runs, and returns the secrets that it finds.
func (w *environment) leaks(tb testing.TB) []string {
	search := w.canaries()
	var found []string
	reported := map[string]bool{} // each canary once for each place
	in := func(search *canary.Search, text []byte, place string, about ...any) {
		place = fmt.Sprintf(place, about...)
		for _, f := range search.Find(text) {
			if key := place + "\x00" + f.Name; !reported[key] {
				reported[key] = true
				found = append(found, place+" shows "+f.String())
			}
		}
	}
	// This comes first: the search itself reads storage, which the audit log shows.
	audit, err := os.ReadFile(w.server.auditLog())
	if err != nil && !os.IsNotExist(err) {
		tb.Errorf("reading the audit log: %v", err)
	}
	for line := range bytes.Lines(audit) {
		address, rest := cutRequestURI(line)
		in(search, rest, "the audit log")
		// Vault writes the URL of a GET there before it calls the plugin, with code and state.
		in(search.Without("code", "state"), address, "the audit log's request_uri")
	}
	for _, page := range w.pages {
		// The page shows the connect code on purpose.
		in(search.Without("connect code"), []byte(page), "the callback's page")
	}
	for _, r := range w.facebook.Requests() {
		// A browser opens the authorization URL, which has a state. The URL of a batch's entry is in a body.
		if r.Endpoint == authpipetest.EndpointDialog || r.Batched {
			continue
		}
		known := []string{"proof"}
		if r.Endpoint == authpipetest.EndpointRevokeToken {
			known = append(known, "app secret", "token", "traded token", "inspected token") // Meta accepts them only there
		}
		in(search.Without(known...), []byte(r.Path+"?"+r.Query.Encode()), "the URL of a call to %s", r.Endpoint)
	}
	for path, answer := range w.plainAnswers() {
		in(search, answer, "the answer to %s", path)
	}
	for key, value := range w.rawStorage(tb) {
		if strings.HasPrefix(key, "keyring/") {
			continue // keysets are in the clear under the barrier
		}
		in(search, []byte(key+"\x00"+value), "storage at %s", key)
	}
	log, err := os.ReadFile(w.server.log)
	if err != nil {
		tb.Errorf("reading the server's log: %v", err)
	}
	in(search, log, "the server's log")
	return found
}

// cutRequestURI removes the requested URL from an entry of the audit log.
func cutRequestURI(line []byte) (address, rest []byte) {
	var entry map[string]any
	if json.Unmarshal(line, &entry) != nil {
		return nil, line
	}
	request, _ := entry["request"].(map[string]any)
	if uri, ok := request["request_uri"].(string); ok {
		address = []byte(uri)
		delete(request, "request_uri")
	}
	rest, err := json.Marshal(entry)
	if err != nil {
		return nil, line
	}
	return address, rest
}

// plainAnswers reads, on every mount, the paths that show state and no secret.
func (w *environment) plainAnswers() map[string][]byte {
	answers := map[string][]byte{}
	read := func(path string) map[string]any {
		answer, status := w.server.try(http.MethodGet, path, nil)
		if text, err := json.Marshal(answer); err == nil && status != 0 {
			answers[path] = text
		}
		data, _ := answer["data"].(map[string]any)
		return data
	}
	for mount := range w.mounts() {
		for _, path := range []string{"config/facebook", "events", "health", "health/needs_reauth?list=true", "health/revoked?list=true", "health/failed?list=true", "metrics", "info", "settings"} {
			read(mount + path)
		}
		var walk func(path string, depth int)
		walk = func(path string, depth int) {
			keys, _ := read(path + "?list=true")["keys"].([]any)
			for _, key := range keys {
				below := path + url.PathEscape(strings.TrimSuffix(key.(string), "/"))
				if read(below); depth > 0 {
					walk(below+"/", depth-1)
				}
			}
		}
		walk(mount+"connections/", 5)
		walk(mount+"tenants/", 0)
	}
	return answers
}

// mounts returns the ids of the engine's mounts in Vault's storage, by path.
func (w *environment) mounts() map[string]string {
	mounts := map[string]string{}
	answer, _ := w.server.try(http.MethodGet, "sys/mounts", nil)
	data, _ := answer["data"].(map[string]any)
	for path, mount := range data {
		if mount, ok := mount.(map[string]any); ok && mount["type"] == pluginName {
			mounts[path] = fmt.Sprint(mount["uuid"])
		}
	}
	return mounts
}

// rawStorage returns the engine's storage, as it is under Vault's barrier.
func (w *environment) rawStorage(tb testing.TB) map[string]string {
	all := map[string]string{}
	for _, id := range w.mounts() {
		var walk func(dir string)
		walk = func(dir string) {
			answer, _ := w.server.try(http.MethodGet, "sys/raw/logical/"+id+"/"+dir+"?list=true", nil)
			data, _ := answer["data"].(map[string]any)
			keys, _ := data["keys"].([]any)
			for _, key := range keys {
				key := dir + key.(string)
				if strings.HasSuffix(key, "/") {
					walk(key)
					continue
				}
				answer, status := w.server.try(http.MethodGet, "sys/raw/logical/"+id+"/"+strings.ReplaceAll(url.PathEscape(key), "%2F", "/")+"?encoding=base64", nil)
				if status == http.StatusNotFound {
					continue // it was just deleted
				}
				data, _ := answer["data"].(map[string]any)
				value, err := base64.StdEncoding.DecodeString(fmt.Sprint(data["value"]))
				if err != nil || status != http.StatusOK {
					tb.Errorf("reading %s under the barrier: status %d, %v", key, status, err)
				}
				all[key] = string(value)
			}
		}
		walk("")
	}
	return all
}

// TestSearchFindsLeakedSecrets leaks a secret on purpose in each place, to prove that leaks searches there.
func TestSearchFindsLeakedSecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	t.Parallel()
	facebook := authpipetest.NewFacebook(authpipetest.Options{})
	w := &environment{server: startVault(t, findVault(t), buildPlugin(t)), facebook: facebook}
	w.server.audit(t)
	w.mount(t, facebook.Start(t))
	w.connect(t, "org_acme/facebook/installation", alice)
	if found := w.leaks(t); len(found) != 0 {
		t.Fatalf("found before the test has leaked a secret: %s", strings.Join(found, "\n"))
	}
	if n := len(w.rawStorage(t)); n < 8 {
		t.Errorf("only %d records were searched", n)
	}
	if n := len(w.plainAnswers()); n < 8 {
		t.Errorf("only %d responses were searched", n)
	}
	names := map[string]bool{}
	for _, kind := range []string{"app secret", "state", "code", "token", "connect code"} {
		if names[kind] = w.canaries().Len() > w.canaries().Without(kind).Len(); !names[kind] {
			t.Errorf("the search does not look for a %s", kind)
		}
	}

	mount := w.mounts()["authpipe/"]
	log, err := os.OpenFile(w.server.log, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for name, leak := range map[string]struct {
		place string
		leak  func(secret string)
	}{
		"a record in base64": {"storage at session/", func(secret string) {
			w.server.call(t, http.MethodPut, "sys/raw/logical/"+mount+"/session/leak", map[string]any{"value": `{"token":"` + base64.URLEncoding.EncodeToString([]byte("x"+secret)) + `"}`})
		}},
		"a key that is a token": {"storage at account/", func(secret string) {
			w.server.call(t, http.MethodPut, "sys/raw/logical/"+mount+"/account/facebook/x/org_acme,facebook,users,"+secret, map[string]any{"value": "x"})
		}},
		"an address that has a token": {"the audit log's request_uri", func(secret string) {
			w.server.try(http.MethodGet, "authpipe/callback/facebook?state=x&token="+url.QueryEscape(secret), nil)
		}},
		"a path that has a token": {"the audit log", func(secret string) { w.server.try(http.MethodGet, "authpipe/creds/"+secret, nil) }},
		"a log line":              {"the server's log", func(secret string) { fmt.Fprintf(log, "token=%x\n", secret) }},
		"a page":                  {"the callback's page", func(secret string) { w.pages = append(w.pages, "&lt;"+url.QueryEscape(secret)) }},
		"a call to the provider": {"the URL of a call", func(secret string) {
			resp, err := http.Get(facebook.Start(t) + "/v26.0/me?access_token=" + url.QueryEscape(secret))
			if err == nil {
				resp.Body.Close()
			}
		}},
		"the id of a user": {"the answer to authpipe/connections/", func(secret string) {
			w.connect(t, "org_acme/facebook/users/"+secret, bob)
		}},
	} {
		if w.server.bao && leak.place == "the audit log's request_uri" {
			continue // an OpenBao's audit log has no URL
		}
		// Its characters are allowed in a user's id.
		secret := "EAA" + strings.ReplaceAll(name, " ", "-")
		w.secrets = map[string][]string{"token": {secret}} // without the secrets of the former rounds
		leak.leak(secret)
		found := w.leaks(t)
		if !slices.ContainsFunc(found, func(f string) bool {
			return strings.HasPrefix(f, leak.place) && strings.Contains(f, " shows the token, ")
		}) {
			t.Errorf("%s was not found: %s", name, strings.Join(found, "\n"))
		}
	}
}
