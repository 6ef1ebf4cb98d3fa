package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"maps"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Scan is background work at every record of a tenant: how far it has come.
// What it does to a record depends on its kind, one of the due index's.
type Scan struct {
	// ID is random: a scan may end, and another of its kind begin.
	ID        string    `json:"id"`
	StartedAt time.Time `json:"started_at"`
	// FinishedAt is when the last record had been visited. Zero: it goes on.
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// After is the cursor: the last ref that was visited.
	After string `json:"after,omitempty"`
	// Done counts the refs that were visited, Unreadable those of them whose
	// records did not open and were skipped, Changed those that were written
	// again, where the kind counts that.
	Done       int `json:"done"`
	Unreadable int `json:"unreadable,omitempty"`
	Changed    int `json:"changed,omitempty"`
	// Rotation is what a rotation stores beside. Nil: it is none.
	Rotation *Rotation `json:"rotation,omitempty"`
	// Due is the key of the scan's entry in the due index. Empty: it has ended.
	Due string `json:"due,omitempty"`
}

// NewID returns a random id, for a scan or a removal.
func NewID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Scan returns the tenant's last scan of that kind, or ErrNotFound.
func (t *Tenants) Scan(ctx context.Context, id tenant.ID, kind string) (Scan, error) {
	record, err := t.Read(ctx, id)
	if err != nil {
		return Scan{}, err
	}
	scan, ok := record.Scans[kind]
	if !ok {
		return Scan{}, ErrNotFound
	}
	return scan, nil
}

// UpdateScan stores what change returns for the tenant's scan of that kind, and
// when the worker shall go on with it; zero: never. old is nil if there was
// none. An error of change is returned, and nothing is stored. ErrNotFound is
// returned if there is no such tenant.
func (t *Tenants) UpdateScan(ctx context.Context, id tenant.ID, kind string, change func(old *Scan) (Scan, time.Time, error)) (scan Scan, err error) {
	defer t.locks.lock(tenantKey(id))()
	record, err := t.standing(ctx, id)
	if err != nil {
		return Scan{}, err
	}
	var old *Scan
	former := ""
	if s, ok := record.Scans[kind]; ok {
		old, former = &s, s.Due
	}
	scan, at, err := change(old)
	if err != nil {
		return Scan{}, err
	}
	err = t.putWithDue(ctx, work{kind, string(id), at, former}, func(due string) error {
		scan.Due = due
		record.Scans = withEntry(record.Scans, kind, scan)
		return t.put(ctx, id, record)
	})
	if err != nil {
		return Scan{}, err
	}
	return scan, nil
}

// withEntry returns a copy of m with the value under key. M is shared with other readers of
// the record.
func withEntry[V any](m map[string]V, key string, value V) map[string]V {
	m = maps.Clone(m)
	if m == nil {
		m = map[string]V{}
	}
	m[key] = value
	return m
}
