package backend_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// TestRemovedBusinessIntegrationIsFound: debug_token says nothing of such a
// token but code 100, and /me refuses it with 190/464 (C3). Neither webhook
// comes.
func TestRemovedBusinessIntegrationIsFound(t *testing.T) {
	for name, notice := range map[string]func(e *engine){
		"by a check": func(e *engine) {
			e.refused("revoked", 409, logical.UpdateOperation, "connections/"+installation+"/check", nil)
		},
		"by a refresh": func(e *engine) {
			e.refused("revoked", 409, logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
		},
		"by a sweep, in a batch": func(e *engine) { e.after(2 * day) },
	} {
		t.Run(name, func(t *testing.T) {
			e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
			e.install()
			e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
			e.fb.RemoveIntegration(appID, businessID)
			notice(e)
			e.is("revoked", installation)
			e.refused("revoked", 409, logical.ReadOperation, "creds/"+installation, nil)
			e.is("active", uma)
		})
	}
}

func TestImportOfARemovedBusinessTokenIsRefused(t *testing.T) {
	e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	token := e.token(installation)
	e.fb.RemoveIntegration(appID, businessID)
	_, err := e.do(logical.UpdateOperation, "creds/"+globex, map[string]any{"access_token": token})
	if err == nil || strings.HasPrefix(err.Error(), "invalid_request") {
		t.Errorf("answered %v", err)
	}
}

// TestDebugTokenThatFailsForALivingTokenCostsNothing has debug_token answer code
// 100 for a token that /me accepts.
func TestDebugTokenThatFailsForALivingTokenCostsNothing(t *testing.T) {
	e := both(t, authpipetest.Options{})
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 100, Type: "GraphMethodException", Message: "(#100) Unsupported request"}})()
	e.refused("unavailable", 502, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.is("active", uma)
	e.read("creds/" + uma)
}

// TestBusinessTokenThatOutlivesItsRevocationIsNotForgotten: Facebook may report
// success and leave the token of a client's business alive (C6).
func TestBusinessTokenThatOutlivesItsRevocationIsNotForgotten(t *testing.T) {
	e := business(t, authpipetest.Options{RevokeSparesIntegrations: true}, authpipetest.Business{}, authpipetest.Configuration{})
	e.connect(globex, "boss", authpipetest.Consent{User: "ada"})
	_, err := e.do(logical.DeleteOperation, "creds/"+globex, nil)
	if err == nil || !strings.Contains(err.Error(), "Connected apps") || !strings.Contains(err.Error(), businessID) {
		t.Errorf("answered %v", err)
	}
	told, _ := e.read("connections/" + globex)["last_error"].(map[string]any)
	if text, _ := told["message"].(string); !strings.Contains(text, "Connected apps") {
		t.Errorf("connections/ says %v", told)
	}
	e.is("active", globex) // and served, until it is dead
	e.must(logical.UpdateOperation, "connections/"+globex+"/check", nil)
	told, _ = e.read("connections/" + globex)["last_error"].(map[string]any)
	if text, _ := told["message"].(string); !strings.Contains(text, "Connected apps") {
		t.Errorf("after a check connections/ says %v", told)
	}

	e.fb.RemoveIntegration(appID, businessID)
	e.must(logical.DeleteOperation, "creds/"+globex, nil)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+globex, nil)
}

func TestBusinessTokenThatOutlivesItsRevocationIsForgottenByForce(t *testing.T) {
	e := business(t, authpipetest.Options{RevokeSparesIntegrations: true}, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	e.do(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(10 * time.Minute)
	if got := e.read("connections/" + installation); got["removal"] != nil || !strings.Contains(fmt.Sprint(got["history"]), "revoke_failed") {
		t.Errorf("an installation that could not be revoked reads %v", got)
	}
	e.read("creds/" + uma)
	e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
	e.after(10 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}
