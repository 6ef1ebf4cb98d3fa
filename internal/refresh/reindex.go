package refresh

import (
	"context"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BeginReindex has the worker rebuild every index of the tenant. What it then
// writes and drops, [store.Store.Reindex] tells. The few entries of the
// tenant's removals and its rotation, without which nobody would carry those
// on, are mended at once.
func (r *Refresher) BeginReindex(ctx context.Context, id tenant.ID) (store.Walk, error) {
	walk, err := r.beginWalk(ctx, id, store.DueReindex)
	if err != nil {
		return walk, err
	}
	return walk, quietly(r.Store.RescheduleWork(ctx, id))
}

// Reindex is the background work at a reindex.
func (r *Refresher) Reindex(ctx context.Context, due store.Due) error {
	return r.walk(ctx, due, route{refs: r.Store.Indexed, visit: uncounted(r.Store.Reindex)})
}
