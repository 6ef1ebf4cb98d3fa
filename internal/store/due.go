package store

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// The kinds of work in the due index.
const (
	DueCredential   = "credential"    // ID is a flat ref: refresh or check it
	DueSession      = "session"       // ID is a session id: reap it
	DueRemoval      = "removal"       // ID is a flat ref of an installation: remove what is under it
	DueReindex      = "reindex"       // ID is a tenant's: go on with its walk
	DueRecheck      = "recheck"       // likewise
	DueRotation     = "rotation"      // likewise
	DueKeyAge       = "key-age"       // ID is a tenant's: begin a rotation of its key
	DueKeyAges      = "key-ages"      // ID is a tenant's, or empty: plan the rotations of those after it
	DueNewTenant    = "new-tenant"    // ID is a tenant's: delete its keyring if it has nothing else
	DueIndexEntry   = "index-entry"   // ID is a flat ref: delete its stale index entries
	DueDeletion     = "deletion"      // ID is a tenant's: remove all that it has, and itself
	DueForgetting   = "forgetting"    // ID is a tenant's or a flat ref: take it out of the events
	DueDataDeletion = "data-deletion" // ID is a data deletion's: carry it out, or forget it
)

// A Due is something that must happen at a minute. It is a hint: the record
// that it leads to says whether it still must.
type Due struct {
	// Minute is Unix time in minutes.
	Minute int64
	// Expiry is the Unix minute at which waiting longer would lose something;
	// of what is due together the soonest expiry is taken first.
	Expiry int64
	Kind   string
	ID     string
}

// neverExpires sorts after every expiry.
const neverExpires = 9_999_999_999

func (d Due) key() string {
	return dueDir(d.Minute) + tenDigits(d.Expiry) + "," + d.Kind + "," + d.ID
}

// parseDue reads the name of an entry. One that it does not understand comes
// back with an empty Kind: nobody knows how to do it, and nothing else is kept
// from being done.
func parseDue(minute int64, name string) Due {
	part := strings.SplitN(name, ",", 3)
	if len(part) == 3 {
		if expiry, err := strconv.ParseInt(part[0], 10, 64); err == nil {
			// Only if it is written as it would be now: by another name it could not be
			// deleted, and would be done for ever.
			if d := (Due{minute, expiry, part[1], part[2]}); d.Kind != "" && d.key() == dueDir(minute)+name {
				return d
			}
		}
	}
	return Due{Minute: minute, ID: name}
}

// dueIndex guards the watermark. Whoever writes an entry shares mu from the
// choice of its minute until it is written; a minute is passed under mu alone,
// after a look at it. So no entry comes to lie in a minute that was passed.
type dueIndex struct {
	mu     sync.RWMutex
	loaded bool
	// standby says that it was loaded while this node might not write. What such
	// a node knows is old when it may.
	standby bool
	// passed is the last minute that was looked at; stuck are the minutes up to
	// it where something is left, which each sweep looks at again. The watermark
	// is the minute before the first of them.
	passed int64
	stuck  map[int64]bool
	saved  int64 // the watermark in storage
	// setBack says that the clock was, and that nobody has asked yet.
	setBack bool
}

func (x *dueIndex) watermark() int64 {
	w := x.passed
	for minute := range x.stuck {
		w = min(w, minute-1)
	}
	return w
}

// watermarkLag is by how many minutes the stored watermark may lag behind. A
// restart lists that many empty minutes again, and an idle mount writes that
// much less.
const watermarkLag = 60

// lostWatermark is how many minutes are looked at again if the watermark does
// not open: a week's.
const lostWatermark = 7 * 24 * 60

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// schedule writes an entry that is due at the first minute that has begun at
// t, or as soon as one can be.
func (s *Store) schedule(ctx context.Context, t, expiry time.Time, kind, id string) (Due, error) {
	return s.scheduleWith(ctx, t, expiry, kind, id, "")
}

// scheduleWith is schedule, with what the entry says beside its key.
func (s *Store) scheduleWith(ctx context.Context, t, expiry time.Time, kind, id, value string) (Due, error) {
	if err := s.loadWatermark(ctx, true); err != nil {
		return Due{}, err
	}
	s.due.mu.RLock()
	defer s.due.mu.RUnlock()
	minute := minuteOf(t.Add(time.Minute - time.Nanosecond))
	d := Due{max(minute, max(minuteOf(s.now()), s.due.passed)+1), neverExpires, kind, id}
	if !expiry.IsZero() {
		d.Expiry = max(minuteOf(expiry), 0)
	}
	return d, s.put(ctx, d.key(), append([]byte{formatVersion}, value...))
}

// loadWatermark reads the watermark, once, and makes one if there is none and
// create says so: before the first entry, all minutes up to now are empty. A
// watermark that stands in the future, because the clock was set back, is set
// back too: what is scheduled now must not wait for the clock to come there
// again.
func (s *Store) loadWatermark(ctx context.Context, create bool) error {
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	now := minuteOf(s.now())
	if standby := s.memory.isStandby(); s.due.standby != standby {
		s.due.loaded, s.due.standby = false, standby
	}
	if !s.due.loaded {
		b, err := s.get(ctx, watermarkKey)
		switch {
		case err != nil:
			return err
		case b == nil && !create:
			return ErrNotFound
		case b == nil:
			s.due.passed, s.due.stuck = now-1, map[int64]bool{}
			err := s.storeWatermark(ctx)
			s.due.loaded = err == nil
			return err
		}
		minute, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			minute = now - lostWatermark
		}
		s.due.loaded, s.due.passed, s.due.saved, s.due.stuck = true, minute, minute, map[int64]bool{}
	}
	if s.due.passed > now+2 {
		// What is left undone before now stays known.
		maps.DeleteFunc(s.due.stuck, func(minute int64, _ bool) bool { return minute >= now })
		s.due.passed, s.due.setBack = now-1, true
		return s.storeWatermark(ctx)
	}
	return nil
}

// ClockSetBack reports, once, that the watermark has shown the clock to have
// been set back: what was judged by it before may have been judged too soon.
func (s *Store) ClockSetBack() bool {
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	was := s.due.setBack
	s.due.setBack = false
	return was
}

// storeWatermark is called with mu held.
func (s *Store) storeWatermark(ctx context.Context) error {
	w := s.due.watermark()
	err := s.put(ctx, watermarkKey, []byte(strconv.FormatInt(w, 10)))
	if err == nil {
		s.due.saved = w
	}
	return err
}

// DueMinutes returns the minutes that a sweep must look at: those where the
// last one left something, and those since, up to the current one. On a mount
// that never scheduled anything ErrNotFound is returned.
func (s *Store) DueMinutes(ctx context.Context) (stuck []int64, first, last int64, err error) {
	if err := s.loadWatermark(ctx, false); err != nil {
		return nil, 0, 0, err
	}
	s.due.mu.RLock()
	defer s.due.mu.RUnlock()
	return slices.Sorted(maps.Keys(s.due.stuck)), s.due.passed + 1, minuteOf(s.now()), nil
}

// mostOverdue bounds how many minutes are looked at for what is overdue.
const mostOverdue = 24 * 60

// Overdue returns how many entries of the due index lie in minutes that began
// before t and that a sweep has not done; all is false if there are more than
// were looked at. It costs a List for each minute that the sweep is behind.
func (s *Store) Overdue(ctx context.Context, t time.Time) (n int, all bool, err error) {
	minutes, first, _, err := s.DueMinutes(ctx)
	if errors.Is(err, ErrNotFound) {
		return 0, true, nil
	}
	if err != nil {
		return 0, false, err
	}
	for minute := first; minute < minuteOf(t); minute++ {
		minutes = append(minutes, minute)
	}
	for i, minute := range minutes {
		if i == mostOverdue {
			return n, false, nil
		}
		if minute >= minuteOf(t) {
			continue
		}
		due, err := s.DueAt(ctx, minute)
		if err != nil {
			return n, false, err
		}
		n += len(due)
	}
	return n, true, nil
}

// DueAt returns what is due at minute, soonest expiry first.
func (s *Store) DueAt(ctx context.Context, minute int64) ([]Due, error) {
	names, err := s.storage.List(ctx, dueDir(minute))
	if err != nil {
		return nil, err
	}
	slices.Sort(names) // the expiry comes first in a name
	due := make([]Due, 0, len(names))
	for _, name := range names {
		due = append(due, parseDue(minute, name))
	}
	return due, nil
}

// Begun reports whether minute has begun. A sweep that was started by a clock
// that stood ahead stops when that is set right.
func (s *Store) Begun(minute int64) bool { return minute <= minuteOf(s.now()) }

// Pass returns what is due at minute, soonest expiry first, and moves past it.
// The next sweep will look at it again, unless nothing was there.
func (s *Store) Pass(ctx context.Context, minute int64) ([]Due, error) {
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	due, err := s.DueAt(ctx, minute)
	switch {
	case err != nil:
		return nil, err
	case minute > s.due.passed+1:
		// One before it could not be looked at.
		return due, nil
	case minute == s.due.passed+1:
		s.due.passed = minute
	}
	if len(due) > 0 {
		s.due.stuck[minute] = true
	} else {
		delete(s.due.stuck, minute)
	}
	if s.due.watermark()-s.due.saved >= watermarkLag {
		err = s.storeWatermark(ctx)
	}
	return due, err
}

// DropOutdated deletes the hint d if the record that it leads to is gone, does
// not open or names another, and reports whether it did.
func (s *Store) DropOutdated(ctx context.Context, d Due) (bool, error) {
	lock, current := s.dueRecord(d)
	defer s.records.lock(lock)()
	key, err := current(ctx)
	gone := errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) // what does not open cannot be done
	if err != nil && !gone || d.key() == key {
		return false, err
	}
	return true, s.storage.Delete(ctx, d.key())
}

// Drop deletes the hint d, whatever the record says that it leads to.
func (s *Store) Drop(ctx context.Context, d Due) error { return s.storage.Delete(ctx, d.key()) }

// dueRecord returns the lock of the record that d leads to, and what reads the
// due entry that the record names.
func (s *Store) dueRecord(d Due) (lock string, current func(context.Context) (string, error)) {
	if d.Kind == DueSession {
		return sessionKey(d.ID), func(ctx context.Context) (string, error) {
			session, err := s.Session(ctx, d.ID)
			return session.Due, err
		}
	}
	if d.Kind == DueDeletion {
		return tenantKey(tenant.ID(d.ID)), func(ctx context.Context) (string, error) {
			t, err := s.storedTenant(ctx, tenant.ID(d.ID))
			if t.Deletion == nil {
				return "", err
			}
			return t.Deletion.Due, err
		}
	}
	if d.Kind == DueDataDeletion {
		return dataDeletionKey(d.ID), func(ctx context.Context) (string, error) {
			deletion, err := s.DataDeletion(ctx, d.ID)
			return deletion.Due, err
		}
	}
	if d.Kind == DueReindex || d.Kind == DueRecheck || d.Kind == DueRotation {
		return tenantKey(tenant.ID(d.ID)), func(ctx context.Context) (string, error) {
			walk, err := s.Walk(ctx, tenant.ID(d.ID), d.Kind)
			return walk.Due, err
		}
	}
	if d.Kind == DueKeyAge {
		return tenantKey(tenant.ID(d.ID)), func(ctx context.Context) (string, error) {
			t, err := s.standingTenant(ctx, tenant.ID(d.ID))
			return t.NextRotation.Due, err
		}
	}
	ref, err := tenant.ParseFlat(d.ID)
	if err != nil {
		return d.key(), func(context.Context) (string, error) { return "", nil }
	}
	if d.Kind == DueRemoval {
		return tenantKey(ref.Tenant), func(ctx context.Context) (string, error) {
			removal, err := removalIn(ctx, s.storedTenant, ref)
			if removal == nil {
				return "", err
			}
			return removal.Due, err
		}
	}
	return credentialKey(ref), func(ctx context.Context) (string, error) {
		c, err := s.storedCredential(ctx, ref)
		return c.Due, err
	}
}
