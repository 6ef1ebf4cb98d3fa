package enginetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"
)

// CheckCode checks the API's code and the HTTP status of an error.
func CheckCode(t testing.TB, err error, code string, status int) {
	t.Helper()
	var coded logical.HTTPCodedError
	if !errors.As(err, &coded) || coded.Code() != status || !strings.HasPrefix(err.Error(), code+": ") {
		t.Fatalf("error is %v, want %s with status %d", err, code, status)
	}
}

// Denied reports whether err is Vault's ErrPermissionDenied itself: Vault compares
// it by identity.
func Denied(err error) bool { return err == logical.ErrPermissionDenied }

// CheckStatus checks a credential's status.
func (e *Engine) CheckStatus(status, ref string) {
	e.T.Helper()
	if got := e.Read("connections/" + ref)["status"]; got != status {
		e.T.Errorf("%s is %v, want %s", ref, got, status)
	}
}

// CheckSession checks that an attack left the session's status as it was.
func (e *Engine) CheckSession(s Session, status string) {
	e.T.Helper()
	if got := e.Read(s.Path); got["status"] != status {
		e.T.Errorf("the session that was attacked reads %v", got)
	}
}

// CheckHealthy checks that no failure was recorded on the credentials.
func (e *Engine) CheckHealthy(refs []string) {
	e.T.Helper()
	for _, ref := range refs {
		if c := e.Read("connections/" + ref); c["status"] != "active" || c["consecutive_failures"] != 0 || c["last_error"] != nil {
			e.T.Fatalf("%s is marked as failing: %v", ref, c)
		}
	}
}

// CheckEvents checks the events since after and returns the last one's number.
func (e *Engine) CheckEvents(after int64, want ...string) (last int64) {
	e.T.Helper()
	found, last := e.Events(after)
	if !slices.Equal(found, want) {
		e.T.Errorf("what happened is %q, want %q", found, want)
	}
	return last
}

// CheckInvariants checks what must be true of storage at any moment: each record
// has the index entries that it needs, and each record of a code has its session.
func (e *Engine) CheckInvariants(when string) {
	e.T.Helper()
	ctx := context.Background()
	keys, err := e.Storage.Keys(ctx, "")
	if err != nil {
		e.T.Fatal(err)
	}
	all := strings.Join(keys, "\n") + "\n"
	for _, key := range keys {
		if id, isSession := strings.CutPrefix(key, "session/"); isSession && !strings.Contains(all, ",session,"+id+"\n") {
			e.T.Errorf("%s: no entry of the due index leads to session %s", when, id)
		}
		if open, isOpen := strings.CutPrefix(key, "open/"); isOpen && !strings.Contains(all, ",session,"+open[strings.LastIndex(open, ",")+1:]+"\n") {
			e.T.Errorf("%s: nothing will delete %s", when, key)
		}
		if name, isCode := strings.CutPrefix(key, "code/"); isCode {
			entry, err := e.Storage.Storage.Get(ctx, key)
			if err != nil || len(entry.Value) < 2 || !strings.Contains(all, "session-code/"+string(entry.Value[1:])+"/"+name+"\n") {
				e.T.Errorf("%s: nothing will delete %s: %v, %v", when, key, entry, err)
			}
		}
		if code, isOwned := strings.CutPrefix(key, "session-code/"); isOwned && !strings.Contains(all, "\nsession/"+strings.SplitN(code, "/", 2)[0]+"\n") {
			e.T.Errorf("%s: %s is of no session", when, key)
		}
		ref, isCredential := strings.CutPrefix(key, "cred/")
		if !isCredential {
			continue
		}
		flat := strings.ReplaceAll(ref, "/", ",")
		tenant := strings.SplitN(ref, "/", 2)[0]
		if !strings.Contains(all, "tenant/"+tenant+"\n") {
			e.T.Errorf("%s: %s belongs to a tenant that is not listed", when, ref)
		}
		// A page is found through what is above it, and at a static credential there
		// is nothing to be done.
		unindexed := strings.Contains(ref, "/pages/") || strings.Contains(ref, "/static/")
		if !unindexed && !strings.Contains(all, "/"+flat+"\n") {
			e.T.Errorf("%s: %s is in no index", when, ref)
		}
		c, err := e.Do(logical.ReadOperation, "connections/"+ref, nil)
		if err != nil {
			e.T.Errorf("%s: %s cannot be read: %v", when, ref, err)
			continue
		}
		status := c.Data["status"].(string)
		if !unindexed && status == "active" && !strings.Contains(all, ",credential,"+flat+"\n") {
			e.T.Errorf("%s: nothing will refresh %s", when, ref)
		}
		if status != "active" && !strings.Contains(all, "status/"+status+"/"+flat+"\n") {
			e.T.Errorf("%s: %s is %s and not in the index", when, ref, status)
		}
		if removal, ok := c.Data["removal"]; ok && !strings.Contains(all, ",removal,"+tenant+",") {
			e.T.Errorf("%s: nothing will carry the removal of %s on: %v", when, ref, removal)
		}
	}
}

// CheckMemory compares the engine's cache with what an engine without one reads.
// It ends every test.
func (e *Engine) CheckMemory() {
	e.T.Helper()
	cold := e.Node(SystemView())
	keys, err := e.Storage.Keys(context.Background(), "")
	if err != nil {
		e.T.Fatal(err)
	}
	for _, key := range keys {
		path := key
		if ref, ok := strings.CutPrefix(key, "cred/"); ok {
			path = "connections/" + ref
		} else if !strings.HasPrefix(key, "config/") && key != "settings" {
			continue
		}
		want, wantErr := cold.Do(logical.ReadOperation, path, nil)
		got, err := e.Do(logical.ReadOperation, path, nil)
		if diff := cmp.Diff(want, got); diff != "" || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			e.T.Errorf("%s is remembered otherwise than it is stored (%v, %v): %s", path, wantErr, err, diff)
		}
	}
}
