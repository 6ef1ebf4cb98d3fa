package backend_test

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A kept is a credential as the world knows it to be.
type kept struct {
	ref, person string
	// died is when the grant ended, and status what the engine must say of it
	// from then on. Zero: it lives.
	died   time.Time
	status string
	// calm is how much time without trouble has passed since.
	calm    time.Duration
	noticed bool
	// deleting is the token of a credential whose deletion failed, or was not answered:
	// it may be deleted, or dead.
	deleting string
	gone     bool
}

const checkInterval = 24 * time.Hour // the default

// day says how far the world has come.
func (w *world) day() string {
	passed := w.Clock.Now().Sub(w.begun)
	return fmt.Sprintf("day %d, %02d:00", int(passed/(24*time.Hour)), int(passed/time.Hour)%24)
}

// wrong reports what must not be.
func (w *world) wrong(format string, args ...any) {
	w.T.Helper()
	w.T.Errorf("%s: %s", w.day(), fmt.Sprintf(format, args...))
	if w.wrongs++; w.wrongs >= 20 {
		w.T.Fatalf("that is enough; seed %d shows it again", w.seed)
	}
}

// join has a person connect the ref, or connect it again.
func (w *world) join(k *kept) {
	w.T.Helper()
	w.Facebook.AddUser(authpipetest.User{ID: k.person, Name: k.person})
	data := map[string]any{"actor": k.person}
	if p := w.Callback(w.Consent(w.Begin(k.ref, data), authpipetest.Consent{User: k.person})); p.Status != 200 {
		w.T.Fatalf("%s: connecting %s: %s", w.day(), k.ref, p.HTML)
	}
	w.budget.connected()
	k.died, k.status, k.calm, k.noticed = time.Time{}, "", 0, false
}

// endings are what may become of a grant, and what the engine must say then.
var endings = []struct {
	status string
	end    func(w *world, k *kept, token string)
}{
	{"revoked", func(w *world, k *kept, _ string) { w.Facebook.RemoveApp(enginetest.AppID, k.person) }},
	{"revoked", func(w *world, k *kept, _ string) { w.Facebook.RemoveApp(enginetest.AppID, k.person) }},
	{"needs_reauth", func(w *world, k *kept, _ string) { w.Facebook.ChangePassword(k.person) }},
	{"needs_reauth", func(w *world, _ *kept, token string) {
		w.Facebook.KillToken(token, 190, authpipetest.SubcodeLoggedOut, "")
	}},
	{"needs_reauth", func(w *world, _ *kept, token string) { w.Facebook.ExpireToken(token) }},
}

// lose ends a grant at the provider, which sends no notification.
func (w *world) lose(k *kept) {
	w.T.Helper()
	ending := endings[w.rand.IntN(len(endings))]
	token, ok := w.served(k)
	if !ok {
		ending = endings[0] // the record does not open, so which token it is is not known
	}
	ending.end(w, k, token)
	k.died, k.status = w.Clock.Now(), ending.status
}

// served returns the token that a reader gets, unless there is no engine.
func (w *world) served(k *kept) (token string, ok bool) {
	w.T.Helper()
	if w.in(standstill) {
		return "", false
	}
	c, err := w.Do(logical.ReadOperation, "creds/"+k.ref, nil)
	if err == nil {
		return c.Data["access_token"].(string), true
	}
	if !w.life.dead.Load() {
		w.wrong("%s lives and is not served: %v", k.ref, err)
	}
	return "", false
}

// remove has an operator delete the credential, whatever the world is like.
func (w *world) remove(k *kept) {
	w.T.Helper()
	token, ok := w.served(k)
	if !ok {
		return
	}
	_, err := w.Do(logical.DeleteOperation, "creds/"+k.ref, nil)
	w.budget.connected()
	if err == nil {
		w.forgotten(k, token)
		return
	}
	if !w.life.dead.Load() && w.calm() {
		w.wrong("%s cannot be deleted: %v", k.ref, err)
	}
	k.deleting = token
}

// fell takes in that a delete which failed had its effect at the provider all
// the same.
func (w *world) fell(k *kept) {
	if known, _ := w.Facebook.Inspect(k.deleting); !known.Valid && k.died.IsZero() {
		k.died, k.status = w.Clock.Now(), "revoked"
	}
}

func (w *world) forgotten(k *kept, token string) {
	k.gone = true
	w.gone[k.ref] = token
}

// look holds what the engine says of a credential against the books.
func (w *world) look(k *kept) {
	w.T.Helper()
	c, err := w.Do(logical.ReadOperation, "connections/"+k.ref, nil)
	var coded logical.HTTPCodedError
	if k.deleting != "" && errors.As(err, &coded) && coded.Code() == 404 {
		w.forgotten(k, k.deleting)
		return
	}
	if err != nil {
		w.wrong("%s cannot be read: %v", k.ref, err)
		return
	}
	switch status := c.Data["status"].(string); {
	case k.died.IsZero():
		w.lookAlive(k, status, c.Data)
	case status == k.status:
		k.noticed = true
		_, err := w.Do(logical.ReadOperation, "creds/"+k.ref, nil)
		if err == nil || !strings.HasPrefix(err.Error(), status+": ") {
			w.wrong("%s is %s, and a reader gets %v", k.ref, status, err)
		}
	case status != "active" || k.noticed:
		w.wrong("%s is %s since %s, and the engine says %s (%v)", k.ref, k.status, k.died, status, c.Data["last_error"])
	case k.calm > checkInterval+sweepEvery:
		w.wrong("%s is %s since %v, and not noticed in %v without trouble: due %v", k.ref, k.status, k.died, k.calm, c.Data["next_due_at"])
	}
}

func (w *world) lookAlive(k *kept, status string, connection map[string]any) {
	w.T.Helper()
	if status != "active" {
		w.wrong("%s was lost: it lives, and the engine says %s (%v)", k.ref, status, connection["last_error"])
		return
	}
	c, err := w.Do(logical.ReadOperation, "creds/"+k.ref, nil)
	if err != nil {
		w.wrong("%s lives and is not served: %v", k.ref, err)
		return
	}
	if known, _ := w.Facebook.Inspect(c.Data["access_token"].(string)); !known.Valid {
		w.wrong("%s is served with a dead token: %v", k.ref, known.Error)
	}
	text, planned := connection["next_due_at"].(string)
	if !planned {
		w.wrong("%s is stuck: nothing is planned for it", k.ref)
		return
	}
	due, err := time.Parse(time.RFC3339, text)
	if err != nil {
		w.T.Fatal(err)
	}
	// Due work waits for the first minute that has begun by then, and for a sweep.
	if w.calm() && due.Before(w.now().Add(-2*time.Minute)) {
		w.wrong("%s is stuck: it was due at %v, and now is %v", k.ref, due, w.now())
	}
}
