package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// events reads what has happened since after, as "type ref".
func (e *engine) events(after any) (found []string, last int64) {
	e.t.Helper()
	answer := e.must(logical.ReadOperation, "events", map[string]any{"after": after})
	for _, event := range answer["events"].([]map[string]any) {
		found = append(found, fmt.Sprintf("%s %s", event["type"], event["ref"]))
	}
	return found, answer["after"].(int64)
}

func (e *engine) happened(after int64, want ...string) (last int64) {
	e.t.Helper()
	found, last := e.events(after)
	if !slices.Equal(found, want) {
		e.t.Errorf("what happened is %q, want %q", found, want)
	}
	return last
}

func TestEventsTellAConnectionsLife(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	at := e.happened(0, "connection.created "+installation, "connection.created "+uma)
	e.clock.Advance(30 * day)
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	at = e.happened(at, "connection.refreshed "+uma)
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"}, "scopes", "public_profile,email,user_posts")
	at = e.happened(at, "connection.reconnected "+uma, "scopes.changed "+uma)

	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})
	for range 2 {
		e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	}
	clear()
	at = e.happened(at, "connection.refresh_failed "+uma)
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	at = e.happened(at) // what had not failed has not recovered

	e.fb.ChangePassword("uma")
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	at = e.happened(at, "connection.needs_reauth "+uma)
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"}, "scopes", "public_profile,email,user_posts")
	at = e.happened(at, "connection.reconnected "+uma)
	e.fb.RemoveApp(appID, "uma")
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	at = e.happened(at, "connection.revoked "+uma)
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	at = e.happened(at, "connection.deleted "+uma)

	e.fb.SetAppSecret(appID, newSecret)
	e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	e.after(time.Minute)
	e.fb.SetAppSecret(appID, appSecret)
	e.after(time.Minute)
	defer e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4}})()
	e.do(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	e.happened(at, "provider.misconfigured facebook", "provider.recovered facebook", "provider.throttled facebook")
}

// TestTheEndIsToldBeforeItComes covers what cannot be extended: data access
// never, and a token whose refreshes fail.
func TestTheEndIsToldBeforeItComes(t *testing.T) {
	for name, row := range map[string]struct {
		fault authpipetest.Fault
		end   time.Duration // from the connection
		says  string
	}{
		"the access to data": {authpipetest.Fault{Endpoint: "none"}, 90 * day, "access to the person's data ends"},
		"the token":          {authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}}, 60 * day, "could not be extended"},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			defer e.fb.Fail(row.fault)()
			connected := e.clock.Now()
			var told []time.Duration
			for e.clock.Now().Before(connected.Add(row.end)) {
				_, last := e.events(0)
				e.after(6 * time.Hour)
				answer := e.must(logical.ReadOperation, "events", map[string]any{"after": last})
				for _, event := range answer["events"].([]map[string]any) {
					if event["type"] == "connection.expiring" && event["ref"] == uma && strings.Contains(event["reason"].(string), row.says) {
						told = append(told, connected.Add(row.end).Sub(e.clock.Now()).Round(12*time.Hour))
					}
				}
			}
			if !slices.Equal(told, []time.Duration{7 * day, day}) {
				t.Errorf("told %v before the end, want 7 days and 1 day", told)
			}
		})
	}
}

func TestAHealthyConnectionIsNotSaidToEnd(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for range 80 {
		e.after(day)
	}
	if found, _ := e.events(0); slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, "connection.expiring") }) {
		t.Errorf("what happened is %q", found)
	}
}

func TestEventsSurviveARestartAndCountOn(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	for i := range 230 {
		if i%100 == 50 {
			e.restart()
		}
		e.connect(installation, "admin", authpipetest.Consent{User: "ada"})
	}
	e.restart()
	answer := e.must(logical.ReadOperation, "events", map[string]any{"limit": 1000})
	events, before := answer["events"].([]map[string]any), int64(0)
	for _, event := range events {
		if event["id"].(int64) <= before {
			t.Fatalf("after %d comes %v", before, event)
		}
		before = event["id"].(int64)
	}
	if len(events) != 231 || answer["after"] != before {
		t.Errorf("the last of %d is %v", len(events), answer["after"])
	}
	if found, last := e.events(before); len(found) != 0 || last != before {
		t.Errorf("after the last come %v, up to %d", found, last)
	}
	page := e.must(logical.ReadOperation, "events", map[string]any{"after": 95, "limit": 10})
	if got := page["events"].([]map[string]any); len(got) != 10 || got[0]["id"] != int64(96) || page["after"] != events[104]["id"] {
		t.Errorf("a page across two is %v", page)
	}
	for _, bad := range []map[string]any{{"after": -1}, {"after": "x"}, {"limit": 0}, {"limit": 10001}} {
		e.refused("invalid_request", 400, logical.ReadOperation, "events", bad)
	}
}

// TestAnEventThatCannotBeWrittenCostsNoRequest has storage fail where events
// lie: what was asked for is done, and the event is written later.
func TestAnEventThatCannotBeWrittenCostsNoRequest(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "event/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	e.storage.Reset()
	e.sweep()
	if found, _ := e.events(0); !slices.Contains(found, "connection.deleted "+uma) {
		t.Errorf("what happened is %q", found)
	}
}
