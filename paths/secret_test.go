package paths_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestSecretIsReplacedWithoutFailedCall(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
	if e.Read("config/facebook")["former_secret_until"] != "2026-11-24T12:00:00Z" {
		t.Errorf("the configuration reads %v", e.Read("config/facebook"))
	}
	if !proves(e) {
		t.Error("before the provider knows the new secret, a proof is made with it")
	}
	// The dashboard's secret changes while the engine is at work.
	const workers, rounds = 8, 10
	var begun, working sync.WaitGroup
	begun.Add(workers)
	for i := range workers {
		working.Go(func() {
			for round := range rounds {
				if round == rounds/2 {
					begun.Done()
					begun.Wait() // all are half-way: here it changes
				}
				if round == rounds/2 && i == 0 {
					e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
				}
				for _, path := range []string{"check", "refresh"} {
					if _, err := e.Do(logical.UpdateOperation, "connections/"+[]string{enginetest.Uma, enginetest.Installation}[i%2]+"/"+path, nil); err != nil {
						t.Errorf("round %d: %s: %v", round, path, err)
					}
				}
			}
		})
	}
	working.Wait()
	if !proves(e) {
		t.Error("the proof is still made with the former secret")
	}
	e.Restart()
	if !proves(e) {
		t.Error("after a restart it is forgotten which secret was accepted")
	}
	e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"})
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Udo, nil)

	n := e.Facebook.Count("")
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if got := e.Facebook.Count("") - n; got != 1 {
		t.Errorf("a check makes %d calls once it is known which secret is accepted", got)
	}
	e.Clock.Advance(25 * time.Hour)
	if got := e.Read("config/facebook")["former_secret_until"]; got != nil {
		t.Errorf("the former secret is kept until %v", got)
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
}

func TestReplacedSecretIsDropped(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"its overlap is over":       {"client_secret": enginetest.NewSecret, "client_secret_overlap": "1h"},
		"the operator wants none":   {"client_secret": enginetest.NewSecret, "client_secret_overlap": 0},
		"it is the same as the new": {"client_secret": enginetest.AppSecret},
		"the write names no secret": {"client_secret_overlap": "2h"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			e.Must(logical.UpdateOperation, "config/facebook", change)
			e.Clock.Advance(time.Hour)
			if got := e.Read("config/facebook")["former_secret_until"]; got != nil {
				t.Errorf("the former secret is kept until %v", got)
			}
			if change["client_secret"] == enginetest.NewSecret {
				e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			} else {
				e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
			}
		})
	}
}

func TestLastAcceptedSecretIsStored(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	for i := range 3 {
		// Written before the provider ever accepted the ones between.
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": fmt.Sprint(enginetest.NewSecret, i)})
	}
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret+"2")
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	// Two wrong ones are a wrong client, and no credential's fault.
	e.Facebook.SetAppSecret(enginetest.AppID, "none of them")
	e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if got := e.Read("connections/" + enginetest.Uma); got["status"] != "active" || got["consecutive_failures"] != 0 {
		t.Errorf("the connection reads %v", got)
	}
}

func TestFormerSecretIsDroppedAtOnceOnRequest(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret_overlap": 0})
	if got := e.Read("config/facebook")["former_secret_until"]; got != nil {
		t.Errorf("the former secret is kept until %v", got)
	}
}

func TestSecretOfAnotherClientIsDropped(t *testing.T) {
	secret := map[string]any{"client_secret": enginetest.NewSecret}
	for name, writes := range map[string][]map[string]any{
		"the secret comes with its client":      {{"client_id": "124", "force": true, "client_secret": enginetest.NewSecret}},
		"the secret follows its client":         {{"client_id": "124", "force": true}, secret},
		"the client changes within the overlap": {secret, {"client_id": "124", "force": true}},
		"both change within the overlap":        {secret, {"client_id": "124", "force": true, "client_secret": enginetest.NewSecret + "x"}},
	} {
		e := enginetest.New(t, authpipetest.Options{})
		for _, write := range writes {
			e.Must(logical.UpdateOperation, "config/facebook", write)
		}
		if got := e.Read("config/facebook")["former_secret_until"]; got != nil {
			t.Errorf("%s: the secret of app 123 is kept, and proofs are made with it, until %v", name, got)
		}
	}
}

func TestUnacceptedSecretMakesNoProof(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": "wrong-secret-0123456789", "client_secret_overlap": "1h"})
	e.Clock.Advance(2 * time.Hour) // the good one is forgotten
	e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.AppSecret})
	if !proves(e) {
		t.Error("mended, and proofs are still made with the secret that Facebook refused")
	}
}

// TestLateAnswerSelectsNoSecret has a call find out that a secret is accepted
// which is replaced before the answer arrives.
func TestLateAnswerSelectsNoSecret(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
	n := e.Facebook.Count(authpipetest.EndpointDebugToken)
	e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: &authpipetest.GraphError{Code: 190, Message: "Invalid OAuth access token signature."}})
	release := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Hang: true})
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	var checking sync.WaitGroup
	checking.Go(func() { e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil) })
	e.Facebook.AwaitCalls(authpipetest.EndpointDebugToken, n+2)
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.AppSecret) // back to the former, and here on to a third
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret + "x"})
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	release()
	checking.Wait()
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.AppSecret)
	if !proves(e) {
		t.Error("a proof is made with a secret that was never accepted")
	}
}
