package due_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
)

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

// An index is one over a storage that fails on demand, with its clock.
type index struct {
	*due.Index
	storage *storagetest.Storage
	clock   *authpipetest.Clock
}

func newIndex() *index {
	x := &index{storage: storagetest.New(), clock: authpipetest.NewClock(noon)}
	x.restart()
	return x
}

// restart has another process take over.
func (x *index) restart() {
	x.Index = due.New(x.storage, x.clock.Now, func() bool { return false })
}

func (x *index) schedule(t *testing.T, id string, at time.Time) {
	t.Helper()
	if _, err := x.Schedule(t.Context(), at, noon.Add(time.Hour), "session", id); err != nil {
		t.Fatal(err)
	}
}

func (x *index) minutes(t *testing.T) []int64 {
	t.Helper()
	minutes, first, last, err := x.Minutes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for minute := first; minute <= last; minute++ {
		minutes = append(minutes, minute)
	}
	return minutes
}

// found lists what is due, by minutes from noon, as a sweep finds it that does nothing.
func (x *index) found(t *testing.T) (found []string) {
	t.Helper()
	for _, minute := range x.minutes(t) {
		entries, err := x.Pass(t.Context(), minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			found = append(found, fmt.Sprintf("%d %s", e.Minute-noon.Unix()/60, e.ID))
		}
	}
	return found
}

// sweep deletes everything that is due, and returns the ids.
func (x *index) sweep(t *testing.T) (ids []string) {
	t.Helper()
	for _, minute := range x.minutes(t) {
		entries, err := x.Pass(t.Context(), minute)
		if err != nil {
			t.Error(err)
		}
		for _, e := range entries {
			ids = append(ids, e.ID)
			if err := x.Delete(t.Context(), e); err != nil {
				t.Error(err)
			}
		}
		if _, err := x.Pass(t.Context(), minute); err != nil {
			t.Error(err)
		}
	}
	return ids
}

func TestEntriesAreFoundAtTheirMinute(t *testing.T) {
	x := newIndex()
	if found := x.minutes(t); len(found) != 0 {
		t.Errorf("a mount that never scheduled anything has minutes to look at: %v", found)
	}
	if n, all, err := x.Overdue(t.Context(), noon); n != 0 || !all || err != nil {
		t.Errorf("a mount that never scheduled anything is behind with %d, %t, %v", n, all, err)
	}
	x.schedule(t, "past", noon.Add(-time.Hour))
	x.schedule(t, "now", noon)
	x.schedule(t, "three", noon.Add(3*time.Minute))
	x.schedule(t, "three-and-a-bit", noon.Add(3*time.Minute+time.Second))
	if found := x.found(t); len(found) > 0 {
		t.Errorf("at noon %v are due", found)
	}
	x.clock.Advance(time.Minute)
	if diff := cmp.Diff([]string{"1 now", "1 past"}, x.found(t)); diff != "" {
		t.Error("a minute later: " + diff)
	}
	x.clock.Advance(2 * time.Minute)
	// Entries that were not deleted are found again.
	if diff := cmp.Diff([]string{"1 now", "1 past", "3 three"}, x.found(t)); diff != "" {
		t.Error("three minutes later: " + diff)
	}
	if n, all, err := x.Overdue(t.Context(), noon.Add(3*time.Minute)); n != 2 || !all || err != nil {
		t.Errorf("of the minutes before the third %d entries are overdue, %t, %v", n, all, err)
	}
}

func TestEntryHoldsItsValue(t *testing.T) {
	x := newIndex()
	e, err := x.ScheduleValue(t.Context(), noon, time.Time{}, "session", "id", "open/x")
	if err != nil {
		t.Fatal(err)
	}
	if value, err := x.Value(t.Context(), e); value != "open/x" || err != nil {
		t.Errorf("the value is %q, %v", value, err)
	}
	if err := x.Delete(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if value, err := x.Value(t.Context(), e); value != "" || err != nil {
		t.Errorf("the value of a deleted entry is %q, %v", value, err)
	}
}

// TestWillBeFound follows an entry until a sweep has passed its minute.
func TestWillBeFound(t *testing.T) {
	x := newIndex()
	e, err := x.Schedule(t.Context(), noon, time.Time{}, "session", "id")
	if err != nil {
		t.Fatal(err)
	}
	check := func(when, key string, want bool) {
		t.Helper()
		if found, err := x.WillBeFound(t.Context(), key); found != want || err != nil {
			t.Errorf("%s: %t, %v", when, found, err)
		}
	}
	check("an entry in the future", e.Key(), true)
	check("no entry", "", false)
	x.clock.Advance(5 * time.Minute)
	x.found(t)
	check("an entry that a sweep has left", e.Key(), true)
	if err := x.Delete(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	check("a deleted entry", e.Key(), false)
	x.found(t)
	if err := x.storage.Put(t.Context(), &logical.StorageEntry{Key: e.Key(), Value: []byte{1}}); err != nil {
		t.Fatal(err)
	}
	check("an entry in a minute that was passed", e.Key(), false)
}

// TestStuckEntryCostsItsMinuteOnly leaves one entry undone for a day: the
// sweeps meanwhile look at its minute and at the new ones, and a restart finds
// it again.
func TestStuckEntryCostsItsMinuteOnly(t *testing.T) {
	x := newIndex()
	x.schedule(t, "stuck", noon)
	for range 24 * 60 {
		x.clock.Advance(time.Minute)
		if n := len(x.minutes(t)); n > 2 {
			t.Fatalf("%v after noon a sweep looks at %d minutes", x.clock.Now().Sub(noon), n)
		}
		x.found(t)
	}
	x.restart()
	if diff := cmp.Diff([]string{"1 stuck"}, x.found(t)); diff != "" {
		t.Error("after a restart: " + diff)
	}
}

// TestFailedListDoesNotPassItsMinute has the storage fail at one of several minutes:
// what was due then is found once it works again.
func TestFailedListDoesNotPassItsMinute(t *testing.T) {
	x := newIndex()
	x.schedule(t, "one", noon)
	x.clock.Advance(5 * time.Minute)
	failed := false
	x.storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "list" && !failed {
			return storagetest.ErrStorage
		}
		return nil
	})
	for _, minute := range x.minutes(t) {
		if _, err := x.Pass(t.Context(), minute); err == nil && !failed {
			t.Error("the failure is not returned")
		}
		failed = true
	}
	x.storage.Reset()
	if !slices.Contains(x.found(t), "1 one") {
		t.Error("what was due at the minute that failed is not found")
	}
}

// TestScheduleAvoidsPassedMinutes has the clock stand two minutes
// back, which is too little for the watermark to be set back.
func TestScheduleAvoidsPassedMinutes(t *testing.T) {
	x := newIndex()
	x.schedule(t, "first", x.clock.Now())
	x.clock.Advance(10 * time.Minute)
	x.sweep(t)
	x.clock.Advance(-2 * time.Minute)
	x.schedule(t, "second", x.clock.Now())
	x.clock.Advance(5 * time.Minute)
	if ids := x.sweep(t); !slices.Contains(ids, "second") {
		t.Errorf("it was scheduled behind the sweep, which finds %v", ids)
	}
}

func TestIndexSurvivesClockSetBackAndForth(t *testing.T) {
	x := newIndex()
	x.schedule(t, "before", x.clock.Now())
	x.clock.Advance(24 * time.Hour)
	found := x.sweep(t)
	x.schedule(t, "ahead", x.clock.Now())
	x.clock.Advance(-24 * time.Hour)
	found = append(found, x.sweep(t)...)
	if !x.ClockSetBack() || x.ClockSetBack() {
		t.Error("that the clock was set back is not reported once")
	}
	x.schedule(t, "back", x.clock.Now())
	x.clock.Advance(2 * time.Minute)
	found = append(found, x.sweep(t)...)
	if diff := cmp.Diff([]string{"before", "back"}, found); diff != "" {
		t.Error(diff)
	}
	x.clock.Advance(24 * time.Hour)
	if ids := x.sweep(t); !slices.Contains(ids, "ahead") {
		t.Error("what was scheduled by a clock that was ahead is not found")
	}
}

// TestScheduleRacesSweep schedules and sweeps at once, by a
// clock that runs: each entry must be found by some sweep.
func TestScheduleRacesSweep(t *testing.T) {
	x := newIndex()
	const n = 200
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			x.clock.Advance(10 * time.Second)
			if _, err := x.Schedule(t.Context(), x.clock.Now(), time.Time{}, "session", fmt.Sprint(i)); err != nil {
				t.Error(err)
			}
		})
	}
	x.schedule(t, "first", x.clock.Now()) // there is a watermark from here on
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	for sweeping := true; sweeping; {
		select {
		case <-done:
			sweeping = false
		default:
		}
		x.sweep(t)
	}
	x.clock.Advance(time.Hour)
	x.sweep(t)
	if keys, _ := x.storage.Keys(t.Context(), due.Prefix); len(keys) > 0 {
		t.Errorf("%d entries were never found: %v", len(keys), keys[0])
	}
}

// FuzzDueName lists an entry of any name. What is understood of it is the whole name, so
// that deleting the entry deletes it.
func FuzzDueName(f *testing.F) {
	for _, name := range []string{
		"0029925660,credential,org_acme,facebook,users,uma", "9999999999,session,id", "0000000000,removal,org_acme,facebook,installation", "0000000001,reindex,org_acme",
		"1,credential,x", "-1,credential,x", "+000000001,credential,x", ",,", "0000000000,,", "x", "00000000000000000000001,session,id", "99999999999999999999,session,id",
	} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if name == "" || strings.Contains(name, "/") || strings.Contains(name, "..") {
			return // no entry of a folder
		}
		x := newIndex()
		const minute = 29_925_600
		key := fmt.Sprintf("due/%010d/%s", minute, name)
		if err := x.storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: []byte{1}}); err != nil {
			return // not a key that Vault takes
		}
		entries, err := x.At(t.Context(), minute)
		if err != nil || len(entries) != 1 || entries[0].Minute != minute {
			t.Fatalf("%q is listed as %v, %v", name, entries, err)
		}
		if entries[0].Kind == "" {
			if entries[0].ID != name {
				t.Errorf("%q, which is not understood, is called %q", name, entries[0].ID)
			}
			return
		}
		if err := x.Delete(t.Context(), entries[0]); err != nil {
			t.Fatal(err)
		}
		keys, err := x.storage.Keys(t.Context(), due.Prefix)
		if err != nil || slices.Contains(keys, key) {
			t.Errorf("%q was read as %+v, and deleting that leaves it: %v", name, entries[0], err)
		}
	})
}
