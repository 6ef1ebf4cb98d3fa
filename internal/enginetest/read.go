package enginetest

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// Token returns the token that is served for ref.
func (e *Engine) Token(ref string) string {
	e.T.Helper()
	return e.Read("creds/" + ref)["access_token"].(string)
}

// CheckedToken checks the credential and returns its token.
func (e *Engine) CheckedToken(ref string) string {
	e.T.Helper()
	e.Must(logical.UpdateOperation, "connections/"+ref+"/check", nil)
	return e.Read("creds/" + ref)["access_token"].(string)
}

// Alive reports whether the provider accepts the token that is served for ref.
func (e *Engine) Alive(ref string) bool {
	e.T.Helper()
	known, _ := e.Facebook.Inspect(e.Read("creds/" + ref)["access_token"].(string))
	return known.Valid
}

// Expiry is when the provider lets the token that is served for ref expire.
func (e *Engine) Expiry(ref string) time.Time {
	e.T.Helper()
	token, _ := e.Facebook.Inspect(e.Read("creds/" + ref)["access_token"].(string))
	if !token.Valid {
		e.T.Fatalf("%s is served with a dead token", ref)
	}
	return token.ExpiresAt
}

// ReadWarm reads a credential and checks that this needs neither storage nor
// the provider.
func (e *Engine) ReadWarm(ref string, data map[string]any) map[string]any {
	e.T.Helper()
	e.Storage.Reset()
	n := e.Facebook.Count("")
	answer := e.Must(logical.ReadOperation, "creds/"+ref, data)
	if ops := e.Storage.Operations(); len(ops) > 0 || e.Facebook.Count("") != n {
		e.T.Errorf("a warm read of %s makes %v and %d calls", ref, ops, e.Facebook.Count("")-n)
	}
	return answer
}

// WriteStatic writes a static credential.
func (e *Engine) WriteStatic(ref, credentialType, value string) map[string]any {
	e.T.Helper()
	return e.Must(logical.UpdateOperation, "creds/"+ref, map[string]any{"credential": value, "credential_type": credentialType, "actor": "alice"})
}

// Events reads the events since after, as "type ref".
func (e *Engine) Events(after any) (found []string, last int64) {
	e.T.Helper()
	answer := e.Must(logical.ReadOperation, "events", map[string]any{"after": after})
	for _, event := range answer["events"].([]map[string]any) {
		found = append(found, fmt.Sprintf("%s %s", event["type"], event["ref"]))
	}
	return found, answer["after"].(int64)
}

// EventsOf returns the types of the events of a ref.
func (e *Engine) EventsOf(ref string) (types []string) {
	e.T.Helper()
	found, _ := e.Events(0)
	for _, event := range found {
		if strings.HasSuffix(event, " "+ref) {
			types = append(types, strings.TrimSuffix(event, " "+ref))
		}
	}
	return types
}

// ProviderHealth returns Facebook's part of health.
func (e *Engine) ProviderHealth() map[string]any {
	e.T.Helper()
	return e.Read("health")["providers"].(map[string]any)["facebook"].(map[string]any)
}

// Metrics reads what Prometheus would: the value of each series of the
// engine's own.
func (e *Engine) Metrics() map[string]float64 {
	e.T.Helper()
	data := e.Read("metrics")
	if data[logical.HTTPContentType] != "text/plain; version=0.0.4; charset=utf-8" || data[logical.HTTPStatusCode] != http.StatusOK {
		e.T.Errorf("metrics are %v with status %v", data[logical.HTTPContentType], data[logical.HTTPStatusCode])
	}
	series := map[string]float64{}
	for line := range strings.Lines(string(data[logical.HTTPRawBody].([]byte))) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if i := strings.LastIndex(line, "} "); i > 0 { // a label's value may have a space
			name, value = line[:i+1], strings.TrimSpace(line[i+2:])
		}
		n, err := strconv.ParseFloat(value, 64)
		if strings.HasPrefix(name, "authpipe_") && err == nil {
			series[name] = n
		}
	}
	return series
}

// SlowReads advances the clock by 30 s at each read of a record, so that each
// slice of a scan ends after one. reads counts them by key.
func (e *Engine) SlowReads() (reads func(key string) int) {
	var mu sync.Mutex
	count := map[string]int{}
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "get" && strings.HasPrefix(op.Key, "cred/org_acme/") {
			mu.Lock()
			count[op.Key]++
			mu.Unlock()
			e.Clock.Advance(30 * time.Second)
		}
		return nil
	})
	return func(key string) int {
		mu.Lock()
		defer mu.Unlock()
		return count[key]
	}
}

// Findings returns what verify finds, by check.
func (e *Engine) Findings() (ok bool, found map[string]map[string]any) {
	e.T.Helper()
	answer := e.Must(logical.UpdateOperation, "config/facebook/verify", nil)
	found = map[string]map[string]any{}
	for _, f := range answer["findings"].([]map[string]any) {
		if check := f["check"].(string); found[check] == nil || found[check]["ok"] == true { // of several redirect URIs, one with trouble
			found[check] = f
		}
	}
	return answer["ok"].(bool), found
}
