package removal_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

func TestDataDeletionCompletesWithReadableStatus(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "ada"})
	e.Read("creds/" + enginetest.Page777)
	_, at := e.Events(0)
	e.Facebook.RemoveApp(enginetest.AppID, "ada")
	word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now()))
	body := e.Webhooks.MustPost(enginetest.DataDeletionPath, word)
	code := e.Webhooks.RequestDeletion(word)
	if want := fmt.Sprintf(`{"confirmation_code":%q,"url":%q}`, code, enginetest.MountURL+"/"+enginetest.DataDeletionPath+"?confirmation_code="+code); body != want {
		t.Errorf("answered %s, want %s", body, want)
	}
	e.Refused("revoked", 409, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"pending"}` {
		t.Errorf("its page says %s", got)
	}
	e.After(2 * time.Minute)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	for _, ref := range []string{enginetest.Installation, "org_globex/facebook/installation", enginetest.Page777} {
		e.Refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
	}
	e.Read("creds/" + enginetest.Uma)
	found, _ := e.Events(at)
	if got := strings.Count(strings.Join(found, "\n"), "connection.deleted"); got != 4 { // two pages
		t.Errorf("what happened is %q", found)
	}
	kept, err := store.New(store.Options{Storage: e.Storage, Now: e.Clock.Now}).Mount.DataDeletion(t.Context(), store.DataDeletionID(oauth.NewSecret(code)))
	if err != nil || kept.Account != "" || kept.EndedAt.IsZero() {
		t.Errorf("what is kept of it is %+v, %v", kept, err)
	}
	if again := e.Webhooks.RequestDeletion(word); again != code {
		t.Errorf("asked again it is %s", again)
	}
	if other := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now()))); other == code {
		t.Error("two requests have one code")
	}
}

func TestDataDeletionStatusNeedsItsCode(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	if len(code) != 32 || strings.Contains(e.Storage.Snapshot(), code) {
		t.Errorf("the code %s lies in storage", code)
	}
	for _, wrong := range []string{"x", strings.Repeat("0", 32), strings.ToUpper(code), strings.Repeat("0", 1<<20)} {
		if status, body := e.Webhooks.DeletionStatus(wrong); status != http.StatusNotFound {
			t.Errorf("%.40s is answered %d %s", wrong, status, body)
		}
	}
	e.Storage.Reset()
	e.Webhooks.DeletionStatus(strings.Repeat("0", 1<<20))
	if ops := e.Storage.Operations(); len(ops) != 0 {
		t.Errorf("what is no code is looked for with %v", ops)
	}
	status, body := e.Webhooks.Public(logical.ReadOperation, "webhooks/myspace/data-deletion", map[string]any{"confirmation_code": code})
	if status != http.StatusNotFound {
		t.Errorf("at another provider it is answered %d %s", status, body)
	}
}

func TestDataDeletionKeepsCredentialOfLivingGrant(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Clock.Advance(time.Hour)
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(2 * time.Minute)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"rejected"}` {
		t.Errorf("its page says %s", got)
	}
	e.Read("creds/" + enginetest.Uma)
}

func TestDataDeletionWaitsForProvider(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	repair := e.Facebook.Fail(authpipetest.Fault{Status: 500, Body: "<html>down</html>"})
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	for range 4 {
		e.After(7 * time.Hour)
		if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"pending"}` {
			t.Errorf("its page says %s", got)
		}
		e.CheckStatus("revoked", enginetest.Uma)
	}
	repair()
	e.After(7 * time.Hour)
	e.After(7 * time.Hour)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Uma, nil)
}

func TestDataDeletionSparesLaterConnection(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.Clock.Advance(10 * time.Second)
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	e.After(2 * time.Minute)
	e.Read("creds/" + enginetest.Uma)
	if _, got := e.Webhooks.DeletionStatus(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
}

func TestDataDeletionRecordExpiresAfterNinetyDays(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	code := e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now())))
	e.After(2 * time.Minute)
	e.After(89 * enginetest.Day)
	if status, _ := e.Webhooks.DeletionStatus(code); status != http.StatusOK {
		t.Errorf("after 89 days it is answered %d", status)
	}
	e.After(enginetest.Day + time.Hour)
	if status, _ := e.Webhooks.DeletionStatus(code); status != http.StatusNotFound || strings.Contains(e.Storage.Snapshot(), "deletion") {
		t.Errorf("after 90 days it is answered %d", status)
	}
}

func TestDataDeletionNeedsStatusURL(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"redirect_uris": "https://app.example.com/oauth"})
	e.Facebook.RemoveApp(enginetest.AppID, "uma")
	word := enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("uma", e.Clock.Now()))
	if status, body := e.Webhooks.Post(enginetest.DataDeletionPath, word); status != http.StatusFailedDependency {
		t.Errorf("answered %d %s", status, body)
	}
	e.CheckStatus("revoked", enginetest.Uma) // the notification counts in spite of that
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"public_url": "https://public.example.com/v1/authpipe"})
	if body := e.Webhooks.MustPost(enginetest.DataDeletionPath, word); !strings.Contains(body, `"https://public.example.com/v1/authpipe/webhooks/facebook/data-deletion?`) {
		t.Errorf("answered %s", body)
	}
}

func TestDataDeletionOfPagesSurvivesCrash(t *testing.T) {
	setup := func() *enginetest.Engine {
		e := enginetest.New(t, authpipetest.Options{})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
		e.Install()
		e.Read("creds/" + enginetest.Page777)
		e.Facebook.RemoveApp(enginetest.AppID, "ada")
		e.Webhooks.RequestDeletion(enginetest.SignedRequest(enginetest.AppSecret, e.Webhooks.Request("ada", e.Clock.Now())))
		e.Clock.Advance(2 * time.Minute)
		return e
	}
	enginetest.EachCrash(setup, (*enginetest.Engine).TrySweep, func(e *enginetest.Engine, f enginetest.Failure) {
		for range 3 {
			e.After(10 * time.Minute)
		}
		if keys, err := e.Storage.Keys(t.Context(), "cred/"); err != nil || len(keys) != 0 {
			t.Errorf("%s: left is %v, %v", f, keys, err)
		}
	})
}
