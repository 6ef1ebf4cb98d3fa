package refresh_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A tenant's former token may be another's.
func TestFormerTokenOfAnotherTenantIsNotRevoked(t *testing.T) {
	for name, act := range map[string]func(*enginetest.Engine){
		"delete": func(e *enginetest.Engine) {
			e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
			e.After(2 * time.Minute)
		},
		"refresh again": func(e *enginetest.Engine) {
			e.Clock.Advance(2 * enginetest.Day)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		},
		"connect again": func(e *enginetest.Engine) { e.Install() },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
			e.Install()
			shared := e.Read("creds/" + enginetest.Installation)["access_token"].(string)
			e.Must(logical.UpdateOperation, "creds/"+enginetest.Globex, map[string]any{"access_token": shared})
			if e.Read("creds/" + enginetest.Globex)["access_token"] != shared {
				t.Fatal("the import trades it")
			}
			e.Clock.Advance(10 * enginetest.Day)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
			if e.Read("creds/" + enginetest.Installation)["access_token"] == shared {
				t.Fatal("not refreshed")
			}
			act(e)
			if !e.Alive(enginetest.Globex) {
				t.Error("another tenant's token was revoked")
			}
		})
	}
}

// Checks that are turned on again are made.
func TestChecksResumeWhenTurnedOn(t *testing.T) {
	for name, reindex := range map[string]bool{"by themselves": false, "with a reindex": true} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			e.Install()
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "24h"})
			if reindex {
				e.Must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
			}
			e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
			for range 30 {
				e.After(enginetest.Day)
			}
			if c := e.Read("connections/" + enginetest.Installation); c["status"] != "revoked" {
				t.Errorf("dead for 30 days, it is %v; next due %v", c["status"], c["next_due_at"])
			}
		})
	}
}

// A shorter interval holds for what is there, within what it was before.
func TestShorterIntervalAppliesToExistingCredentials(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "2400h"})
	e.Install()
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "24h"})
	e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
	for range 10 {
		e.After(enginetest.Day)
	}
	if c := e.Read("connections/" + enginetest.Installation); c["status"] != "revoked" {
		t.Errorf("dead for 10 days, it is %v; next due %v", c["status"], c["next_due_at"])
	}
}

func TestChangedCheckIntervalPlansChecksAnew(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{}) // nothing but checks comes due
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	for _, interval := range []time.Duration{2 * time.Hour, 48 * time.Hour, 30 * time.Minute} {
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": int(interval.Seconds())})
		e.After(2 * time.Minute) // it is done in the background
		for _, ref := range []string{enginetest.Installation, enginetest.Uma} {
			due, err := time.Parse(time.RFC3339, e.Read("connections/" + ref)["next_due_at"].(string))
			if in := due.Sub(e.Clock.Now()); err != nil || in > interval {
				t.Errorf("checked each %v, %s is due in %v", interval, ref, in)
			}
		}
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.After(2 * time.Minute)
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	for range 5 {
		e.After(enginetest.Day)
	}
	if got := e.Facebook.Count(authpipetest.EndpointDebugToken); got != n {
		t.Errorf("turned off, %d checks were made", got-n)
	}
}

// "Stored only if birth and generation are what it started from": a check
// changes neither, and must not cost the fresh token.
func TestCheckDoesNotPostponeRefresh(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.Install()
	e.Clock.Advance(10 * enginetest.Day)
	before := e.Read("creds/" + enginetest.Installation)["access_token"]
	n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true, Times: 1})
	done := make(chan error)
	go func() {
		_, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		done <- err
	}()
	e.Facebook.AwaitCalls(authpipetest.EndpointExchangeToken, n+1)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	clear()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := e.Read("creds/" + enginetest.Installation); c["access_token"] == before {
		t.Error("the fresh token was thrown away, lives on unknown, and the refresh was answered as done")
	}
}

// Each end is announced twice, and not at the other end's times.
func TestEachExpiryHasTwoEvents(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})()
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Facebook.SetTokenExpiry(token, e.Clock.Now().Add(86*enginetest.Day))
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	told := map[string]int{}
	var at any = 0
	for range 4 * 86 {
		e.Clock.Advance(6 * time.Hour)
		e.SweepRecovering(t.Context())
		answer := e.Must(logical.ReadOperation, "events", map[string]any{"after": at})
		at = answer["after"]
		for _, event := range answer["events"].([]map[string]any) {
			if event["type"] == "connection.expiring" && event["ref"] == enginetest.Uma {
				what := "the token"
				if strings.Contains(event["reason"].(string), "data") {
					what = "the data"
				}
				told[what]++
				t.Log(event)
			}
		}
	}
	if told["the token"] != 2 || told["the data"] > 2 {
		t.Errorf("told %v", told)
	}
}

// A clock that stands ahead makes a token look expired that lives, and that
// the provider does not extend: it is not asked about each minute.
func TestFastClockDoesNotCallEachMinute(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	e.Facebook.SetTokenExpiry(token, e.Clock.Now().Add(20*time.Hour))
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	skew := 22 * time.Hour
	b, err := backend.New(context.Background(), &logical.BackendConfig{StorageView: e.Storage, System: enginetest.SystemView(), Logger: hclog.NewNullLogger()},
		backend.Options{Now: func() time.Time { return e.Clock.Now().Add(skew) }, Transport: enginetest.Unhurried{RoundTripper: http.DefaultTransport}})
	if err != nil {
		t.Fatal(err)
	}
	e.Backend = b
	defer e.Restart()
	// On one day Facebook gives the same token again.
	body := fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":%d}`, token, 20*3600)
	defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Body: body})()
	n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
	for range 60 {
		e.Clock.Advance(time.Minute)
		e.SweepRecovering(t.Context())
	}
	if got := e.Facebook.Count(authpipetest.EndpointExchangeToken) - n; got > 6 {
		t.Errorf("in an hour the provider is asked %d times", got)
	}
}

// A config that is gone costs no write each quarter of an hour.
func TestDeletedConfigMakesNoCall(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	e.ConnectMany(20)
	e.Must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	e.Clock.Advance(enginetest.Day)
	e.SweepRecovering(t.Context())
	e.Storage.Reset()
	for range 24 * 60 / 5 {
		e.Clock.Advance(5 * time.Minute)
		e.SweepRecovering(t.Context())
	}
	if n := len(e.Storage.Writes()); n > 21*4*5 {
		t.Errorf("a day without a configuration costs %d storage writes for 21 credentials", n)
	}
}

// The error that a person sees of a dead credential is why it died.
func TestFailedCheckKeepsReasonOfDeath(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.ChangePassword("uma")
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	before := e.Read("connections/" + enginetest.Uma)
	defer e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "down"})()
	e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	after := e.Read("connections/" + enginetest.Uma)
	if after["status"] != before["status"] || fmt.Sprint(after["last_error"]) != fmt.Sprint(before["last_error"]) || fmt.Sprint(after["history"]) != fmt.Sprint(before["history"]) {
		t.Errorf("before %v %v\nafter %v %v", before["last_error"], before["history"], after["last_error"], after["history"])
	}
}

// A record that does not open costs the sweeps nothing for good.
func TestUnreadableRecordDoesNotFailEverySweep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Plant("cred/"+enginetest.Uma, []byte{1, 2, 3})
	e.Clock.Advance(enginetest.Day)
	e.SweepRecovering(t.Context())
	failed, ops := 0, 0
	for range 10 {
		e.Clock.Advance(time.Minute)
		e.Storage.Reset()
		if e.SweepRecovering(t.Context()) != nil {
			failed++
		}
		ops += len(e.Storage.Operations())
	}
	if failed > 1 || ops > 30 {
		t.Errorf("of ten sweeps %d fail, and they make %d storage calls", failed, ops)
	}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, map[string]any{"force": true})
}

// The background work at a removal is within the budget, too.
func TestRemovalIsPaced(t *testing.T) {
	synctest.Test(t, removalIsPaced)
}

func removalIsPaced(t *testing.T) {
	e := enginetest.NewInBubble(t, authpipetest.Options{})
	paced(e, 50)
	e.Install()
	e.ConnectMany(150)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Clock.Advance(2 * time.Minute)
	begun, n := time.Now(), e.Facebook.Count("")
	e.SweepRecovering(t.Context())
	// As many as in a second may go at once. (The pace is a fraction, so that the last one may come a nanosecond early.)
	if took, calls := time.Since(begun), e.Facebook.Count("")-n; calls <= 100 || took.Round(time.Millisecond) < time.Duration(calls-50)*time.Second/50 {
		t.Errorf("%d calls in %v, with a budget of 50 a second", calls, took)
	}
}

// paced replaces the engine by one over the same storage that makes so many
// calls a second in the background.
func paced(e *enginetest.Engine, callsPerSecond int) {
	e.T.Helper()
	e.Cleanup(context.Background())
	b, err := backend.New(context.Background(), &logical.BackendConfig{StorageView: e.Storage, System: enginetest.SystemView(), Logger: hclog.NewNullLogger()},
		backend.Options{Now: e.Clock.Now, Transport: e.Facebook.Transport(), CallsPerSecond: callsPerSecond})
	if err != nil {
		e.T.Fatal(err)
	}
	e.Backend = b
}

// A watermark that does not open is made anew; the mount goes on.
func TestUnreadableWatermarkIsRestored(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Plant("watermark", []byte("x"))
	e.Restart()
	if _, err := e.Do(logical.UpdateOperation, "connect/"+enginetest.Udo, nil); err != nil {
		t.Errorf("connecting: %v", err)
	}
	if err := e.SweepRecovering(t.Context()); err != nil {
		t.Errorf("sweeping: %v", err)
	}
	e.Plant("watermark", []byte("1"))
}

// A page's scopes do not change with each fetch.
func TestPageScopesStayEqual(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Read("creds/" + enginetest.Page777)
	_, at := e.Events(0)
	for range 3 {
		e.Clock.Advance(enginetest.Day)
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Page777+"/refresh", nil)
		e.Read("creds/" + enginetest.Page777)
	}
	found, _ := e.Events(at)
	for _, event := range found {
		if strings.HasPrefix(event, "scopes.changed") {
			t.Errorf("what happened is %q", found)
			return
		}
	}
}

// TestBackgroundCallsArePaced gives the engine few calls a second, and counts
// those that it makes at once.
func TestBackgroundCallsArePaced(t *testing.T) {
	synctest.Test(t, backgroundCallsArePaced)
}

func backgroundCallsArePaced(t *testing.T) {
	e := enginetest.NewInBubble(t, authpipetest.Options{})
	e.Install()
	e.ConnectMany(60)
	paced(e, 10)                         // it takes fifty for the least
	e.Clock.Advance(48 * enginetest.Day) // all refreshes are due
	before := e.Facebook.Count("")
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.SweepRecovering(t.Context()) })
	synctest.Wait()
	// A batch's worth goes at once, and of 122 no more.
	if calls := e.Facebook.Count("") - before; calls < 8 || calls > 70 {
		t.Errorf("%d calls were made at once, with a budget of 50 a second", calls)
	}
	sweeping.Wait()
}

// TestPostponedWorkIsSpread has the provider refuse the client
// for long: what falls due is put off for six hours and spread over a seventh,
// and never beyond half of what a token has left.
func TestPostponedWorkIsSpread(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(20)
	e.Clock.Advance(10 * time.Hour)
	dying := refs[0]
	e.Facebook.SetTokenExpiry(e.Read("creds/" + dying)["access_token"].(string), e.Clock.Now().Add(17*time.Hour))
	e.Must(logical.UpdateOperation, "connections/"+dying+"/check", nil)
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+dying+"/check", nil)
	e.Clock.Advance(14 * time.Hour)
	e.MustSweep()
	wait := func(ref string) time.Duration {
		due, err := time.Parse(time.RFC3339, e.Read("connections/" + ref)["next_due_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return due.Sub(e.Clock.Now())
	}
	waits := map[time.Duration]bool{}
	for _, ref := range refs[1:] {
		if w := wait(ref); w < 6*time.Hour || w > 7*time.Hour {
			t.Errorf("%s waits %v", ref, w)
		} else {
			waits[w] = true
		}
	}
	if len(waits) < 10 {
		t.Errorf("what comes back comes at %d times", len(waits))
	}
	if w := wait(dying); w <= 0 || w > 90*time.Minute {
		t.Errorf("a token with three hours left waits %v", w)
	}
}

// TestUnextendedTokenIsExchangedOnceADay covers Facebook's bad days: it
// gives no more life, and a token that still has some is not worn out.
func TestUnextendedTokenIsExchangedOnceADay(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{ReexchangeNeverExtends: true})
	e.Install()
	e.Clock.Advance(48 * enginetest.Day)
	e.MustSweep()
	for range 5 {
		n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
		for range 24 {
			e.After(time.Hour)
		}
		if got := e.Facebook.Count(authpipetest.EndpointExchangeToken) - n; got != 1 {
			t.Errorf("on one day it was traded %d times", got)
		}
	}
	if c := e.Read("creds/" + enginetest.Installation); c["status"] != "active" {
		t.Errorf("what is served is %v", c)
	}
}

// TestReconnectRevokesReplacedTokens refreshes twice, which leaves each token to
// the readers that it was given to, and then connects again: each token lives for
// the ttl that its readers were given (F11), and no longer.
func TestReconnectRevokesReplacedTokens(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.Install()
	var tokens []string
	next := func() {
		tokens = append(tokens, e.Read("creds/" + enginetest.Installation)["access_token"].(string))
	}
	next()
	for range 2 {
		e.Clock.Advance(10 * enginetest.Day)
		e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		next()
	}
	lives := func(when string, want ...bool) {
		t.Helper()
		for i, token := range tokens {
			if known, _ := e.Facebook.Inspect(token); known.Valid != want[i] {
				t.Errorf("%s, token %d lives: %v", when, i, known.Valid)
			}
		}
	}
	lives("refreshed twice", true, true, true)
	_, until := promised(e)
	e.Install()
	next()
	lives("connected again", true, true, true, true)
	e.SweepUntil(until.Add(time.Hour))
	tokens = tokens[:3] // the last one's plan ends then, too
	lives("after the promised time", false, false, false)
	if !e.Alive(enginetest.Installation) {
		t.Error("the credential's own token does not live")
	}
}

// TestStandbyDoesNoWork has a node that may not write be mounted and ticked.
func TestStandbyDoesNoWork(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(2 * enginetest.Day)
	e.RestartOn(&logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby})
	e.Storage.Reset()
	if err := e.Initialize(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if calls := e.Facebook.CallsDuring(func() {
		e.Do(logical.RollbackOperation, "", nil)
		e.Cleanup(context.Background())
	}); calls != 0 || len(e.Storage.Writes()) != 0 {
		t.Errorf("%d calls, %v", calls, e.Storage.Writes())
	}
	for _, op := range e.Storage.Operations() {
		if op.Verb == "list" {
			t.Errorf("what is due was listed: %v", op)
		}
	}
	e.Restart()
}
