package upkeep

import (
	"context"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BeginReindex has the worker rebuild the tenant's index entries, as
// [store.Credentials.Reindex] does for each record. Those of the tenant's removals and
// rotations, without which that work would never continue, are rebuilt immediately.
func (u *Upkeep) BeginReindex(ctx context.Context, id tenant.ID) (store.Scan, error) {
	scan, err := u.begin(ctx, id, store.DueReindex)
	if err != nil {
		return scan, err
	}
	return scan, ignoreGone(u.Store.Removals.RescheduleWork(ctx, id))
}

// Reindex is the due work at a reindex.
func (u *Upkeep) Reindex(ctx context.Context, entry due.Entry) error {
	return u.work(ctx, entry, task{refs: u.Store.Credentials.Indexed, visit: uncounted(u.Store.Credentials.Reindex)})
}
