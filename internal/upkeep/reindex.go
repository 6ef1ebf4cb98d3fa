package upkeep

import (
	"context"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BeginReindex has the worker rebuild the tenant's index entries, as
// [store.Store.Reindex] does for each record. Those of the tenant's removals and
// rotations, without which that work would never continue, are rebuilt immediately.
func (u *Upkeep) BeginReindex(ctx context.Context, id tenant.ID) (store.Walk, error) {
	walk, err := u.begin(ctx, id, store.DueReindex)
	if err != nil {
		return walk, err
	}
	return walk, ignoreGone(u.Store.RescheduleWork(ctx, id))
}

// Reindex is the due work at a reindex.
func (u *Upkeep) Reindex(ctx context.Context, due store.Due) error {
	return u.work(ctx, due, scan{refs: u.Store.Indexed, visit: uncounted(u.Store.Reindex)})
}
