package backend_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// erasing asks for a person's deletion and returns its confirmation code.
func (e *engine) erasing(signedRequest string) (code string) {
	e.t.Helper()
	var answer map[string]string
	if err := json.Unmarshal([]byte(e.hears(dataDeletion, signedRequest)), &answer); err != nil {
		e.t.Fatal(err)
	}
	return answer["confirmation_code"]
}

func (e *engine) dataDeletion(code string) (status int, body string) {
	e.t.Helper()
	return e.public(logical.ReadOperation, dataDeletion, map[string]any{"confirmation_code": code})
}

func TestADeletionIsCarriedOutAndCanBeReadOf(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "ada"})
	e.read("creds/" + page777)
	_, at := e.events(0)
	e.fb.RemoveApp(appID, "ada")
	word := signed(appSecret, e.request("ada", e.clock.Now()))
	body := e.hears(dataDeletion, word)
	code := e.erasing(word)
	if want := fmt.Sprintf(`{"confirmation_code":%q,"url":%q}`, code, mountURL+"/"+dataDeletion+"?confirmation_code="+code); body != want {
		t.Errorf("answered %s, want %s", body, want)
	}
	e.refused("revoked", 409, logical.ReadOperation, "creds/"+installation, nil)
	if _, got := e.dataDeletion(code); got != `{"status":"pending"}` {
		t.Errorf("its page says %s", got)
	}
	e.after(2 * time.Minute)
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	for _, ref := range []string{installation, "org_globex/facebook/installation", page777} {
		e.refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
	}
	e.read("creds/" + uma)
	found, _ := e.events(at)
	if got := strings.Count(strings.Join(found, "\n"), "connection.deleted"); got != 4 { // two pages
		t.Errorf("what happened is %q", found)
	}
	kept, err := store.New(store.Options{Storage: e.storage, Now: e.clock.Now}).Mount.DataDeletion(t.Context(), store.DataDeletionID(oauth.NewSecret(code)))
	if err != nil || kept.Account != "" || kept.EndedAt.IsZero() {
		t.Errorf("what is kept of it is %+v, %v", kept, err)
	}
	if again := e.erasing(word); again != code {
		t.Errorf("asked again it is %s", again)
	}
	if other := e.erasing(signed(appSecret, e.request("ada", e.clock.Now()))); other == code {
		t.Error("two requests have one code")
	}
}

func TestADeletionTellsNobodyWithoutItsCode(t *testing.T) {
	e := both(t, authpipetest.Options{})
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	if len(code) != 32 || strings.Contains(e.snapshot(), code) {
		t.Errorf("the code %s lies in storage", code)
	}
	for _, wrong := range []string{"x", strings.Repeat("0", 32), strings.ToUpper(code), strings.Repeat("0", 1<<20)} {
		if status, body := e.dataDeletion(wrong); status != http.StatusNotFound {
			t.Errorf("%.40s is answered %d %s", wrong, status, body)
		}
	}
	e.storage.Reset()
	e.dataDeletion(strings.Repeat("0", 1<<20))
	if ops := e.storage.Operations(); len(ops) != 0 {
		t.Errorf("what is no code is looked for with %v", ops)
	}
	status, body := e.public(logical.ReadOperation, "webhooks/myspace/data-deletion", map[string]any{"confirmation_code": code})
	if status != http.StatusNotFound {
		t.Errorf("at another provider it is answered %d %s", status, body)
	}
}

func TestALivingGrantKeepsItsCredential(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.clock.Advance(time.Hour)
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(2 * time.Minute)
	if _, got := e.dataDeletion(code); got != `{"status":"rejected"}` {
		t.Errorf("its page says %s", got)
	}
	e.read("creds/" + uma)
}

func TestADeletionWaitsForTheProvider(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.RemoveApp(appID, "uma")
	repair := e.fb.Fail(authpipetest.Fault{Status: 500, Body: "<html>down</html>"})
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	for range 4 {
		e.after(7 * time.Hour)
		if _, got := e.dataDeletion(code); got != `{"status":"pending"}` {
			t.Errorf("its page says %s", got)
		}
		e.is("revoked", uma)
	}
	repair()
	e.after(7 * time.Hour)
	e.after(7 * time.Hour)
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+uma, nil)
}

func TestADeletionSparesWhatWasConnectedSince(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.RemoveApp(appID, "uma")
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	e.clock.Advance(10 * time.Second)
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	e.after(2 * time.Minute)
	e.read("creds/" + uma)
	if _, got := e.dataDeletion(code); got != `{"status":"completed"}` {
		t.Errorf("its page says %s", got)
	}
}

func TestADeletionIsForgottenAfterNinetyDays(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
	e.fb.RemoveApp(appID, "uma")
	code := e.erasing(signed(appSecret, e.request("uma", e.clock.Now())))
	e.after(2 * time.Minute)
	e.after(89 * day)
	if status, _ := e.dataDeletion(code); status != http.StatusOK {
		t.Errorf("after 89 days it is answered %d", status)
	}
	e.after(day + time.Hour)
	if status, _ := e.dataDeletion(code); status != http.StatusNotFound || strings.Contains(e.snapshot(), "deletion") {
		t.Errorf("after 90 days it is answered %d", status)
	}
}

func TestADeletionNeedsAnAddressToBeReadAt(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"redirect_uris": "https://app.example.com/oauth"})
	e.fb.RemoveApp(appID, "uma")
	word := signed(appSecret, e.request("uma", e.clock.Now()))
	if status, body := e.posted(dataDeletion, word); status != http.StatusFailedDependency {
		t.Errorf("answered %d %s", status, body)
	}
	e.is("revoked", uma) // it is heard all the same
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"public_url": "https://public.example.com/v1/authpipe"})
	if body := e.hears(dataDeletion, word); !strings.Contains(body, `"https://public.example.com/v1/authpipe/webhooks/facebook/data-deletion?`) {
		t.Errorf("answered %s", body)
	}
}

func TestNoPageIsLeftBehindByADeletion(t *testing.T) {
	for k := 1; ; k++ {
		e := newEngine(t, authpipetest.Options{})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"check_interval": 0})
		e.install()
		e.read("creds/" + page777)
		e.fb.RemoveApp(appID, "ada")
		e.erasing(signed(appSecret, e.request("ada", e.clock.Now())))
		e.clock.Advance(2 * time.Minute)
		e.storage.DieAt(k, true)
		e.Sweep(t.Context())
		if len(e.storage.Operations()) < k {
			break
		}
		e.restart()
		for range 3 {
			e.after(10 * time.Minute)
		}
		if keys, err := e.storage.Keys(t.Context(), "cred/"); err != nil || len(keys) != 0 {
			t.Errorf("killed at operation %d: left is %v, %v", k, keys, err)
		}
	}
}
