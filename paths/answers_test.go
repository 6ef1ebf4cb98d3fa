package paths_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// The harness checks each answer against its schema, and TestMain that the tests of
// this package get every answer and field that the schemas promise. Here are those
// whose behaviour is tested in the rooms below.

func TestMain(m *testing.M) { enginetest.Main(m) }

func TestPageOfAUserAnswersAsACredential(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	const page = ada + "/pages/778"
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list"})
	token := e.ObtainToken("ada")
	e.Must(logical.UpdateOperation, "creds/"+ada, map[string]any{"access_token": token})
	for _, token := range []any{e.Read("creds/" + page)["access_token"], e.Read("creds/" + ada)["access_token"]} {
		if !e.Facebook.Valid(token.(string)) {
			t.Error("a dead token is served")
		}
	}
	e.CheckStatus("active", page)
	for _, question := range []string{"check", "refresh"} {
		if got := e.Must(logical.UpdateOperation, "connections/"+page+"/"+question, nil)["status"]; got != "active" {
			t.Errorf("%s answers %v", question, got)
		}
	}
}

func TestAccessAnswersAtEachRef(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const ada = "org_acme/facebook/users/ada"
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "pages_show_list"})
	e.Connect(ada, "ada", authpipetest.Consent{User: "ada"})
	for _, page := range []string{enginetest.Page777, ada + "/pages/777"} {
		e.Read("creds/" + page)
	}
	for _, ref := range []string{enginetest.Installation, enginetest.Page777, ada, ada + "/pages/777"} {
		if got := e.Read("connections/" + ref + "/access"); got["granted"] != true || len(got["reasons"].([]string)) != 0 {
			t.Errorf("%s answers %v", ref, got)
		}
	}
}

func TestEachGrantAnswersWithWhatItNeeds(t *testing.T) {
	e, s, _ := enginetest.Device(t, enginetest.Installation, "admin")
	e.Must(logical.DeleteOperation, s.Path, nil)
	if got := e.Read(s.Path)["error"]; got != "cancelled" {
		t.Errorf("a cancelled session reads %v", got)
	}
	answer := e.Must(logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "grant": "sdk"})
	if answer["state"] == "" || answer["authorization_url"] != nil {
		t.Errorf("an SDK's session begins with %v", answer)
	}
}

func TestAccountAnswersWithItsRefsAndTheirEnd(t *testing.T) {
	e := enginetest.Populated(t)
	account := "accounts/facebook/" + e.Read("creds/" + enginetest.Globex)["provider_user_id"].(string)
	if got := e.Read(account)["refs"].([]string); len(got) != 2 {
		t.Errorf("it has %v", got)
	}
	if got := e.Must(logical.DeleteOperation, account, nil); len(got["deleted"].([]string)) == 0 && len(got["removing"].([]string)) == 0 {
		t.Errorf("its end answers %v", got)
	}
}

func TestTenantAnswersWithItsRotationAndDeletion(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "settings", map[string]any{"key_rotation_period": "240h"})
	if got := e.Read("settings")["key_rotation_period"]; got != int64(10*24*3600) {
		t.Errorf("the period is %v", got)
	}
	e.After(2 * time.Minute)
	if got := e.Read("health")["last_sweep"]; got == nil {
		t.Error("health knows of no sweep")
	}
	if got := e.Read(enginetest.Acme)["next_rotation_at"]; got == nil {
		t.Error("no rotation is planned")
	}
	if got := e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil)["key_version"]; got != 2 {
		t.Errorf("the new key has version %v", got)
	}
	e.Tenant.FinishRotation("by hand")
	e.Must(logical.DeleteOperation, enginetest.Acme, nil)
	if got := e.Read(enginetest.Acme)["deletion"]; got == nil {
		t.Error("no deletion is under way")
	}
}

func TestWebhooksAnswerWhomTheyServe(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	if status, _ := e.Webhooks.Public(logical.ReadOperation, enginetest.DeauthorizePath, nil); status != http.StatusOK {
		t.Errorf("a plain GET is answered %d", status)
	}
	if n := e.Webhooks.Notify(e.Webhooks.Permissions("uma", e.Clock.Now(), enginetest.Disconnected)); n != 1 {
		t.Errorf("%d credentials are marked", n)
	}
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	request := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
	e.Webhooks.MustPost(enginetest.DeauthorizePath, request)
	code := e.Webhooks.RequestDeletion(request)
	if status, body := e.Webhooks.DeletionStatus(code); status != http.StatusOK || body != `{"status":"pending"}` {
		t.Errorf("the deletion is answered %d %s", status, body)
	}
}

func TestMetricsAnswer(t *testing.T) {
	if len(enginetest.New(t, authpipetest.Options{}).Metrics()) == 0 {
		t.Error("there are none")
	}
}
