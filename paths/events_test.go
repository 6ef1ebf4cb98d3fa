package paths_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestEventsCoverConnectionLife(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	at := e.CheckEvents(0, "connection.created "+enginetest.Installation, "connection.created "+enginetest.Uma)
	e.Clock.Advance(30 * enginetest.Day)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	at = e.CheckEvents(at, "connection.refreshed "+enginetest.Uma)
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}, "scopes", "public_profile,email,user_posts")
	at = e.CheckEvents(at, "connection.reconnected "+enginetest.Uma, "scopes.changed "+enginetest.Uma)

	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})
	for range 2 {
		e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	}
	clear()
	at = e.CheckEvents(at, "connection.refresh_failed "+enginetest.Uma)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	at = e.CheckEvents(at) // what had not failed has not recovered

	e.Facebook.ChangePassword("uma")
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	at = e.CheckEvents(at, "connection.needs_reauth "+enginetest.Uma)
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}, "scopes", "public_profile,email,user_posts")
	at = e.CheckEvents(at, "connection.reconnected "+enginetest.Uma)
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	at = e.CheckEvents(at, "connection.revoked "+enginetest.Uma)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	at = e.CheckEvents(at, "connection.deleted "+enginetest.Uma)

	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	e.After(time.Minute)
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.AppSecret)
	e.After(time.Minute)
	defer e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4}})()
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	e.CheckEvents(at, "provider.misconfigured facebook", "provider.recovered facebook", "provider.throttled facebook")
}

// TestExpiringEventPrecedesExpiry covers what cannot be extended: data access
// never, and a token whose refreshes fail.
func TestExpiringEventPrecedesExpiry(t *testing.T) {
	for name, row := range map[string]struct {
		fault authpipetest.Fault
		end   time.Duration // from the connection
		says  string
	}{
		"the access to data": {authpipetest.Fault{Endpoint: "none"}, 90 * enginetest.Day, "access to the person's data ends"},
		"the token":          {authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}}, 60 * enginetest.Day, "could not be extended"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			defer e.Facebook.Fail(row.fault)()
			connected := e.Clock.Now()
			var told []time.Duration
			for e.Clock.Now().Before(connected.Add(row.end)) {
				_, last := e.Events(0)
				e.After(6 * time.Hour)
				answer := e.Must(logical.ReadOperation, "events", map[string]any{"after": last})
				for _, event := range answer["events"].([]map[string]any) {
					if event["type"] == "connection.expiring" && event["ref"] == enginetest.Uma && strings.Contains(event["reason"].(string), row.says) {
						told = append(told, connected.Add(row.end).Sub(e.Clock.Now()).Round(12*time.Hour))
					}
				}
			}
			if !slices.Equal(told, []time.Duration{7 * enginetest.Day, enginetest.Day}) {
				t.Errorf("told %v before the end, want 7 days and 1 day", told)
			}
		})
	}
}

func TestHealthyConnectionHasNoExpiringEvent(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for range 80 {
		e.After(enginetest.Day)
	}
	if found, _ := e.Events(0); slices.ContainsFunc(found, func(s string) bool { return strings.HasPrefix(s, "connection.expiring") }) {
		t.Errorf("what happened is %q", found)
	}
}

func TestEventsSurviveRestart(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for i := range 230 {
		if i%100 == 50 {
			e.Restart()
		}
		e.Connect(enginetest.Installation, "admin", authpipetest.Consent{User: "ada"})
	}
	e.Restart()
	answer := e.Must(logical.ReadOperation, "events", map[string]any{"limit": 1000})
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
	if found, last := e.Events(before); len(found) != 0 || last != before {
		t.Errorf("after the last come %v, up to %d", found, last)
	}
	page := e.Must(logical.ReadOperation, "events", map[string]any{"after": 95, "limit": 10})
	if got := page["events"].([]map[string]any); len(got) != 10 || got[0]["id"] != int64(96) || page["after"] != events[104]["id"] {
		t.Errorf("a page across two is %v", page)
	}
	for _, bad := range []map[string]any{{"after": -1}, {"after": "x"}, {"limit": 0}, {"limit": 10001}} {
		e.Refused("invalid_request", 400, logical.ReadOperation, "events", bad)
	}
}

// TestUnwritableEventFailsNoRequest has storage fail where events
// lie: what was asked for is done, and the event is written later.
func TestUnwritableEventFailsNoRequest(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "event/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.Storage.Reset()
	e.MustSweep()
	if found, _ := e.Events(0); !slices.Contains(found, "connection.deleted "+enginetest.Uma) {
		t.Errorf("what happened is %q", found)
	}
}
