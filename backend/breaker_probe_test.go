package backend_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

var appLimit = &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}

// sweeps sweeps as the worker does, whom no panic ends.
func (e *engine) sweeps(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the sweep: %v", p)
		}
	}()
	return e.Sweep(ctx)
}

// patience is how long a test waits for what must happen. It is generous: only
// a test that fails spends it.
const patience = 2 * time.Minute

// awaitCalls waits until an endpoint of Facebook's has been called n times in
// all. An empty name counts what came over the wire.
func (e *engine) awaitCalls(endpoint string, n int) {
	e.t.Helper()
	ctx, cancel := context.WithTimeout(e.t.Context(), patience)
	defer cancel()
	if err := e.fb.AwaitCount(ctx, endpoint, n); err != nil {
		e.t.Fatal(err)
	}
}

// sweepEnds fails the test if a sweep does not end.
func (e *engine) sweepEnds() {
	e.t.Helper()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { done <- e.sweeps(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			e.t.Errorf("the sweep: %.600v", err)
		}
	case <-time.After(patience):
		e.t.Errorf("the sweep does not end within %v", patience)
		cancel()
		<-done
	}
}

// A provider that was down throttles the probe and names no time.
func TestAProbeThatIsThrottledWithoutATime(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(6)
	clear := e.fb.Fail(authpipetest.Fault{Status: 503, Body: "down"})
	for _, ref := range refs[:5] {
		e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	clear()
	defer e.fb.Fail(authpipetest.Fault{Error: appLimit})()
	e.clock.Advance(time.Minute)
	if err := e.sweeps(t.Context()); err != nil {
		t.Errorf("sweeping: %v", err)
	}
}

// Two are throttled at once; the first is told until when, the other not.
func TestThrottledWithAndWithoutATime(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(day) // checks are due: one batch
	first := throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`)
	first.Hang, first.Times, first.Endpoint = true, 1, authpipetest.EndpointExchangeToken
	clearFirst := e.fb.Fail(first)
	clearSecond := e.fb.Fail(authpipetest.Fault{Error: appLimit, Hang: true, Times: 1, Endpoint: authpipetest.EndpointBatch})
	exchanges := e.fb.Count(authpipetest.EndpointExchangeToken)
	var all sync.WaitGroup
	all.Go(func() { e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil); clearSecond() })
	e.awaitCalls(authpipetest.EndpointExchangeToken, exchanges+1)
	n := e.fb.Count(authpipetest.EndpointBatch)
	all.Go(func() {
		if err := e.sweeps(context.Background()); err != nil {
			t.Errorf("the sweep: %.300v", err)
		}
	})
	e.awaitCalls(authpipetest.EndpointBatch, n+1)
	clearFirst()
	all.Wait()
	e.clock.Advance(3 * time.Hour)
	e.sweepEnds()
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
}

// The provider's code panics in the probe, too: what was taken is landed.
func TestAProbeThatPanics(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	for range 6 {
		e.clock.Advance(day)
		if err := e.sweeps(t.Context()); err != nil {
			t.Errorf("the sweep: %.200v", err)
		}
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	e.clock.Advance(day)
	e.sweepEnds()
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
}

// A reload in the middle of calls is no outage of the provider.
func TestReloadOpensNoCircuit(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(8)
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	var all sync.WaitGroup
	for _, ref := range refs {
		all.Go(func() { e.do(logical.UpdateOperation, "connections/"+ref+"/check", nil) })
	}
	e.awaitCalls(authpipetest.EndpointDebugToken, n+8)
	e.Cleanup(t.Context())
	all.Wait()
	clear()
	e.restart()
	e.must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
	if found, _ := e.events(0); slices.Contains(found, "provider.unavailable facebook") {
		t.Error("told that the provider was unavailable")
	}
}

// One kind of call takes longer than a call may; all else works. The probe
// must have time of its own.
func TestSlowCallsOpenNoCircuit(t *testing.T) {
	synctest.Test(t, slowCallsOpenNoCircuit)
}

func slowCallsOpenNoCircuit(t *testing.T) {
	e := newBubbleEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(5)
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true})()
	var all sync.WaitGroup
	for _, ref := range refs {
		all.Go(func() { e.do(logical.UpdateOperation, "connections/"+ref+"/refresh", nil) })
	}
	all.Wait()
	synctest.Wait() // for the probe
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
}

// One tenant's request that is given up at the right moment shuts nobody
// out.
func TestCancelledCallerOpensNoCircuit(t *testing.T) {
	e := both(t, authpipetest.Options{})
	token := e.read("creds/" + uma)["access_token"].(string)
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true, Times: 1,
		Error: &authpipetest.GraphError{Code: 3, Message: "Application does not have the capability to make this API call."}})
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, Path: "creds/" + uma, Data: map[string]any{"access_token": token}, Storage: e.storage})
	}()
	e.awaitCalls(authpipetest.EndpointDebugToken, n+1)
	cancel()
	clear()
	<-done
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
}

// A request that joins another's probe ends within its own ten seconds.
func TestAProbeOfOthersDoesNotOutlastARequest(t *testing.T) {
	synctest.Test(t, probeOfOthersDoesNotOutlastARequest)
}

func probeOfOthersDoesNotOutlastARequest(t *testing.T) {
	e := newBubbleEngine(t, authpipetest.Options{})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	token := e.read("creds/" + uma)["access_token"].(string)
	refused := &authpipetest.GraphError{Code: 3, Message: "Application does not have the capability to make this API call."}
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Delay: 8 * time.Second, Times: 1, Error: refused})
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	var took time.Duration
	var all sync.WaitGroup
	all.Go(func() {
		begun := time.Now()
		e.do(logical.UpdateOperation, "creds/"+uma, map[string]any{"access_token": token})
		took = time.Since(begun)
	})
	e.awaitCalls(authpipetest.EndpointDebugToken, n+1)
	// Its probe begins six seconds on, and hangs.
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Delay: 6 * time.Second, Times: 1, Error: refused})
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})()
	all.Go(func() { e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil) })
	all.Wait()
	if took != 10*time.Second {
		t.Errorf("the import took %v", took)
	}
}

// The pause that the provider asked for is kept, whatever is written.
func TestAConfigWriteDoesNotEndAPause(t *testing.T) {
	e := both(t, authpipetest.Options{})
	defer e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))()
	e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{}})
	if calls := e.calls(func() { e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) }); calls != 0 {
		t.Errorf("in the pause %d calls are made", calls)
	}
}

// Who are throttled at the same time are one event.
func TestManyThrottledAreOneEvent(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(6)
	var clears []func()
	for range refs {
		fault := throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`)
		fault.Hang, fault.Times, fault.Endpoint = true, 1, authpipetest.EndpointDebugToken
		fault.Error = &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}
		clears = append(clears, e.fb.Fail(fault))
	}
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	answered := make(chan bool)
	for _, ref := range refs {
		go func() { e.do(logical.UpdateOperation, "connections/"+ref+"/check", nil); answered <- true }()
	}
	e.awaitCalls(authpipetest.EndpointDebugToken, n+len(refs))
	for _, clear := range clears {
		clear()
		<-answered
		e.clock.Advance(50 * time.Millisecond) // time passes
	}
	found, _ := e.events(0)
	told := 0
	for _, event := range found {
		if event == "provider.throttled facebook" {
			told++
		}
	}
	if told != 1 {
		t.Errorf("told %d times that the provider throttles", told)
	}
}

// A standby's health tells how the provider is now, and a node that becomes
// active keeps a pause.
func TestStandbyReadsCircuitOfActiveNode(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := &system{}
	s.standby.Store(true)
	other := e.node(s)
	state := func() any {
		return other.read("health")["providers"].(map[string]any)["facebook"].(map[string]any)["state"]
	}
	if got := state(); got != "ok" {
		t.Fatal(got)
	}
	defer e.fb.Fail(throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))()
	e.told2(other, func() { e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) })
	e.clock.Advance(2 * time.Minute)
	if got := state(); got != "throttled" {
		t.Errorf("on a standby the provider is %v", got)
	}
	s.standby.Store(false)
	e.clock.Advance(time.Second)
	if calls := e.calls(func() { other.do(logical.UpdateOperation, "connections/"+uma+"/check", nil) }); calls != 0 {
		t.Errorf("the new active node makes %d calls in the pause", calls)
	}
	e.restart()
}

// TestBlockedAppMarksNoCredential: a probe that is refused with an error that no rule
// knows must not keep the circuit open for good, either.
func TestBlockedAppMarksNoCredential(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(5)
	clear := e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 200, Message: "API access blocked."}})
	e.clock.Advance(day)
	e.sweeps(t.Context())
	e.untouched(refs)
	clear()
	e.clock.Advance(time.Minute)
	e.sweeps(t.Context())
	e.must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
}

func TestAnOutageThatBecomesABlock(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(5)
	clear := e.fb.Fail(authpipetest.Fault{Status: 503, Body: "down"})
	for _, ref := range refs {
		e.do(logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	clear()
	defer e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 200, Message: "API access blocked."}})()
	e.after(time.Minute)
	e.after(time.Minute)
	state := e.read("health")["providers"].(map[string]any)["facebook"].(map[string]any)
	if state["state"] == "unavailable" && strings.Contains(fmt.Sprint(state["error"]), "503") {
		t.Errorf("it answers, and the engine says %v", state)
	}
}

// An outage of before a restart is probed by the tick.
func TestAnOutageIsProbedAfterARestart(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(5)
	clear := e.fb.Fail(authpipetest.Fault{Status: 503, Body: "down"})
	for _, ref := range refs {
		e.do(logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	e.restart()
	clear()
	for range 5 {
		e.after(time.Minute)
	}
	e.must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
}

// TestUnreadableConfigurationClosesNoCircuit: without it there is no probe.
func TestUnreadableConfigurationClosesNoCircuit(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	refs := e.crowd(5)
	e.fb.SetAppSecret(appID, newSecret)
	e.do(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
	e.restart()
	e.read("health") // loads the door
	e.InvalidateKey(t.Context(), "config/facebook")
	e.storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "config/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.clock.Advance(time.Minute)
	e.sweeps(t.Context())
	e.storage.Reset()
	if found, _ := e.events(0); slices.Contains(found, "provider.recovered facebook") {
		t.Error("a storage error is told as the provider's recovery")
	}
}

// What was not landed stops the sweep, and with it everything, for good.
func TestOneThatIsNotLandedStopsNoSweep(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	for range 6 {
		e.clock.Advance(day)
		e.sweeps(t.Context())
	}
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	e.clock.Advance(day)
	e.sweepEnds()
}
