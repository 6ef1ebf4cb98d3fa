package store_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

func deletion() store.DataDeletion {
	return store.DataDeletion{Provider: "facebook", Status: store.DataDeletionPending, Account: "900", AskedAt: noon, EndedAt: noon.Add(time.Hour), Attempts: 2}
}

func putDeletion(t *testing.T, s *store.Store, id string, at time.Time) {
	t.Helper()
	err := s.Mount.UpdateDataDeletion(t.Context(), id, func(*store.DataDeletion) (store.DataDeletion, time.Time, error) { return deletion(), at, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// TestDataDeletionAtRest is [TestRecordsAtRest] for deletions.
func TestDataDeletionAtRest(t *testing.T) {
	const golden = "testdata/deletion-v1.json"
	if *update {
		s, storage, _ := newStore()
		putDeletion(t, s, "id", noon)
		writeGolden(t, storage, golden)
	}
	s := store.New(store.Options{Storage: readGolden(t, golden), Now: authpipetest.NewClock(noon).Now})
	got, err := s.Mount.DataDeletion(t.Context(), "id")
	want := deletion()
	want.Due = got.Due
	if diff := cmp.Diff(want, got); err != nil || diff != "" || !strings.HasSuffix(got.Due, ",deletion,id") {
		t.Errorf("%v, %q %s", err, got.Due, diff)
	}
}

func TestDataDeletionCodeIsOfOneRequest(t *testing.T) {
	s, storage, _ := newStore()
	codes := map[string]string{}
	for name, of := range map[string]struct {
		provider, account string
		at                time.Time
	}{
		"one": {"facebook", "900", noon}, "of another account": {"facebook", "9001", noon}, "of another time": {"facebook", "900", noon.Add(time.Second)},
		"of another provider": {"other", "900", noon},
	} {
		code, err := s.Mount.DataDeletionCode(t.Context(), of.provider, of.account, of.at)
		again, _ := store.New(store.Options{Storage: storage, Now: time.Now}).Mount.DataDeletionCode(t.Context(), of.provider, of.account, of.at)
		if err != nil || len(code.Reveal()) != store.DataDeletionCodeLength || code != again || codes[code.Reveal()] != "" {
			t.Errorf("%s: %v, %v, as that %s", name, code.Reveal(), err, codes[code.Reveal()])
		}
		codes[code.Reveal()] = name
		id := store.DataDeletionID(code)
		if decoded, _ := base64.RawURLEncoding.DecodeString(id); strings.Contains(id+string(decoded), code.Reveal()[:8]) {
			t.Errorf("%s: its id %s tells the code", name, id)
		}
	}
	other, _, _ := newStore()
	if code, _ := other.Mount.DataDeletionCode(t.Context(), "facebook", "900", noon); codes[code.Reveal()] != "" {
		t.Error("another mount has the same code")
	}
}

func TestDataDeletionIsRescheduledAndDeleted(t *testing.T) {
	s, storage, clock := newStore()
	putDeletion(t, s, "id", noon)
	putDeletion(t, s, "id", noon.Add(time.Hour))
	clock.Advance(2 * time.Hour)
	if _, err := s.Due.Pass(t.Context(), noon.Add(time.Minute).Unix()/60); err != nil {
		t.Fatal(err)
	}
	entries, err := s.Due.At(t.Context(), noon.Add(time.Hour).Unix()/60)
	if err != nil || len(entries) != 1 {
		t.Fatalf("due is %v, %v", entries, err)
	}
	if dropped, err := s.DeleteIfStale(t.Context(), entries[0]); dropped || err != nil {
		t.Errorf("dropped %v, %v", dropped, err)
	}
	if err := s.Mount.DeleteDataDeletion(t.Context(), entries[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mount.DataDeletion(t.Context(), "id"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("it reads %v", err)
	}
	for _, prefix := range []string{"deletion/", "due/"} {
		if keys, _ := storage.Keys(t.Context(), prefix); len(keys) != 0 {
			t.Errorf("left is %v", keys)
		}
	}
}
