package refresh

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Disconnection says how to part with a credential.
type Disconnection struct {
	// Revoke tells the provider to end the grant.
	Revoke bool
	// Force forgets the credential even if the provider could not be told.
	Force bool
}

// Warnings of a disconnection.
const (
	warnShared   = "the grant was not revoked at the provider, for another credential of this mount holds the same account"
	warnRemoving = "the installation is out of service; what stands under it is being revoked and removed in the background: watch connections/<ref>"
)

// Disconnect revokes the grant at the provider and then forgets the
// credential. If the provider cannot be told, nothing is forgotten, unless d
// says Force. The grant of an account that another credential holds too is
// left alone. With an installation goes all that stands under it: from then on
// nothing of it is served, and the background work removes it.
func (r *Refresher) Disconnect(ctx context.Context, ref tenant.Ref, d Disconnection) (warnings []string, err error) {
	// A caller who goes away must not leave a grant revoked and its credential
	// in service.
	ctx = context.WithoutCancel(ctx)
	c, err := r.connected(ctx, ref)
	if err != nil {
		return nil, err
	}
	if ref.Kind() == tenant.Installation {
		return r.uninstall(ctx, ref, c, d)
	}
	warning, err := r.part(ctx, ref, c, d)
	if warning != "" {
		warnings = append(warnings, warning)
	}
	return warnings, err
}

// part is Disconnect for a credential that nothing stands under.
func (r *Refresher) part(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	for {
		shared, err := r.forgetShared(ctx, ref, c)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return "", NotFound(ref)
		case err != nil:
			return "", err
		case shared && d.Revoke:
			return warnShared, nil
		case shared:
			return "", nil
		}
		if warning, err = r.revoke(ctx, ref, c, d); err != nil {
			return "", err
		}
		switch err := r.forget(ctx, ref, c); {
		case errors.Is(err, errSuperseded):
			// It was connected again meanwhile, perhaps with another account.
			if c, err = r.Store.Credential(ctx, ref); err != nil {
				return "", err
			}
		case errors.Is(err, store.ErrNotFound):
			return warning, nil
		default:
			return warning, err
		}
	}
}

// forgetShared deletes the credential if another one holds its account, and
// reports whether it did. Of the holders of one account that part at the same
// time, each sees the others or is the last.
func (r *Refresher) forgetShared(ctx context.Context, ref tenant.Ref, c store.Credential) (bool, error) {
	defer r.Store.LockAccount(ref.Provider, c.Token.Account)()
	holders, err := r.Store.Holders(ctx, ref.Provider, c.Token.Account)
	if err != nil {
		return false, err
	}
	if !shared(ref, holders) {
		return false, nil
	}
	return true, r.Store.DeleteCredential(ctx, ref, func(store.Credential) error { return nil })
}

// shared reports whether another credential than ref's lives by the grant. One
// that was revoked does not.
func shared(ref tenant.Ref, holders []store.Holder) bool {
	return slices.ContainsFunc(holders, func(other store.Holder) bool { return other.Ref != ref && other.Status != store.Revoked })
}

// forget deletes the credential if it is still the one that was revoked.
func (r *Refresher) forget(ctx context.Context, ref tenant.Ref, c store.Credential) error {
	return r.Store.DeleteCredential(ctx, ref, func(now store.Credential) error {
		if now.Birth != c.Birth {
			return errSuperseded
		}
		return nil
	})
}

// revoke tells the provider, if there is anything to tell. The warning says
// that Force went over an error.
func (r *Refresher) revoke(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) (warning string, err error) {
	if !d.Revoke || c.Status == store.Revoked {
		return "", nil
	}
	p, config, err := r.client(ctx, ref.Provider)
	if err == nil {
		revoker, ok := p.(provider.Revoker)
		if !ok {
			return "", nil
		}
		calls, cancel := context.WithTimeout(ctx, provider.CallTimeout)
		defer cancel()
		err = revoker.Revoke(calls, config.Client(), c.Token)
	}
	var e *provider.Error
	switch {
	case err == nil:
		r.Log.Info("revoked", "ref", ref.String())
		return "", nil
	case !errors.As(err, &e):
		return "", err // storage's
	case d.Force:
		return "the grant could not be revoked at the provider: " + e.Error(), nil
	}
	r.Log.Warn("revoking failed", "ref", ref.String(), "error", provider.Refusal(err))
	return "", provider.Refusal(err)
}

// uninstall parts with an installation. Its own grant goes first: if that
// fails, nothing has changed. Then one write takes all of it out of service.
func (r *Refresher) uninstall(ctx context.Context, ref tenant.Ref, c store.Credential, d Disconnection) ([]string, error) {
	holders, err := r.Store.Holders(ctx, ref.Provider, c.Token.Account)
	if err != nil {
		return nil, err
	}
	shared := shared(ref, holders)
	var warnings []string
	if !shared {
		warning, err := r.revoke(ctx, ref, c, d)
		if err != nil {
			return nil, err
		}
		if warning != "" {
			warnings = append(warnings, warning)
		}
	}
	err = r.Store.UpdateRemoval(ctx, ref, func(old *store.Removal) (store.Removal, time.Time, error) {
		if old != nil {
			return store.Removal{}, time.Time{}, NotFound(ref) // another request was first
		}
		return store.Removal{StartedAt: r.Now().UTC(), Revoke: d.Revoke, Revoked: !shared}, r.Now(), nil
	})
	if err != nil {
		return nil, err
	}
	under, err := r.Store.Under(ctx, ref)
	if err != nil || len(under) > 0 {
		// The removal stands, whatever came after it.
		return append(warnings, warnRemoving), nil
	}
	last, err := r.removeLast(ctx, ref, !shared || !d.Revoke)
	if err != nil {
		return append(warnings, warnRemoving), nil
	}
	if last != "" {
		warnings = append(warnings, last)
	}
	return warnings, nil
}

// removeLast deletes the installation that nothing stands under any more, and
// ends its removal.
func (r *Refresher) removeLast(ctx context.Context, ref tenant.Ref, revoked bool) (warning string, err error) {
	c, err := r.Store.Credential(ctx, ref)
	if err == nil {
		warning, err = r.part(ctx, ref, c, Disconnection{Revoke: !revoked})
	}
	if err != nil && !errors.Is(err, store.ErrNotFound) && oauth.CodeOf(err) != oauth.NotFound {
		return "", err
	}
	return warning, r.Store.EndRemoval(ctx, ref)
}

// maxRemovals is how often the background work goes through what is left of an
// installation before it forgets what cannot be revoked.
const maxRemovals = 5

// Remove is the background work at an installation's removal: all that stands
// under it is revoked and removed, and then itself. What cannot be revoked
// stays for the next attempt; after the last it is forgotten, and named in the
// log.
func (r *Refresher) Remove(ctx context.Context, due store.Due) error {
	ref, err := tenant.ParseFlat(due.ID)
	if err != nil {
		return err
	}
	if dropped, err := r.Store.DropOutdated(ctx, due); dropped || err != nil {
		return err
	}
	removal, err := r.Store.Removal(ctx, ref)
	if err != nil {
		return err
	}
	under, err := r.Store.Under(ctx, ref)
	if err != nil {
		return err
	}
	removal.Attempts++
	d := Disconnection{Revoke: removal.Revoke, Force: removal.Attempts >= maxRemovals}
	removal.Unrevoked = nil
	for _, child := range under {
		warning, err := r.removeOne(ctx, child, d)
		if err != nil || warning != "" && warning != warnShared {
			removal.Unrevoked = append(removal.Unrevoked, child.String())
			r.Log.Warn("revoking failed", "ref", child.String(), "forgotten", err == nil)
		}
		if err == nil {
			removal.Removed++
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if len(removal.Unrevoked) == 0 || d.Force {
		if _, err = r.removeLast(ctx, ref, removal.Revoked || !removal.Revoke || d.Force); err == nil {
			return nil
		}
		r.Log.Warn("removing the installation failed", "ref", ref.String(), "error", err)
	}
	return r.Store.UpdateRemoval(ctx, ref, func(*store.Removal) (store.Removal, time.Time, error) {
		return removal, r.Now().Add(backoff[min(removal.Attempts, len(backoff))-1]), nil
	})
}

func (r *Refresher) removeOne(ctx context.Context, ref tenant.Ref, d Disconnection) (warning string, err error) {
	c, err := r.Store.Credential(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return r.part(ctx, ref, c, d)
}
