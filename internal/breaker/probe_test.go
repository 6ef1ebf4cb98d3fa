package breaker_test

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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

var appLimit = &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}

// sweepEnds fails the test if a sweep does not end.
func sweepEnds(e *enginetest.Engine) {
	e.T.Helper()
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() { done <- e.SweepRecovering(ctx) }()
	select {
	case err := <-done:
		if err != nil {
			e.T.Errorf("the sweep: %.600v", err)
		}
	case <-time.After(enginetest.Patience):
		e.T.Errorf("the sweep does not end within %v", enginetest.Patience)
		cancel()
		<-done
	}
}

// A provider that was down throttles the probe and names no time.
func TestThrottledProbeWithoutTimePauses(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(6)
	clear := e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "down"})
	for _, ref := range refs[:5] {
		e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	clear()
	defer e.Facebook.Fail(authpipetest.Fault{Error: appLimit})()
	e.Clock.Advance(time.Minute)
	if err := e.SweepRecovering(t.Context()); err != nil {
		t.Errorf("sweeping: %v", err)
	}
}

// Two calls are throttled at once; the answer to the first names a time, the other none.
func TestLaterLimitWithoutTimeKeepsPause(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(enginetest.Day) // checks are due: one batch
	first := enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`)
	first.Hang, first.Times, first.Endpoint = true, 1, authpipetest.EndpointExchangeToken
	clearFirst := e.Facebook.Fail(first)
	clearSecond := e.Facebook.Fail(authpipetest.Fault{Error: appLimit, Hang: true, Times: 1, Endpoint: authpipetest.EndpointBatch})
	exchanges := e.Facebook.Count(authpipetest.EndpointExchangeToken)
	var all sync.WaitGroup
	all.Go(func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil); clearSecond() })
	e.Facebook.AwaitCalls(authpipetest.EndpointExchangeToken, exchanges+1)
	n := e.Facebook.Count(authpipetest.EndpointBatch)
	all.Go(func() {
		if err := e.SweepRecovering(context.Background()); err != nil {
			t.Errorf("the sweep: %.300v", err)
		}
	})
	e.Facebook.AwaitCalls(authpipetest.EndpointBatch, n+1)
	clearFirst()
	all.Wait()
	e.Clock.Advance(3 * time.Hour)
	sweepEnds(e)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
}

// The provider's code panics in the probe, too: what was taken is landed.
func TestPanickingProbeIsRepeated(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	for range 6 {
		e.Clock.Advance(enginetest.Day)
		if err := e.SweepRecovering(t.Context()); err != nil {
			t.Errorf("the sweep: %.200v", err)
		}
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	e.Clock.Advance(enginetest.Day)
	sweepEnds(e)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
}

// A reload in the middle of calls is no outage of the provider.
func TestReloadOpensNoCircuit(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(8)
	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	var all sync.WaitGroup
	for _, ref := range refs {
		all.Go(func() { e.Do(logical.UpdateOperation, "connections/"+ref+"/check", nil) })
	}
	e.Facebook.AwaitCalls(authpipetest.EndpointDebugToken, n+8)
	e.Cleanup(t.Context())
	all.Wait()
	clear()
	e.Restart()
	e.Must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
	if found, _ := e.Events(0); slices.Contains(found, "provider.unavailable facebook") {
		t.Error("told that the provider was unavailable")
	}
}

// One kind of call takes longer than a call may; all else works. The probe
// must have time of its own.
func TestSlowCallsOpenNoCircuit(t *testing.T) {
	synctest.Test(t, slowCallsOpenNoCircuit)
}

func slowCallsOpenNoCircuit(t *testing.T) {
	e := enginetest.NewInBubble(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(5)
	defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true})()
	var all sync.WaitGroup
	for _, ref := range refs {
		all.Go(func() { e.Do(logical.UpdateOperation, "connections/"+ref+"/refresh", nil) })
	}
	all.Wait()
	synctest.Wait() // for the probe
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
}

// One tenant's request that is cancelled at the right moment does not open the circuit
// for others.
func TestCancelledCallerOpensNoCircuit(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true, Times: 1,
		Error: &authpipetest.GraphError{Code: 3, Message: "Application does not have the capability to make this API call."}})
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.HandleRequest(ctx, &logical.Request{Operation: logical.UpdateOperation, Path: "creds/" + enginetest.Uma, Data: map[string]any{"access_token": token}, Storage: e.Storage})
	}()
	e.Facebook.AwaitCalls(authpipetest.EndpointDebugToken, n+1)
	cancel()
	clear()
	<-done
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
}

// A request that joins another's probe ends within its own ten seconds.
func TestRequestDoesNotOutlastItsProbe(t *testing.T) {
	synctest.Test(t, probeOfOthersDoesNotOutlastARequest)
}

func probeOfOthersDoesNotOutlastARequest(t *testing.T) {
	e := enginetest.NewInBubble(t, authpipetest.Options{})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	token := e.Read("creds/" + enginetest.Uma)["access_token"].(string)
	refused := &authpipetest.GraphError{Code: 3, Message: "Application does not have the capability to make this API call."}
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Delay: 8 * time.Second, Times: 1, Error: refused})
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	var took time.Duration
	var all sync.WaitGroup
	all.Go(func() {
		begun := time.Now()
		e.Do(logical.UpdateOperation, "creds/"+enginetest.Uma, map[string]any{"access_token": token})
		took = time.Since(begun)
	})
	e.Facebook.AwaitCalls(authpipetest.EndpointDebugToken, n+1)
	// Its probe begins six seconds on, and hangs.
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Delay: 6 * time.Second, Times: 1, Error: refused})
	defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Hang: true})()
	all.Go(func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) })
	all.Wait()
	if took != 10*time.Second {
		t.Errorf("the import took %v", took)
	}
}

// The pause that the provider asked for is kept, whatever is written.
func TestConfigWriteDoesNotEndPause(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	defer e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))()
	e.Refused("throttled", 429, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{}})
	if calls := e.Facebook.CallsDuring(func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) }); calls != 0 {
		t.Errorf("in the pause %d calls are made", calls)
	}
}

// Calls that are throttled at the same time record one event.
func TestThrottledCallsRecordOneEvent(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(6)
	var clears []func()
	for range refs {
		fault := enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`)
		fault.Hang, fault.Times, fault.Endpoint = true, 1, authpipetest.EndpointDebugToken
		fault.Error = &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}
		clears = append(clears, e.Facebook.Fail(fault))
	}
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	answered := make(chan bool)
	for _, ref := range refs {
		go func() { e.Do(logical.UpdateOperation, "connections/"+ref+"/check", nil); answered <- true }()
	}
	e.Facebook.AwaitCalls(authpipetest.EndpointDebugToken, n+len(refs))
	for _, clear := range clears {
		clear()
		<-answered
		e.Clock.Advance(50 * time.Millisecond) // time passes
	}
	found, _ := e.Events(0)
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

// A standby's health shows the provider's present state, and a node that becomes
// active keeps a pause.
func TestStandbyReadsCircuitOfActiveNode(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := &enginetest.System{}
	s.Standby.Store(true)
	other := e.Node(s)
	state := func() any {
		return other.Read("health")["providers"].(map[string]any)["facebook"].(map[string]any)["state"]
	}
	if got := state(); got != "ok" {
		t.Fatal(got)
	}
	defer e.Facebook.Fail(enginetest.Throttled(`{"1":[{"estimated_time_to_regain_access":90}]}`))()
	e.PassWrites(other, func() { e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) })
	e.Clock.Advance(2 * time.Minute)
	if got := state(); got != "throttled" {
		t.Errorf("on a standby the provider is %v", got)
	}
	s.Standby.Store(false)
	e.Clock.Advance(time.Second)
	if calls := e.Facebook.CallsDuring(func() { other.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) }); calls != 0 {
		t.Errorf("the new active node makes %d calls in the pause", calls)
	}
	e.Restart()
}

// TestBlockedAppMarksNoCredential: a probe that is refused with an error that no rule
// knows must not keep the circuit open for good, either.
func TestBlockedAppMarksNoCredential(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(5)
	clear := e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 200, Message: "API access blocked."}})
	e.Clock.Advance(enginetest.Day)
	e.SweepRecovering(t.Context())
	e.CheckHealthy(refs)
	clear()
	e.Clock.Advance(time.Minute)
	e.SweepRecovering(t.Context())
	e.Must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
}

func TestBlockReplacesOutage(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(5)
	clear := e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "down"})
	for _, ref := range refs {
		e.Do(logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	clear()
	defer e.Facebook.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 200, Message: "API access blocked."}})()
	e.After(time.Minute)
	e.After(time.Minute)
	state := e.Read("health")["providers"].(map[string]any)["facebook"].(map[string]any)
	if state["state"] == "unavailable" && strings.Contains(fmt.Sprint(state["error"]), "503") {
		t.Errorf("it answers, and the engine says %v", state)
	}
}

// An outage of before a restart is probed by the tick.
func TestOutageIsProbedAfterRestart(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(5)
	clear := e.Facebook.Fail(authpipetest.Fault{Status: 503, Body: "down"})
	for _, ref := range refs {
		e.Do(logical.UpdateOperation, "connections/"+ref+"/check", nil)
	}
	e.Restart()
	clear()
	for range 5 {
		e.After(time.Minute)
	}
	e.Must(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
}

// TestUnreadableConfigurationClosesNoCircuit: without it there is no probe.
func TestUnreadableConfigurationClosesNoCircuit(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	refs := e.ConnectMany(5)
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	e.Do(logical.UpdateOperation, "connections/"+refs[0]+"/check", nil)
	e.Restart()
	e.Read("health") // loads the door
	e.InvalidateKey(t.Context(), "config/facebook")
	e.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "config/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	e.Clock.Advance(time.Minute)
	e.SweepRecovering(t.Context())
	e.Storage.Reset()
	if found, _ := e.Events(0); slices.Contains(found, "provider.recovered facebook") {
		t.Error("a storage error is reported as the provider's recovery")
	}
}

// What was not landed stops the sweep, and with it everything, for good.
func TestPanickingCallStopsNoSweep(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v99.9"})
	for range 6 {
		e.Clock.Advance(enginetest.Day)
		e.SweepRecovering(t.Context())
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": ""})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Uma, nil)
	e.Clock.Advance(enginetest.Day)
	sweepEnds(e)
}
