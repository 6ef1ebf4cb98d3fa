package removal

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const (
	// removalSlice is how long one attempt at a removal may take, so that the
	// sweep that it is part of ends.
	removalSlice = 20 * time.Second
	// together is how many credentials of one removal are parted with at once: it is
	// the provider's answers that take the time.
	together = 16
	// unrevokedKept is how many refs a removal names; a record has its limits.
	unrevokedKept = 100
)

// Remove is the background work at an installation's removal: all that stands
// under it is revoked and removed, and then itself. What cannot be revoked is
// tried again, for as long as it takes; with Force it is forgotten.
func (r *Remover) Remove(ctx context.Context, entry due.Entry) error {
	if dropped, err := r.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	ref, err := tenant.ParseFlat(entry.ID)
	if err != nil {
		return err
	}
	removal, err := r.Store.Tenants.Removal(ctx, ref)
	if err != nil {
		return quietly(err)
	}
	ctx = store.WithoutCaching(ctx)
	through, err := r.removeAll(ctx, &removal, r.Store.Credentials.Under(ctx, ref, removal.After))
	if errors.Is(err, provider.ErrCircuitOpen) {
		return quietly(r.Store.Removals.Update(ctx, ref, r.wait(removal, err)))
	}
	if err != nil {
		return err
	}
	if through && removal.UnrevokedCount == 0 {
		end, err := r.removeLast(ctx, ref, removal)
		if end.ended {
			r.Log.Info("removed", "ref", ref.String(), "credentials", removal.Removed+1)
			return nil
		}
		if err != nil {
			owe(&removal, ref)
			r.Log.Warn("removing failed", "ref", ref.String(), "error", err)
		}
	}
	return quietly(r.Store.Removals.Update(ctx, ref, r.next(removal, through)))
}

// next returns what is stored of a removal after a slice of it, and when the
// worker goes on. through says that it came to the end of what there was:
// whatever could not be removed has then had its turn, and is let rest.
func (r *Remover) next(removal store.Removal, through bool) func(*store.Removal) (store.Removal, time.Time, error) {
	return func(now *store.Removal) (store.Removal, time.Time, error) {
		if now == nil || now.ID != removal.ID {
			return store.Removal{}, time.Time{}, errSuperseded
		}
		if now.Force && !removal.Force || removal.Revoke && !now.Revoke {
			removal.Force, removal.Revoke, removal.After = now.Force, now.Revoke, ""
			return removal, r.Now(), nil // said meanwhile: at once
		}
		if !through || removal.UnrevokedCount == 0 {
			return removal, r.Now(), nil
		}
		removal.Attempts++
		return removal, r.Now().Add(plan.Backoff(removal.Attempts)), nil
	}
}

// wait is next for a slice that ended since the provider is being left alone:
// the worker goes on where it stopped, when that is over.
func (r *Remover) wait(removal store.Removal, shut error) func(*store.Removal) (store.Removal, time.Time, error) {
	now, until := r.Now(), time.Time{}
	if e := (*provider.Error)(nil); errors.As(shut, &e) {
		until = e.Until
	}
	if until.Before(now) { // it did not say, and is asked each minute
		until = now.Add(breaker.ShortestPause)
	}
	r.Log.Warn("removing waits for the provider", "until", until, "error", shut)
	next := r.next(removal, false)
	return func(now *store.Removal) (store.Removal, time.Time, error) {
		after, at, err := next(now)
		if err == nil && !after.Force && after.Revoke {
			at = until
		}
		return after, at, err
	}
}

// removeAll parts with those of refs that there is time for, from where the
// removal stopped, and writes down in it how that went. It reports whether it
// came to their end: one that cannot be removed keeps none from its turn. The
// error wraps [provider.ErrCircuitOpen] if the provider is being left alone: none that
// comes next would fare better.
func (r *Remover) removeAll(ctx context.Context, removal *store.Removal, refs iter.Seq2[tenant.Ref, error]) (through bool, err error) {
	begun := r.Now()
	if removal.After == "" {
		removal.Unrevoked, removal.UnrevokedCount = nil, 0
	}
	var lot []tenant.Ref
	for ref, err := range refs {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return false, err
		}
		// A page is looked at when what is above it, which takes its pages along, is
		// gone: it is counted once.
		if len(lot) == together || slices.Contains(lot, ref.Above()) {
			if err := r.removeLot(ctx, removal, lot); err != nil {
				return false, err
			}
			if r.Now().Sub(begun) > removalSlice {
				return false, nil
			}
			lot = lot[:0]
		}
		lot = append(lot, ref)
	}
	if err := r.removeLot(ctx, removal, lot); err != nil {
		return false, err
	}
	removal.After = ""
	return true, nil
}

// removeLot parts with all of lot, which comes next, at once. A crash has it
// come again.
func (r *Remover) removeLot(ctx context.Context, removal *store.Removal, lot []tenant.Ref) error {
	errs := make([]error, len(lot))
	crash := sweep.InParallel(ctx, together, len(lot), func(i int) error {
		errs[i] = errSuperseded // should it panic
		errs[i] = r.removeOne(ctx, lot[i], Disconnection{Revoke: removal.Revoke, Force: removal.Force})
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if crash != nil {
		r.Log.Error("removing", "error", crash)
	}
	if len(errs) > 0 && !slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, provider.ErrCircuitOpen) }) {
		return errs[0]
	}
	for i, ref := range lot {
		switch err := errs[i]; {
		case err == nil:
			removal.Removed++
		case !errors.Is(err, store.ErrNotFound):
			r.Log.Warn("removing failed", "ref", ref.String(), "error", err)
			owe(removal, ref)
		}
		removal.After = ref.String()
	}
	return nil
}

func (r *Remover) removeOne(ctx context.Context, ref tenant.Ref, d Disconnection) error {
	c, err := r.Store.Credentials.Read(ctx, ref)
	if err == nil && d.Revoke {
		if err := r.Budget.Wait(ctx); err != nil {
			return err
		}
	}
	switch {
	case err == nil:
		_, err = r.part(ctx, ref, c, d)
	case errors.Is(err, store.ErrCorrupt) && d.Force:
		r.unrevoked(ref, err)
		err = r.Store.Credentials.DeleteUnreadable(ctx, ref)
	}
	return err
}

// owe writes down in removal that ref could not be parted with.
func owe(removal *store.Removal, ref tenant.Ref) {
	removal.UnrevokedCount++
	if len(removal.Unrevoked) < unrevokedKept {
		removal.Unrevoked = append(slices.Clip(removal.Unrevoked), ref.String())
	}
}

// An ending is what came of the last step of a removal.
type ending struct {
	warning string
	ended   bool
}

// removeLast revokes the installation's own grant, if that has not been done,
// and ends the removal. It does nothing if something still stands under the
// installation, or the removal is over. One caller does it, those who come
// meanwhile share what comes of it: so the removal stands, and nothing can be
// connected, from the look at it to its end.
func (r *Remover) removeLast(ctx context.Context, ref tenant.Ref, removal store.Removal) (ending, error) {
	end, err, _ := r.joint.Do("removal "+ref.String(), func() (any, error) {
		standing, err := r.Store.Tenants.Removal(ctx, ref)
		if errors.Is(err, store.ErrNotFound) || err == nil && standing.ID != removal.ID {
			return ending{ended: true}, nil
		}
		if err != nil {
			return ending{}, err
		}
		return r.endRemoval(ctx, ref, removal)
	})
	return end.(ending), err
}

func (r *Remover) endRemoval(ctx context.Context, ref tenant.Ref, removal store.Removal) (ending, error) {
	c, err := r.Store.Credentials.Read(ctx, ref)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrCorrupt) && removal.Force:
		ended, err := r.Store.Removals.End(ctx, ref, removal.ID, unchanged(c))
		return ending{"", ended}, err
	case err != nil:
		return ending{}, err
	}
	shared, ended, err := r.endShared(ctx, ref, removal, c)
	if shared || err != nil {
		warning := ""
		if removal.Revoke {
			warning = warnShared
		}
		return ending{warning, ended}, err
	}
	warning := ""
	if c.Birth != removal.RevokedBirth {
		if warning, err = r.revoke(ctx, ref, c, Disconnection{Revoke: removal.Revoke, Force: removal.Force}); err != nil {
			return ending{}, err
		}
	}
	defer r.Store.Credentials.LockAccount(ref.Provider, c.Token.Account)()
	ended, err = r.Store.Removals.End(ctx, ref, removal.ID, unchanged(c))
	return ending{warning, ended}, err
}

// endShared is forgetShared for an installation: of the holders of one account
// that go at the same time, each sees the others or is the last.
func (r *Remover) endShared(ctx context.Context, ref tenant.Ref, removal store.Removal, c store.Credential) (shared, ended bool, err error) {
	defer r.Store.Credentials.LockAccount(ref.Provider, c.Token.Account)()
	if shared, err = r.shared(ctx, ref, c); !shared || err != nil {
		return shared, false, err
	}
	ended, err = r.Store.Removals.End(ctx, ref, removal.ID, unchanged(c))
	return true, ended, err
}
