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
	// sliceTime is how long a removal may go on in one sweep.
	sliceTime = 20 * time.Second
	// batchSize is how many credentials of one removal are deleted concurrently. Most of
	// the time is spent waiting for the provider.
	batchSize = 16
	// maxUnrevoked is how many refs a removal names, since a record's size is limited.
	maxUnrevoked = 100
)

// RemoveInstallation is the due work at an installation's removal: it revokes and deletes
// everything under the installation, and the installation last. A credential that cannot be
// revoked is tried again without end, or deleted if the removal has Force.
func (r *Remover) RemoveInstallation(ctx context.Context, entry due.Entry) error {
	if dropped, err := r.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	ref, err := tenant.ParseFlat(entry.ID)
	if err != nil {
		return err
	}
	removal, err := r.Store.Tenants.Removal(ctx, ref)
	if err != nil {
		return ignoreGone(err)
	}
	ctx = store.WithoutCaching(ctx)
	finished, err := r.removeAll(ctx, &removal, r.Store.Credentials.Under(ctx, ref, removal.After))
	if errors.Is(err, provider.ErrCircuitOpen) {
		return ignoreGone(r.Store.Removals.Update(ctx, ref, r.wait(removal, err)))
	}
	if err != nil {
		return err
	}
	if finished && removal.UnrevokedCount == 0 {
		end, err := r.removeLast(ctx, ref, removal)
		if end.ended {
			r.Log.Info("removed", "ref", ref.String(), "credentials", removal.Removed+1)
			return nil
		}
		if err != nil {
			countUnrevoked(&removal, ref)
			r.Log.Warn("removing failed", "ref", ref.String(), "error", err)
		}
	}
	return ignoreGone(r.Store.Removals.Update(ctx, ref, r.next(removal, finished)))
}

// next returns the change of the stored removal after a slice of it, which plans the next
// slice. A removal that has finished its refs backs off before it tries those again that
// could not be removed.
func (r *Remover) next(removal store.Removal, finished bool) func(*store.Removal) (store.Removal, time.Time, error) {
	return func(now *store.Removal) (store.Removal, time.Time, error) {
		if now == nil || now.ID != removal.ID {
			return store.Removal{}, time.Time{}, errSuperseded
		}
		if now.Force && !removal.Force || removal.Revoke && !now.Revoke {
			removal.Force, removal.Revoke, removal.After = now.Force, now.Revoke, ""
			return removal, r.Now(), nil // a request has changed it meanwhile: begin again at once
		}
		if !finished || removal.UnrevokedCount == 0 {
			return removal, r.Now(), nil
		}
		removal.Attempts++
		return removal, r.Now().Add(plan.Backoff(removal.Attempts)), nil
	}
}

// wait is next for a slice that ended because calls to the provider are paused. The next
// slice continues there when the pause is over.
func (r *Remover) wait(removal store.Removal, paused error) func(*store.Removal) (store.Removal, time.Time, error) {
	now, until := r.Now(), time.Time{}
	if e := (*provider.Error)(nil); errors.As(paused, &e) {
		until = e.Until
	}
	if until.Before(now) { // the pause ends with a successful probe
		until = now.Add(breaker.ShortestPause)
	}
	r.Log.Warn("a removal waits for the provider", "until", until, "error", paused)
	next := r.next(removal, false)
	return func(now *store.Removal) (store.Removal, time.Time, error) {
		after, at, err := next(now)
		if err == nil && !after.Force && after.Revoke {
			at = until
		}
		return after, at, err
	}
}

// removeAll deletes as many of refs as there is time for, moves the removal's cursor, and
// counts the results in it. It reports whether it has finished the refs: one that cannot be
// removed does not stop it. It does stop at calls that are paused: the error then wraps
// [provider.ErrCircuitOpen].
func (r *Remover) removeAll(ctx context.Context, removal *store.Removal, refs iter.Seq2[tenant.Ref, error]) (finished bool, err error) {
	begun := r.Now()
	if removal.After == "" {
		removal.Unrevoked, removal.UnrevokedCount = nil, 0
	}
	var batch []tenant.Ref
	for ref, err := range refs {
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return false, err
		}
		// A page comes in a later batch than the credential above it, which is deleted with
		// its pages: so a page is counted once.
		if len(batch) == batchSize || slices.Contains(batch, ref.Above()) {
			if err := r.removeBatch(ctx, removal, batch); err != nil {
				return false, err
			}
			if r.Now().Sub(begun) > sliceTime {
				return false, nil
			}
			batch = batch[:0]
		}
		batch = append(batch, ref)
	}
	if err := r.removeBatch(ctx, removal, batch); err != nil {
		return false, err
	}
	removal.After = ""
	return true, nil
}

// removeBatch deletes the refs of a batch concurrently. After a crash the batch is repeated.
func (r *Remover) removeBatch(ctx context.Context, removal *store.Removal, batch []tenant.Ref) error {
	errs := make([]error, len(batch))
	crash := sweep.InParallel(ctx, batchSize, len(batch), func(i int) error {
		errs[i] = errSuperseded // in case of a panic
		errs[i] = r.removeOne(ctx, batch[i], Disconnection{Revoke: removal.Revoke, Force: removal.Force})
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if crash != nil {
		r.Log.Error("panic while removing", "error", crash)
	}
	if len(errs) > 0 && !slices.ContainsFunc(errs, func(err error) bool { return !errors.Is(err, provider.ErrCircuitOpen) }) {
		return errs[0]
	}
	for i, ref := range batch {
		switch err := errs[i]; {
		case err == nil:
			removal.Removed++
		case !errors.Is(err, store.ErrNotFound):
			r.Log.Warn("removing failed", "ref", ref.String(), "error", err)
			countUnrevoked(removal, ref)
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
		_, err = r.disconnect(ctx, ref, c, d)
	case errors.Is(err, store.ErrCorrupt) && d.Force:
		r.unrevoked(ref, err)
		err = r.Store.Credentials.DeleteUnreadable(ctx, ref)
	}
	return err
}

// countUnrevoked counts ref among those that the removal could not revoke.
func countUnrevoked(removal *store.Removal, ref tenant.Ref) {
	removal.UnrevokedCount++
	if len(removal.Unrevoked) < maxUnrevoked {
		removal.Unrevoked = append(slices.Clip(removal.Unrevoked), ref.String())
	}
}

// An ending is the result of a removal's last step.
type ending struct {
	warning string
	ended   bool
}

// removeLast revokes the installation's own grant, if that has not been done, and ends the
// removal. It does nothing if a credential is left under the installation, or the removal
// has ended. Concurrent callers share one call: so the removal that it has read cannot end,
// and nothing can be connected, before it is done.
func (r *Remover) removeLast(ctx context.Context, ref tenant.Ref, removal store.Removal) (ending, error) {
	end, err, _ := r.endings.Do(ref.String(), func() (any, error) {
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
	warning, d := "", Disconnection{Revoke: removal.Revoke, Force: removal.Force}
	if c.Birth != removal.RevokedBirth {
		if warning, err = r.revoke(ctx, ref, c, d); err != nil {
			return ending{}, err
		}
	}
	defer r.Store.Credentials.LockAccount(ref.Provider, c.Token.Account)()
	ended, err = r.Store.Removals.End(ctx, ref, removal.ID, unchanged(c))
	if ended && err == nil && c.Birth != removal.RevokedBirth {
		r.publishIrrevocable(ref, c, d)
	}
	return ending{warning, ended}, err
}

// endShared is deleteShared for an installation, whose removal it ends.
func (r *Remover) endShared(ctx context.Context, ref tenant.Ref, removal store.Removal, c store.Credential) (shared, ended bool, err error) {
	defer r.Store.Credentials.LockAccount(ref.Provider, c.Token.Account)()
	if shared, err = r.shared(ctx, ref, c); !shared || err != nil {
		return shared, false, err
	}
	ended, err = r.Store.Removals.End(ctx, ref, removal.ID, unchanged(c))
	return true, ended, err
}
