// Package due is the index of the work that is due later, by the minute:
//
//	due/<minute>/<expiry minute>,<kind>,<id>   version, and what the entry says beside
//	watermark                                  the last minute up to which nothing is left
//
// To look what is due costs one List for each minute since the last look, however many
// entries lie in the future. An entry only points to a record: the record says whether the
// work still must be done.
package due

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const (
	// Prefix is that of the entries' storage keys.
	Prefix = "due/"
	// WatermarkKey is the storage key of the watermark.
	WatermarkKey = "watermark"

	formatVersion = 1
)

// An Entry is work that is due at a minute.
type Entry struct {
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

// Key returns the entry's storage key.
func (e Entry) Key() string {
	return dir(e.Minute) + TenDigits(e.Expiry) + "," + e.Kind + "," + e.ID
}

func dir(minute int64) string { return Prefix + TenDigits(minute) + "/" }

// TenDigits is n with ten digits, so that names sort as the numbers do. A sweep that has
// months to make up for calls it hundreds of thousands of times.
func TenDigits(n int64) string {
	s := strconv.FormatInt(n, 10)
	if n < 0 || len(s) >= 10 {
		return fmt.Sprintf("%010d", n)
	}
	return "0000000000"[len(s):] + s
}

// parse reads the name of an entry. One that it does not understand is returned with an
// empty Kind: it cannot be done, and does not keep other work from being done.
func parse(minute int64, name string) Entry {
	part := strings.SplitN(name, ",", 3)
	if len(part) == 3 {
		if expiry, err := strconv.ParseInt(part[0], 10, 64); err == nil {
			// Only if it is written as it would be now: under another name it could not be
			// deleted, and would be done for ever.
			if e := (Entry{minute, expiry, part[1], part[2]}); e.Kind != "" && e.Key() == dir(minute)+name {
				return e
			}
		}
	}
	return Entry{Minute: minute, ID: name}
}

// An Index schedules entries and finds those that are due. It is safe for concurrent use.
//
// Schedule shares mu from the choice of an entry's minute until the entry is written; a
// minute is passed with mu locked, after a look at it. So no entry comes to lie in a minute
// that was passed.
type Index struct {
	storage logical.Storage
	now     func() time.Time
	// isStandby reports whether this node may not write.
	isStandby func() bool

	mu     sync.RWMutex
	loaded bool
	// standby says that the watermark was loaded while this node might not write: it is
	// too old when the node may.
	standby bool
	// passed is the last minute that was looked at; stuck are the minutes up to it where
	// something is left, which each sweep looks at again. The watermark is the minute
	// before the first of them.
	passed int64
	stuck  map[int64]bool
	saved  int64 // the watermark in storage
	// setBack says that the clock was set back, until ClockSetBack has reported it.
	setBack bool
}

// New returns the Index in storage. Standby reports whether this node may not write.
func New(storage logical.Storage, now func() time.Time, standby func() bool) *Index {
	return &Index{storage: storage, now: now, isStandby: standby}
}

// Invalidate has the watermark be read again, which another node has written.
func (x *Index) Invalidate() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.loaded = false
}

func minuteOf(t time.Time) int64 { return t.Unix() / 60 }

// Schedule writes an entry that is due at the first minute that has begun at the time at,
// or as soon as one can be. Expiry is when waiting longer would lose something; zero: never.
func (x *Index) Schedule(ctx context.Context, at, expiry time.Time, kind, id string) (Entry, error) {
	return x.ScheduleValue(ctx, at, expiry, kind, id, "")
}

// ScheduleValue is Schedule, and stores value in the entry: see [Index.Value].
func (x *Index) ScheduleValue(ctx context.Context, at, expiry time.Time, kind, id, value string) (Entry, error) {
	if _, err := x.load(ctx, true); err != nil {
		return Entry{}, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	minute := minuteOf(at.Add(time.Minute - time.Nanosecond))
	e := Entry{max(minute, max(minuteOf(x.now()), x.passed)+1), neverExpires, kind, id}
	if !expiry.IsZero() {
		e.Expiry = max(minuteOf(expiry), 0)
	}
	return e, x.put(ctx, e.Key(), append([]byte{formatVersion}, value...))
}

// Value returns what [Index.ScheduleValue] stored in the entry; "" if the entry is gone.
func (x *Index) Value(ctx context.Context, e Entry) (string, error) {
	stored, err := x.storage.Get(ctx, e.Key())
	if stored == nil || err != nil || len(stored.Value) == 0 {
		return "", err
	}
	return string(stored.Value[1:]), nil
}

// Delete deletes the entry.
func (x *Index) Delete(ctx context.Context, e Entry) error { return x.storage.Delete(ctx, e.Key()) }

// WillBeFound reports whether a sweep will come to the entry under key: it is in storage,
// and at a minute that was not passed or is looked at again. "" is the key of none.
func (x *Index) WillBeFound(ctx context.Context, key string) (bool, error) {
	if key == "" {
		return false, nil
	}
	if stored, err := x.storage.Get(ctx, key); stored == nil || err != nil {
		return false, err
	}
	if _, err := x.load(ctx, true); err != nil {
		return false, err
	}
	name, _, _ := strings.Cut(strings.TrimPrefix(key, Prefix), "/")
	minute, err := strconv.ParseInt(name, 10, 64)
	if err != nil {
		return false, nil // it lies at no minute
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return minute > x.passed || x.stuck[minute], nil
}

func (x *Index) put(ctx context.Context, key string, value []byte) error {
	return x.storage.Put(ctx, &logical.StorageEntry{Key: key, Value: value})
}

// Minutes returns the minutes that a sweep must look at: those where the last one left
// something, and those since, from first to last, the current one. There are none on a mount
// that never scheduled anything.
func (x *Index) Minutes(ctx context.Context) (stuck []int64, first, last int64, err error) {
	if found, err := x.load(ctx, false); !found || err != nil {
		return nil, 1, 0, err
	}
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Sorted(maps.Keys(x.stuck)), x.passed + 1, minuteOf(x.now()), nil
}

// Begun reports whether minute has begun. A sweep that was started by a clock that stood
// ahead stops when the clock is set right.
func (x *Index) Begun(minute int64) bool { return minute <= minuteOf(x.now()) }

// At returns what is due at minute, soonest expiry first.
func (x *Index) At(ctx context.Context, minute int64) ([]Entry, error) {
	names, err := x.storage.List(ctx, dir(minute))
	if err != nil {
		return nil, err
	}
	slices.Sort(names) // the expiry comes first in a name
	entries := make([]Entry, 0, len(names))
	for _, name := range names {
		entries = append(entries, parse(minute, name))
	}
	return entries, nil
}

// Pass returns what is due at minute, soonest expiry first, and moves past it. The next
// sweep looks at it again, unless nothing was there.
func (x *Index) Pass(ctx context.Context, minute int64) ([]Entry, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	entries, err := x.At(ctx, minute)
	switch {
	case err != nil:
		return nil, err
	case minute > x.passed+1:
		// One before it could not be looked at.
		return entries, nil
	case minute == x.passed+1:
		x.passed = minute
	}
	if len(entries) > 0 {
		x.stuck[minute] = true
	} else {
		delete(x.stuck, minute)
	}
	if x.watermark()-x.saved >= watermarkLag {
		err = x.storeWatermark(ctx)
	}
	return entries, err
}

// mostOverdue bounds how many minutes Overdue looks at.
const mostOverdue = 24 * 60

// Overdue returns how many entries lie in minutes that began before t and that a sweep
// has not done; all is false if there are more than were looked at. It costs a List for
// each minute that the sweep is behind.
func (x *Index) Overdue(ctx context.Context, t time.Time) (n int, all bool, err error) {
	minutes, first, last, err := x.Minutes(ctx)
	if err != nil {
		return 0, false, err
	}
	for minute := first; minute < minuteOf(t) && minute <= last; minute++ {
		minutes = append(minutes, minute)
	}
	for i, minute := range minutes {
		if i == mostOverdue {
			return n, false, nil
		}
		if minute >= minuteOf(t) {
			continue
		}
		entries, err := x.At(ctx, minute)
		if err != nil {
			return n, false, err
		}
		n += len(entries)
	}
	return n, true, nil
}
