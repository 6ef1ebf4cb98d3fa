package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"iter"
	"maps"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Walk is background work at every record of a tenant: how far it has come.
// What it does to a record is its kind's business, one of the due index's.
type Walk struct {
	// ID is random: a walk may end, and another of its kind begin.
	ID        string    `json:"id"`
	StartedAt time.Time `json:"started_at"`
	// FinishedAt is when the last record had been visited. Zero: it goes on.
	FinishedAt time.Time `json:"finished_at,omitzero"`
	// After is the last ref that was visited: the walk goes on after it.
	After string `json:"after,omitempty"`
	// Done counts the refs that were visited, Unreadable those of them whose
	// records did not open and were passed over, Changed those that were written
	// anew, where the kind counts that.
	Done       int `json:"done"`
	Unreadable int `json:"unreadable,omitempty"`
	Changed    int `json:"changed,omitempty"`
	// Rotation is what a rotation keeps of itself beside. Nil: it is none.
	Rotation *Rotation `json:"rotation,omitempty"`
	// Due is the key of the walk's entry in the due index. Empty: it has ended.
	Due string `json:"due,omitempty"`
}

// NewID returns a random id, for a walk or a removal.
func NewID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// Walk returns the tenant's last walk of that kind, or ErrNotFound.
func (s *Store) Walk(ctx context.Context, id tenant.ID, kind string) (Walk, error) {
	t, err := s.Tenant(ctx, id)
	if err != nil {
		return Walk{}, err
	}
	walk, ok := t.Walks[kind]
	if !ok {
		return Walk{}, ErrNotFound
	}
	return walk, nil
}

// UpdateWalk stores what change makes of the tenant's walk of that kind and
// when the worker shall go on with it; zero: never. old is nil if there was
// none. An error of change is returned, and nothing is stored. ErrNotFound is
// returned if there is no such tenant.
func (s *Store) UpdateWalk(ctx context.Context, id tenant.ID, kind string, change func(old *Walk) (Walk, time.Time, error)) (Walk, error) {
	defer s.records.lock(tenantKey(id))()
	t, err := s.standingTenant(ctx, id)
	if err != nil {
		return Walk{}, err
	}
	var old *Walk
	if w, ok := t.Walks[kind]; ok {
		old = &w
	}
	walk, at, err := change(old)
	if err != nil {
		return Walk{}, err
	}
	walk.Due = ""
	if !at.IsZero() {
		due, err := s.schedule(ctx, at, time.Time{}, kind, string(id))
		if err != nil {
			return Walk{}, err
		}
		walk.Due = due.key()
	}
	t.Walks = maps.Clone(t.Walks)
	if t.Walks == nil {
		t.Walks = map[string]Walk{}
	}
	t.Walks[kind] = walk
	if err := s.putTenant(ctx, id, t); err != nil {
		return Walk{}, err
	}
	if old != nil && old.Due != "" && old.Due != walk.Due {
		_ = s.storage.Delete(ctx, old.Due) // a hint, as in UpdateCredential
	}
	return walk, nil
}

// Refs yields the refs of the tenant's records that come after the ref after,
// "" being before the first. They come in the order of their bytes, which is
// the same at each call, so that a walk can stop at any of them and go on
// there. Where a directory cannot be listed it yields that error and ends.
func (s *Store) Refs(ctx context.Context, id tenant.ID, after string) iter.Seq2[tenant.Ref, error] {
	return func(yield func(tenant.Ref, error) bool) {
		s.refs(ctx, string(id)+"/", after, yield)
	}
}

// refs yields what is below dir and reports whether more is wanted. Listed
// names end in a slash where they have more below them; sorted with it, what
// is below one name stands together, in the order of whole refs. To list a
// directory with more below costs a look at all of that, which a walk goes
// through anyway.
func (s *Store) refs(ctx context.Context, dir, after string, yield func(tenant.Ref, error) bool) bool {
	names, err := s.List(ctx, dir)
	if err != nil {
		yield(tenant.Ref{}, err)
		return false
	}
	for _, name := range names {
		path := dir + name
		switch below := strings.HasSuffix(path, "/"); {
		case path <= after && !(below && strings.HasPrefix(after, path)):
			continue
		case below:
			if !s.refs(ctx, path, after, yield) {
				return false
			}
			continue
		}
		ref, err := tenant.ParseRef(path)
		if err != nil {
			continue // no credential of ours: there is nothing to be done at it
		}
		if !yield(ref, nil) {
			return false
		}
	}
	return true
}
