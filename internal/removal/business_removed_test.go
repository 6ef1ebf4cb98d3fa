package removal_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// TestRemovedBusinessIntegrationIsFound: debug_token says nothing of such a
// token but code 100, and /me refuses it with 190/464 (C3). Neither webhook
// comes.
func TestRemovedBusinessIntegrationIsFound(t *testing.T) {
	for name, notice := range map[string]func(e *enginetest.Engine){
		"by a check": func(e *enginetest.Engine) {
			e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
		},
		"by a refresh": func(e *enginetest.Engine) {
			e.Refused("revoked", 409, logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
		},
		"by a sweep, in a batch": func(e *enginetest.Engine) { e.After(2 * enginetest.Day) },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
			e.Install()
			e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
			e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
			notice(e)
			e.CheckStatus("revoked", enginetest.Installation)
			e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
			e.CheckStatus("active", enginetest.Uma)
		})
	}
}

func TestImportOfARemovedBusinessTokenIsRefused(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	token := e.CheckedToken(enginetest.Installation)
	e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
	_, err := e.Do(logical.UpdateOperation, "creds/"+enginetest.Globex, map[string]any{"access_token": token})
	if err == nil || strings.HasPrefix(err.Error(), "invalid_request") {
		t.Errorf("answered %v", err)
	}
}

// TestFailingDebugTokenMarksNoLivingToken has debug_token answer code
// 100 for a token that /me accepts.
func TestFailingDebugTokenMarksNoLivingToken(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	defer e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 100, Type: "GraphMethodException", Message: "(#100) Unsupported request"}})()
	e.Refused("unavailable", 502, logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	e.CheckStatus("active", enginetest.Uma)
	e.Read("creds/" + enginetest.Uma)
}

// TestBusinessTokenThatOutlivesRevocationIsNotDeleted: Facebook may report
// success and leave the token of a client's business alive (C6).
func TestBusinessTokenThatOutlivesRevocationIsNotDeleted(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{RevokeSparesIntegrations: true}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Connect(enginetest.Globex, "boss", authpipetest.Consent{User: "ada"})
	_, err := e.Do(logical.DeleteOperation, "creds/"+enginetest.Globex, nil)
	if err == nil || !strings.Contains(err.Error(), "Connected apps") || !strings.Contains(err.Error(), enginetest.BusinessID) {
		t.Errorf("answered %v", err)
	}
	told, _ := e.Read("connections/" + enginetest.Globex)["last_error"].(map[string]any)
	if text, _ := told["message"].(string); !strings.Contains(text, "Connected apps") {
		t.Errorf("connections/ says %v", told)
	}
	e.CheckStatus("active", enginetest.Globex) // and served, until it is dead
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Globex+"/check", nil)
	told, _ = e.Read("connections/" + enginetest.Globex)["last_error"].(map[string]any)
	if text, _ := told["message"].(string); !strings.Contains(text, "Connected apps") {
		t.Errorf("after a check connections/ says %v", told)
	}

	e.Facebook.RemoveIntegration(enginetest.AppID, enginetest.BusinessID)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Globex, nil)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Globex, nil)
}

func TestBusinessTokenThatOutlivesRevocationIsDeletedByForce(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{RevokeSparesIntegrations: true}, authpipetest.Business{}, authpipetest.Configuration{})
	e.Install()
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	e.Do(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.After(10 * time.Minute)
	if got := e.Read("connections/" + enginetest.Installation); got["removal"] != nil || !strings.Contains(fmt.Sprint(got["history"]), "revoke_failed") {
		t.Errorf("an installation that could not be revoked reads %v", got)
	}
	e.Read("creds/" + enginetest.Uma)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
	e.After(10 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}
