package store_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
)

// waiting is a session that waits for its code.
func waiting(id string) store.Session {
	s := session()
	s.ID, s.Status, s.Code = id, store.SessionPending, oauth.Secret{}
	return s
}

// TestCodeAtRest reads the owner of a code from the bytes of the first
// release that recorded it.
func TestCodeAtRest(t *testing.T) {
	const golden = "testdata/v1-code.json"
	code := oauth.NewSecret("AQcode")
	if *update {
		s, storage, _ := newStore()
		if owner, err := s.Sessions.ClaimCode(t.Context(), waiting("first"), code); owner != "first" || err != nil {
			t.Fatal(owner, err)
		}
		writeGolden(t, storage, golden)
	}
	storage := readGolden(t, golden)
	s := store.New(store.Options{Storage: storage, Now: authpipetest.NewClock(noon).Now})
	if owner, err := s.Sessions.ClaimCode(t.Context(), waiting("second"), code); owner != "first" || err != nil {
		t.Errorf("the code is owned by %q, %v", owner, err)
	}
	if err := s.Sessions.Expire(t.Context(), due.Entry{Kind: store.DueSession, ID: "first"}); err != nil {
		t.Fatal(err)
	}
	if owner, err := s.Sessions.ClaimCode(t.Context(), waiting("second"), code); owner != "second" || err != nil {
		t.Errorf("after its session was reaped, the code is owned by %q, %v", owner, err)
	}
}

func TestClaimCodeNamesNoCode(t *testing.T) {
	s, storage, _ := newStore()
	if _, err := s.Sessions.ClaimCode(t.Context(), waiting("first"), oauth.NewSecret("AQcode")); err != nil {
		t.Fatal(err)
	}
	keys, err := storage.Keys(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		entry, err := storage.Get(t.Context(), key)
		if err != nil || strings.Contains(key+string(entry.Value), "AQcode") {
			t.Errorf("%s: %q, %v", key, entry.Value, err)
		}
	}
}

func TestClaimCodeAcceptsOneSession(t *testing.T) {
	s, _, _ := newStore()
	var all sync.WaitGroup
	owners := make([]string, 16)
	for i := range owners {
		all.Go(func() {
			owner, err := s.Sessions.ClaimCode(t.Context(), waiting(fmt.Sprint("session-", i)), oauth.NewSecret("AQcode"))
			if err != nil {
				t.Error(err)
			}
			owners[i] = owner
		})
	}
	all.Wait()
	for _, owner := range owners {
		if owner == "" || owner != owners[0] {
			t.Fatalf("the owners are %q", owners)
		}
	}
}

func TestClaimCodeIsBounded(t *testing.T) {
	for name, change := range map[string]func(*store.Session){
		"that has one":   func(s *store.Session) { s.CallbackHash = []byte("hash") },
		"that has ended": func(s *store.Session) { s.Status = store.SessionFailed },
		"that expired":   func(s *store.Session) { s.ExpiresAt = noon.Add(-time.Second) },
	} {
		s, _, _ := newStore()
		ended, claimed := waiting("ended"), 0
		change(&ended)
		for i := range 1010 {
			_, err := s.Sessions.ClaimCode(t.Context(), ended, oauth.NewSecret(fmt.Sprint("AQ", i)))
			if err == nil {
				claimed++
			} else if !errors.Is(err, store.ErrTooManyCodes) {
				t.Fatal(err)
			}
		}
		if claimed != 1000 {
			t.Errorf("%d codes are claimed for a session %s", claimed, name)
		}
		if owner, err := s.Sessions.ClaimCode(t.Context(), ended, oauth.NewSecret("AQ0")); owner != "ended" || err != nil {
			t.Errorf("its first code is owned by %q, %v", owner, err)
		}
	}
}
