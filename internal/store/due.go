package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// The kinds of work in the due index.
const (
	DueCredential = "credential" // ID is a flat ref: refresh or check it
	DueSession    = "session"    // ID is a session id: reap it
	DueRemoval    = "removal"    // ID is a flat ref of an installation: remove what is under it
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
	return fmt.Sprintf("%s%010d,%s,%s", dueDir(d.Minute), d.Expiry, d.Kind, d.ID)
}

func parseDue(minute int64, name string) (Due, bool) {
	part := strings.SplitN(name, ",", 3)
	if len(part) != 3 {
		return Due{}, false
	}
	expiry, err := strconv.ParseInt(part[0], 10, 64)
	return Due{minute, expiry, part[1], part[2]}, err == nil
}

// dueIndex guards the watermark. Whoever writes an entry shares mu from the
// choice of its minute until it is written; the watermark passes a minute
// under mu alone, after that minute was seen empty. So no entry comes to lie
// behind the watermark.
type dueIndex struct {
	mu        sync.RWMutex
	loaded    bool
	watermark int64 // the last minute that was emptied
	saved     int64 // what storage says it is
}

// watermarkLag is by how many minutes the stored watermark may lag behind. A
// restart lists that many empty minutes again, and an idle mount writes that
// much less.
const watermarkLag = 60

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// schedule writes an entry that is due at the first minute that has begun at
// t, or as soon as one can be.
func (s *Store) schedule(ctx context.Context, t, expiry time.Time, kind, id string) (Due, error) {
	if err := s.loadWatermark(ctx, true); err != nil {
		return Due{}, err
	}
	s.due.mu.RLock()
	defer s.due.mu.RUnlock()
	minute := minuteOf(t.Add(time.Minute - time.Nanosecond))
	d := Due{max(minute, max(minuteOf(s.now()), s.due.watermark)+1), neverExpires, kind, id}
	if !expiry.IsZero() {
		d.Expiry = max(minuteOf(expiry), 0)
	}
	return d, s.putHint(ctx, d.key())
}

// loadWatermark reads the watermark once, and makes one if there is none and
// create says so: before the first entry, all minutes up to now are empty.
func (s *Store) loadWatermark(ctx context.Context, create bool) error {
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	if s.due.loaded {
		return nil
	}
	b, err := s.get(ctx, watermarkKey)
	if err != nil {
		return err
	}
	if b == nil {
		if !create {
			return ErrNotFound
		}
		return s.saveWatermark(ctx, minuteOf(s.now())-1)
	}
	minute, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return corrupt(watermarkKey, err)
	}
	s.due.loaded, s.due.watermark, s.due.saved = true, minute, minute
	return nil
}

// saveWatermark is called with mu held.
func (s *Store) saveWatermark(ctx context.Context, minute int64) error {
	if err := s.put(ctx, watermarkKey, []byte(strconv.FormatInt(minute, 10))); err != nil {
		return err
	}
	s.due.loaded, s.due.watermark, s.due.saved = true, minute, minute
	return nil
}

// DueMinutes returns the minutes that a sweep must look at, those after the
// watermark up to the current one. On a mount that never scheduled anything
// there are none. A watermark that stands in the future, because the clock was
// set back, is set back too.
func (s *Store) DueMinutes(ctx context.Context) (first, last int64, err error) {
	if err := s.loadWatermark(ctx, false); err != nil {
		return 0, -1, err
	}
	now := minuteOf(s.now())
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	if s.due.watermark > now+2 {
		if err := s.saveWatermark(ctx, now-1); err != nil {
			return 0, -1, err
		}
	}
	return s.due.watermark + 1, now, nil
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
		d, ok := parseDue(minute, name)
		if !ok {
			return nil, corrupt(dueDir(minute)+name, errVersion)
		}
		due = append(due, d)
	}
	return due, nil
}

// Pass moves the watermark to minute, if that follows it and is empty. It
// returns what is due at the minute if it is not.
func (s *Store) Pass(ctx context.Context, minute int64) ([]Due, error) {
	s.due.mu.Lock()
	defer s.due.mu.Unlock()
	due, err := s.DueAt(ctx, minute)
	if err != nil || len(due) > 0 || s.due.watermark != minute-1 {
		return due, err
	}
	s.due.watermark = minute
	if minute-s.due.saved >= watermarkLag {
		return nil, s.saveWatermark(ctx, minute)
	}
	return nil, nil
}

// DropOutdated deletes the hint d if the record that it leads to is gone or
// names another, and reports whether it did.
func (s *Store) DropOutdated(ctx context.Context, d Due) (bool, error) {
	lock, current := s.dueRecord(d)
	defer s.records.lock(lock)()
	key, err := current(ctx)
	if err != nil && !errors.Is(err, ErrNotFound) || d.key() == key {
		return false, err
	}
	return true, s.storage.Delete(ctx, d.key())
}

// dueRecord returns the lock of the record that d leads to, and what reads the
// due entry that the record names.
func (s *Store) dueRecord(d Due) (lock string, current func(context.Context) (string, error)) {
	if d.Kind == DueSession {
		return sessionKey(d.ID), func(ctx context.Context) (string, error) {
			session, err := s.Session(ctx, d.ID)
			return session.Due, err
		}
	}
	ref, err := tenant.ParseFlat(d.ID)
	if err != nil {
		return d.key(), func(context.Context) (string, error) { return "", nil }
	}
	if d.Kind == DueRemoval {
		return tenantKey(ref.Tenant), func(ctx context.Context) (string, error) {
			removal, err := s.removal(ctx, ref)
			if removal == nil {
				return "", err
			}
			return removal.Due, err
		}
	}
	return credentialKey(ref), func(ctx context.Context) (string, error) {
		c, err := s.Credential(ctx, ref)
		return c.Due, err
	}
}
