package store

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/cache"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
)

// How many records of a kind are cached.
const (
	credentialsCached = 10_000
	tenantsCached     = 10_000
	keyringsCached    = 4096
	configsCached     = 64
)

// records is what all types of the package work on. Its locks live in memory: Vault
// lets one node write.
type records struct {
	storage cache.Storage
	now     func() time.Time
	cache   *cache.Cache
	due     *due.Index
	events  *event.Ring

	locks        keyedLocks // by storage key: around read, change and put
	tenantLocks  keyedLocks // by tenant: sealing and putting share it; what must not fall between them locks it
	accountLocks keyedLocks // by account: around the answer to "which credentials hold it" and what follows from that
}

// get returns the bytes under key, or nil.
func (r *records) get(ctx context.Context, key string) ([]byte, error) {
	e, err := r.storage.Get(ctx, key)
	if e == nil || err != nil {
		return nil, err
	}
	return e.Value, nil
}

func (r *records) put(ctx context.Context, key string, value []byte) error {
	return r.storage.Put(ctx, &logical.StorageEntry{Key: key, Value: value})
}

// putEntry writes an index entry. What it says is in its key; some storage
// backends refuse an empty value.
func (r *records) putEntry(ctx context.Context, key string) error {
	return r.put(ctx, key, []byte{formatVersion})
}

func (r *records) deleteEntries(ctx context.Context, keys []string) error {
	for _, key := range keys {
		if err := r.storage.Delete(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// A work is what a record has in the due index.
type work struct {
	kind, id string
	at       time.Time // zero: none
	previous string    // the key of its entry until now; "": none
}

// putWithDue moves a record's due entry and puts the record, in the order that a
// crash does no harm in: the new entry, the record, which names it, and then the
// former entry is deleted. Put stores the record with the key of its entry, "" for
// none. It is called under the record's lock.
func (r *records) putWithDue(ctx context.Context, w work, put func(due string) error) error {
	key := ""
	if !w.at.IsZero() {
		entry, err := r.due.Schedule(ctx, w.at, time.Time{}, w.kind, w.id)
		if err != nil {
			return err
		}
		key = entry.Key()
	}
	if err := put(key); err != nil {
		return err
	}
	if w.previous != "" && w.previous != key {
		r.tryDelete(ctx, w.previous)
	}
	return nil
}

// tryDelete deletes an index entry that its record needs no more. The record is
// stored, and that is what the caller wanted: an entry that cannot be deleted is found
// stale by the work that follows it, and does no harm.
func (r *records) tryDelete(ctx context.Context, key string) {
	_ = r.storage.Delete(ctx, key)
}
