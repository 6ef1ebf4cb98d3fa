package backend_test

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
)

// A tenant's former token may be another's.
func TestAFormerTokenThatAnotherTenantHolds(t *testing.T) {
	for name, act := range map[string]func(*engine){
		"delete": func(e *engine) { e.must(logical.DeleteOperation, "creds/"+installation, nil); e.after(2 * time.Minute) },
		"refresh again": func(e *engine) {
			e.clock.Advance(2 * day)
			e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		},
		"connect again": func(e *engine) { e.install() },
	} {
		t.Run(name, func(t *testing.T) {
			e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
			e.install()
			shared := e.read("creds/" + installation)["access_token"].(string)
			e.must(logical.UpdateOperation, "creds/"+globex, map[string]any{"access_token": shared})
			if e.read("creds/" + globex)["access_token"] != shared {
				t.Fatal("the import trades it")
			}
			e.clock.Advance(10 * day)
			e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
			if e.read("creds/" + installation)["access_token"] == shared {
				t.Fatal("not refreshed")
			}
			act(e)
			if !e.alive(globex) {
				t.Error("another tenant's token was revoked")
			}
		})
	}
}

// Checks that are turned on again are made.
func TestChecksThatAreTurnedOnAgain(t *testing.T) {
	for name, reindex := range map[string]bool{"by themselves": false, "with a reindex": true} {
		t.Run(name, func(t *testing.T) {
			e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
			e.install()
			e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "24h"})
			if reindex {
				e.must(logical.UpdateOperation, "tenants/org_acme/reindex", nil)
			}
			e.fb.RemoveIntegration(appID, businessID)
			for range 30 {
				e.after(day)
			}
			if c := e.read("connections/" + installation); c["status"] != "revoked" {
				t.Errorf("dead for 30 days, it is %v; next due %v", c["status"], c["next_due_at"])
			}
		})
	}
}

// A shorter interval holds for what is there, within what it was before.
func TestAShorterIntervalHoldsForWhatIsThere(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "2400h"})
	e.install()
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": "24h"})
	e.fb.RemoveIntegration(appID, businessID)
	for range 10 {
		e.after(day)
	}
	if c := e.read("connections/" + installation); c["status"] != "revoked" {
		t.Errorf("dead for 10 days, it is %v; next due %v", c["status"], c["next_due_at"])
	}
}

func TestChangedCheckIntervalPlansChecksAnew(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{}) // nothing but checks comes due
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	for _, interval := range []time.Duration{2 * time.Hour, 48 * time.Hour, 30 * time.Minute} {
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": int(interval.Seconds())})
		e.after(2 * time.Minute) // it is done in the background
		for _, ref := range []string{installation, uma} {
			due, err := time.Parse(time.RFC3339, e.read("connections/" + ref)["next_due_at"].(string))
			if in := due.Sub(e.clock.Now()); err != nil || in > interval {
				t.Errorf("checked each %v, %s is due in %v", interval, ref, in)
			}
		}
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.after(2 * time.Minute)
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	for range 5 {
		e.after(day)
	}
	if got := e.fb.Count(authpipetest.EndpointDebugToken); got != n {
		t.Errorf("turned off, %d checks were made", got-n)
	}
}

// "Stored only if birth and generation are what it started from": a check
// changes neither, and must not cost the fresh token.
func TestACheckDoesNotCostARefresh(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.install()
	e.clock.Advance(10 * day)
	before := e.read("creds/" + installation)["access_token"]
	n := e.fb.Count(authpipetest.EndpointExchangeToken)
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true, Times: 1})
	done := make(chan error)
	go func() {
		_, err := e.do(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		done <- err
	}()
	e.awaitCalls(authpipetest.EndpointExchangeToken, n+1)
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	clear()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if c := e.read("creds/" + installation); c["access_token"] == before {
		t.Error("the fresh token was thrown away, lives on unknown, and the refresh was answered as done")
	}
}

// Each end is told twice, not at the other end's times, too.
func TestEachEndIsToldTwice(t *testing.T) {
	e := both(t, authpipetest.Options{})
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Error: &authpipetest.GraphError{Code: 987654}})()
	token := e.read("creds/" + uma)["access_token"].(string)
	e.fb.SetTokenExpiry(token, e.clock.Now().Add(86*day))
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	told := map[string]int{}
	var at any = 0
	for range 4 * 86 {
		e.clock.Advance(6 * time.Hour)
		e.sweeps(t.Context())
		answer := e.must(logical.ReadOperation, "events", map[string]any{"after": at})
		at = answer["after"]
		for _, event := range answer["events"].([]map[string]any) {
			if event["type"] == "connection.expiring" && event["ref"] == uma {
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
func TestAFastClockAsksNotEachMinute(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token := e.read("creds/" + uma)["access_token"].(string)
	e.fb.SetTokenExpiry(token, e.clock.Now().Add(20*time.Hour))
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	skew := 22 * time.Hour
	b, err := backend.New(context.Background(), &logical.BackendConfig{StorageView: e.storage, System: logicalSystem(), Logger: hclog.NewNullLogger()},
		backend.Options{Now: func() time.Time { return e.clock.Now().Add(skew) }, Transport: unhurried{http.DefaultTransport}})
	if err != nil {
		t.Fatal(err)
	}
	e.Backend = b
	defer e.restart()
	// On one day Facebook gives the same token again.
	body := fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":%d}`, token, 20*3600)
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Body: body})()
	n := e.fb.Count(authpipetest.EndpointExchangeToken)
	for range 60 {
		e.clock.Advance(time.Minute)
		e.sweeps(t.Context())
	}
	if got := e.fb.Count(authpipetest.EndpointExchangeToken) - n; got > 6 {
		t.Errorf("in an hour the provider is asked %d times", got)
	}
}

// A config that is gone costs no write each quarter of an hour.
func TestADeletedConfigCostsNothing(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.crowd(20)
	e.must(logical.DeleteOperation, "config/facebook", map[string]any{"force": true})
	e.clock.Advance(day)
	e.sweeps(t.Context())
	e.storage.Reset()
	for range 24 * 60 / 5 {
		e.clock.Advance(5 * time.Minute)
		e.sweeps(t.Context())
	}
	if n := len(e.storage.Writes()); n > 21*4*5 {
		t.Errorf("a day without a configuration costs %d storage writes for 21 credentials", n)
	}
}

// What a person is told of a dead credential is why it died.
func TestAFailedCheckDoesNotRewriteWhyItDied(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.ChangePassword("uma")
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	before := e.read("connections/" + uma)
	defer e.fb.Fail(authpipetest.Fault{Status: 503, Body: "down"})()
	e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	after := e.read("connections/" + uma)
	if after["status"] != before["status"] || fmt.Sprint(after["last_error"]) != fmt.Sprint(before["last_error"]) || fmt.Sprint(after["history"]) != fmt.Sprint(before["history"]) {
		t.Errorf("before %v %v\nafter %v %v", before["last_error"], before["history"], after["last_error"], after["history"])
	}
}

// A record that does not open costs the sweeps nothing for good.
func TestACorruptRecordDoesNotFailEverySweep(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.plant("cred/"+uma, []byte{1, 2, 3})
	e.clock.Advance(day)
	e.sweeps(t.Context())
	failed, ops := 0, 0
	for range 10 {
		e.clock.Advance(time.Minute)
		e.storage.Reset()
		if e.sweeps(t.Context()) != nil {
			failed++
		}
		ops += len(e.storage.Operations())
	}
	if failed > 1 || ops > 30 {
		t.Errorf("of ten sweeps %d fail, and they make %d storage calls", failed, ops)
	}
	e.must(logical.DeleteOperation, "creds/"+uma, map[string]any{"force": true})
}

// The background work at a removal is within the budget, too.
func TestARemovalIsPaced(t *testing.T) {
	synctest.Test(t, removalIsPaced)
}

func removalIsPaced(t *testing.T) {
	e := newBubbleEngine(t, authpipetest.Options{})
	e.paced(50)
	e.install()
	e.crowd(150)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.clock.Advance(2 * time.Minute)
	begun, n := time.Now(), e.fb.Count("")
	e.sweeps(t.Context())
	// As many as in a second may go at once. (The pace is a fraction, so that the last one may come a nanosecond early.)
	if took, calls := time.Since(begun), e.fb.Count("")-n; calls <= 100 || took.Round(time.Millisecond) < time.Duration(calls-50)*time.Second/50 {
		t.Errorf("%d calls in %v, with a budget of 50 a second", calls, took)
	}
}

// paced replaces the engine by one over the same storage that makes so many
// calls a second in the background.
func (e *engine) paced(callsPerSecond int) {
	e.t.Helper()
	e.Cleanup(context.Background())
	b, err := backend.New(context.Background(), &logical.BackendConfig{StorageView: e.storage, System: logicalSystem(), Logger: hclog.NewNullLogger()},
		backend.Options{Now: e.clock.Now, Transport: e.fb.Transport(), CallsPerSecond: callsPerSecond})
	if err != nil {
		e.t.Fatal(err)
	}
	e.Backend = b
}

// A watermark that does not open is made anew; the mount goes on.
func TestAWatermarkThatDoesNotOpen(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.plant("watermark", []byte("x"))
	e.restart()
	if _, err := e.do(logical.UpdateOperation, "connect/"+udo, nil); err != nil {
		t.Errorf("connecting: %v", err)
	}
	if err := e.sweeps(t.Context()); err != nil {
		t.Errorf("sweeping: %v", err)
	}
	e.plant("watermark", []byte("1"))
}

// A page's scopes do not change with each fetch.
func TestAPagesScopesDoNotFlap(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.read("creds/" + page777)
	_, at := e.events(0)
	for range 3 {
		e.clock.Advance(day)
		e.must(logical.UpdateOperation, "connections/"+page777+"/refresh", nil)
		e.read("creds/" + page777)
	}
	found, _ := e.events(at)
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
	e := newBubbleEngine(t, authpipetest.Options{})
	e.install()
	e.crowd(60)
	e.paced(10)               // it takes fifty for the least
	e.clock.Advance(48 * day) // all refreshes are due
	before := e.fb.Count("")
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.sweeps(t.Context()) })
	synctest.Wait()
	// A batch's worth goes at once, and of 122 no more.
	if calls := e.fb.Count("") - before; calls < 8 || calls > 70 {
		t.Errorf("%d calls were made at once, with a budget of 50 a second", calls)
	}
	sweeping.Wait()
}

// TestWhatWaitsForAProviderComesBackSpread has the provider refuse the client
// for long: what falls due is put off for six hours and spread over a seventh,
// and never beyond half of what a token has left.
func TestWhatWaitsForAProviderComesBackSpread(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(20)
	e.clock.Advance(10 * time.Hour)
	dying := refs[0]
	e.fb.SetTokenExpiry(e.read("creds/" + dying)["access_token"].(string), e.clock.Now().Add(17*time.Hour))
	e.must(logical.UpdateOperation, "connections/"+dying+"/check", nil)
	e.fb.SetAppSecret(appID, newSecret)
	e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+dying+"/check", nil)
	e.clock.Advance(14 * time.Hour)
	e.sweep()
	wait := func(ref string) time.Duration {
		due, err := time.Parse(time.RFC3339, e.read("connections/" + ref)["next_due_at"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return due.Sub(e.clock.Now())
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

// TestATokenThatIsNotExtendedIsTradedOnceADay covers Facebook's bad days: it
// gives no more life, and a token that still has some is not worn out.
func TestATokenThatIsNotExtendedIsTradedOnceADay(t *testing.T) {
	e := newEngine(t, authpipetest.Options{ReexchangeNeverExtends: true})
	e.install()
	e.clock.Advance(48 * day)
	e.sweep()
	for range 5 {
		n := e.fb.Count(authpipetest.EndpointExchangeToken)
		for range 24 {
			e.after(time.Hour)
		}
		if got := e.fb.Count(authpipetest.EndpointExchangeToken) - n; got != 1 {
			t.Errorf("on one day it was traded %d times", got)
		}
	}
	if c := e.read("creds/" + installation); c["status"] != "active" {
		t.Errorf("what is served is %v", c)
	}
}

// TestReconnectRevokesReplacedTokens refreshes twice, which leaves each token to
// the readers that it was given to, and then connects again: each token lives for
// the ttl that its readers were given (F11), and no longer.
func TestReconnectRevokesReplacedTokens(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.install()
	var tokens []string
	next := func() {
		tokens = append(tokens, e.read("creds/" + installation)["access_token"].(string))
	}
	next()
	for range 2 {
		e.clock.Advance(10 * day)
		e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		next()
	}
	lives := func(when string, want ...bool) {
		t.Helper()
		for i, token := range tokens {
			if known, _ := e.fb.Inspect(token); known.Valid != want[i] {
				t.Errorf("%s, token %d lives: %v", when, i, known.Valid)
			}
		}
	}
	lives("refreshed twice", true, true, true)
	_, until := e.promised()
	e.install()
	next()
	lives("connected again", true, true, true, true)
	e.passes(until.Add(time.Hour))
	tokens = tokens[:3] // the last one's plan ends then, too
	lives("after the promised time", false, false, false)
	if !e.alive(installation) {
		t.Error("the credential's own token does not live")
	}
}

// TestAStandbyDoesNoWork has a node that may not write be mounted and ticked.
func TestAStandbyDoesNoWork(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(2 * day)
	e.restartOn(&logical.StaticSystemView{ReplicationStateVal: consts.ReplicationPerformanceStandby})
	e.storage.Reset()
	if err := e.Initialize(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if calls := e.calls(func() {
		e.do(logical.RollbackOperation, "", nil)
		e.Cleanup(context.Background())
	}); calls != 0 || len(e.storage.Writes()) != 0 {
		t.Errorf("%d calls, %v", calls, e.storage.Writes())
	}
	for _, op := range e.storage.Operations() {
		if op.Verb == "list" {
			t.Errorf("what is due was listed: %v", op)
		}
	}
	e.restart()
}
