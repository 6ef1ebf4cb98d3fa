package backend_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const newSecret = "another-secret-0123456789abcdef"

func TestASecretIsReplacedWithoutOneFailedCall(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	if e.read("config/facebook")["former_secret_until"] != "2026-11-24T12:00:00Z" {
		t.Errorf("the configuration reads %v", e.read("config/facebook"))
	}
	if !e.proves() {
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
					e.fb.SetAppSecret(appID, newSecret)
				}
				for _, path := range []string{"check", "refresh"} {
					if _, err := e.do(logical.UpdateOperation, "connections/"+[]string{uma, installation}[i%2]+"/"+path, nil); err != nil {
						t.Errorf("round %d: %s: %v", round, path, err)
					}
				}
			}
		})
	}
	working.Wait()
	if !e.proves() {
		t.Error("the proof is still made with the former secret")
	}
	e.restart()
	if !e.proves() {
		t.Error("after a restart it is forgotten which secret was accepted")
	}
	e.connect(udo, "udo", authpipetest.Consent{User: "udo"})
	e.must(logical.DeleteOperation, "creds/"+udo, nil)

	n := e.fb.Count("")
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	if got := e.fb.Count("") - n; got != 1 {
		t.Errorf("a check makes %d calls once it is known which secret is accepted", got)
	}
	e.clock.Advance(25 * time.Hour)
	if got := e.read("config/facebook")["former_secret_until"]; got != nil {
		t.Errorf("the former secret is kept until %v", got)
	}
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
}

func TestAReplacedSecretIsNotKeptForEver(t *testing.T) {
	for name, change := range map[string]map[string]any{
		"its overlap is over":       {"client_secret": newSecret, "client_secret_overlap": "1h"},
		"the operator wants none":   {"client_secret": newSecret, "client_secret_overlap": 0},
		"it is the same as the new": {"client_secret": appSecret},
		"the write names no secret": {"client_secret_overlap": "2h"},
	} {
		t.Run(name, func(t *testing.T) {
			e := both(t, authpipetest.Options{})
			e.must(logical.UpdateOperation, "config/facebook", change)
			e.clock.Advance(time.Hour)
			if got := e.read("config/facebook")["former_secret_until"]; got != nil {
				t.Errorf("the former secret is kept until %v", got)
			}
			if change["client_secret"] == newSecret {
				e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/check", nil)
			} else {
				e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
			}
		})
	}
}

func TestOfThreeSecretsTheLastAcceptedIsKept(t *testing.T) {
	e := both(t, authpipetest.Options{})
	for i := range 3 {
		// Written before the provider ever accepted the ones between.
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": fmt.Sprint(newSecret, i)})
	}
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.fb.SetAppSecret(appID, newSecret+"2")
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	// Two wrong ones are a wrong client, and no credential's fault.
	e.fb.SetAppSecret(appID, "none of them")
	e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	if got := e.read("connections/" + uma); got["status"] != "active" || got["consecutive_failures"] != 0 {
		t.Errorf("the connection reads %v", got)
	}
}

func TestAFormerSecretIsForgottenAtOnce(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret_overlap": 0})
	if got := e.read("config/facebook")["former_secret_until"]; got != nil {
		t.Errorf("the former secret is kept until %v", got)
	}
}

func TestTheSecretOfAnotherClientIsNotKept(t *testing.T) {
	secret := map[string]any{"client_secret": newSecret}
	for name, writes := range map[string][]map[string]any{
		"the secret comes with its client":      {{"client_id": "124", "force": true, "client_secret": newSecret}},
		"the secret follows its client":         {{"client_id": "124", "force": true}, secret},
		"the client changes within the overlap": {secret, {"client_id": "124", "force": true}},
		"both change within the overlap":        {secret, {"client_id": "124", "force": true, "client_secret": newSecret + "x"}},
	} {
		e := newEngine(t, authpipetest.Options{})
		for _, write := range writes {
			e.must(logical.UpdateOperation, "config/facebook", write)
		}
		if got := e.read("config/facebook")["former_secret_until"]; got != nil {
			t.Errorf("%s: the secret of app 123 is kept, and proofs are made with it, until %v", name, got)
		}
	}
}

func TestASecretThatWasNeverAcceptedMakesNoProof(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": "wrong-secret-0123456789", "client_secret_overlap": "1h"})
	e.clock.Advance(2 * time.Hour) // the good one is forgotten
	e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": appSecret})
	if !e.proves() {
		t.Error("mended, and proofs are still made with the secret that Facebook refused")
	}
}

// TestALateAnswerChoosesNoSecret has a call find out that a secret is accepted
// which is replaced before it is told.
func TestALateAnswerChoosesNoSecret(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	n := e.fb.Count(authpipetest.EndpointDebugToken)
	e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Error: &authpipetest.GraphError{Code: 190, Message: "Invalid OAuth access token signature."}})
	release := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1, Hang: true})
	e.fb.SetAppSecret(appID, newSecret)
	var checking sync.WaitGroup
	checking.Go(func() { e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil) })
	e.awaitCalls(authpipetest.EndpointDebugToken, n+2)
	e.fb.SetAppSecret(appID, appSecret) // back to the former, and here on to a third
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret + "x"})
	e.fb.SetAppSecret(appID, newSecret)
	release()
	checking.Wait()
	e.fb.SetAppSecret(appID, appSecret)
	if !e.proves() {
		t.Error("a proof is made with a secret that was never accepted")
	}
}
