package upkeep

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// PlanChecks has the worker plan all checks anew, after the check interval was changed.
// Nothing else would plan the check of a credential that has none.
func (u *Upkeep) PlanChecks(ctx context.Context) error {
	return u.eachTenant(ctx, func(id tenant.ID) error {
		_, err := u.Store.Tenants.UpdateScan(ctx, id, store.DueRecheck, func(*store.Scan) (store.Scan, time.Time, error) {
			return u.newScan(), u.Now(), nil // one that is under way begins anew: it has passed some records
		})
		return err
	})
}

// Recheck is the due work at that, for one tenant.
func (u *Upkeep) Recheck(ctx context.Context, entry due.Entry) error {
	return u.work(ctx, entry, task{refs: u.Store.Credentials.Refs, visit: uncounted(u.recheck)})
}

// recheck plans the check of one credential, unless its check is planned within the
// interval already.
func (u *Upkeep) recheck(ctx context.Context, ref tenant.Ref) error {
	if u.Providers[ref.Provider] == nil {
		return nil
	}
	config, err := u.Store.Mount.Config(ctx, ref.Provider)
	if errors.Is(err, store.ErrNotFound) {
		return nil // without a client there are no checks
	}
	if err != nil {
		return err
	}
	_, err = u.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Status != store.Active || !old.DeadSince.IsZero() {
			return store.Credential{}, errUnchanged
		}
		c := *old
		plan.Check(ref, &c, config, u.Now())
		if c.NextCheck.IsZero() == old.NextCheck.IsZero() && !c.NextCheck.Before(old.NextCheck) {
			return store.Credential{}, errUnchanged
		}
		return c, nil
	})
	return ignoreUnchanged(err)
}

// Reconsider plans a check of each failed credential whose token lives: it was found
// expired by a clock that was ahead.
func (u *Upkeep) Reconsider(ctx context.Context) error {
	refs, err := u.Store.Credentials.InStatus(ctx, store.Failed)
	if err != nil {
		return err
	}
	ctx = store.WithoutCaching(ctx)
	var errs []error
	for _, ref := range refs {
		_, err := u.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
			if old == nil || old.Status != store.Failed || !old.Token.Live(u.Now()) {
				return store.Credential{}, errUnchanged
			}
			c := *old
			c.NextCheck = u.Now().UTC()
			return c, nil
		})
		errs = append(errs, ignoreUnchanged(err))
	}
	return errors.Join(errs...)
}

// ignoreUnchanged returns err, or nil if the credential needed no change or is being
// deleted.
func ignoreUnchanged(err error) error {
	if errors.Is(err, errUnchanged) || store.Gone(err) {
		return nil
	}
	return err
}
