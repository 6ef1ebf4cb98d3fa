package refresh

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// PlanChecks has the worker plan all checks anew, after their interval was
// changed: what is not checked at all would never learn of it.
func (r *Refresher) PlanChecks(ctx context.Context) error {
	names, err := r.Store.List(ctx, "")
	if err != nil {
		return err
	}
	return inParallel(ctx, parallel, len(names), func(i int) error {
		// One that is under way has passed some by: it begins anew.
		_, err := r.Store.UpdateWalk(ctx, tenant.ID(strings.TrimSuffix(names[i], "/")), store.DueRecheck, func(*store.Walk) (store.Walk, time.Time, error) {
			return store.Walk{ID: random(), StartedAt: r.Now().UTC()}, r.Now(), nil
		})
		return quietly(err)
	})
}

// Recheck is the background work at that, of one tenant.
func (r *Refresher) Recheck(ctx context.Context, due store.Due) error {
	return r.walk(ctx, due, route{refs: r.Store.Refs, visit: uncounted(r.recheck)})
}

// recheck plans the check of one credential, unless it comes within the
// interval as it is.
func (r *Refresher) recheck(ctx context.Context, ref tenant.Ref) error {
	_, config, err := r.client(ctx, ref.Provider)
	if err != nil {
		if provider.ClassOf(err) == provider.Misconfigured {
			return nil // without a client there are no checks
		}
		return err
	}
	_, err = r.Store.UpdateCredential(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Status != store.Active || !old.DeadSince.IsZero() {
			return store.Credential{}, errSuperseded
		}
		c := *old
		planCheck(ref, &c, config, r.Now())
		if c.NextCheck.IsZero() == old.NextCheck.IsZero() && !c.NextCheck.Before(old.NextCheck) {
			return store.Credential{}, errSuperseded
		}
		return c, nil
	})
	if gone(err) {
		return nil
	}
	return quietly(err)
}

// Reconsider has those tokens asked about that were called failed and that live
// after all: the clock stood ahead when it was decided that they had expired.
func (r *Refresher) Reconsider(ctx context.Context) error {
	refs, err := r.Store.InStatus(ctx, store.Failed)
	if err != nil {
		return err
	}
	ctx = store.Passing(ctx)
	var errs []error
	for _, ref := range refs {
		_, err := r.Store.UpdateCredential(ctx, ref, func(old *store.Credential) (store.Credential, error) {
			if old == nil || old.Status != store.Failed || !old.Token.Live(r.Now()) {
				return store.Credential{}, errUnchanged
			}
			doubted := *old
			doubted.NextCheck = r.Now().UTC()
			return doubted, nil
		})
		if !errors.Is(err, errUnchanged) && !gone(err) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
