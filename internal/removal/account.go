package removal

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// An AccountRef is a credential that rests on an account or a business of the
// provider.
type AccountRef struct {
	Ref tenant.Ref
	// Business says that it rests on the business, and not on the account.
	Business bool
	// Removing says that it is being removed, alone or with its tenant.
	Removing bool
	// Unreadable says that its record does not open.
	Unreadable bool
}

// Account returns the refs, of all tenants, that rest on the provider's account or business
// with the id, sorted and without their pages. The error is [oauth.NotFound] if there are
// none.
func (r *Remover) Account(ctx context.Context, providerName, id string) ([]AccountRef, error) {
	var found []AccountRef
	for _, name := range []string{id, store.BusinessAccount(id)} {
		holders, err := r.Store.Credentials.Holders(ctx, providerName, name)
		if err != nil {
			return nil, err
		}
		for _, holder := range holders {
			if holder.Ref.Kind() == tenant.Page || slices.ContainsFunc(found, func(a AccountRef) bool { return a.Ref == holder.Ref }) {
				continue // a page rests on the credential above it
			}
			removing, err := r.removing(ctx, holder.Ref)
			if err != nil {
				return nil, err
			}
			found = append(found, AccountRef{Ref: holder.Ref, Business: name != id, Removing: removing, Unreadable: holder.Status == ""})
		}
	}
	if len(found) == 0 {
		return nil, oauth.Errorf(oauth.NotFound, "no credential of this mount rests on the %s account or business %s; compare the id, which is the app's own for each person", providerName, id)
	}
	slices.SortFunc(found, func(a, b AccountRef) int { return strings.Compare(a.Ref.String(), b.Ref.String()) })
	return found, nil
}

// removing reports whether the credential is being removed, alone or with its
// tenant.
func (r *Remover) removing(ctx context.Context, ref tenant.Ref) (bool, error) {
	switch err := r.Store.Tenants.Deleting(ctx, ref.Tenant); {
	case errors.Is(err, store.ErrDeleting):
		return true, nil
	case err != nil:
		return false, err
	}
	_, err := r.Store.Tenants.Removal(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// An AccountDeletion is the result of [Remover.DisconnectAccount].
type AccountDeletion struct {
	// Deleted are the refs that are deleted, Removing those that are out of service and
	// are removed in the background.
	Deleted, Removing []tenant.Ref
	Warnings          []string
}

func (a *AccountDeletion) warn(warning string) {
	if warning != "" && !slices.Contains(a.Warnings, warning) {
		a.Warnings = append(a.Warnings, warning)
	}
}

// DisconnectAccount disconnects the credentials of all tenants that rest on the account or
// the business. It revokes the account's grant first, once: if that fails, it deletes
// nothing, unless d says Force. A token that can be revoked alone is revoked when its
// credential is deleted. After an interruption, another call completes the work.
func (r *Remover) DisconnectAccount(ctx context.Context, providerName, id string, d Disconnection) (AccountDeletion, error) {
	ctx = context.WithoutCancel(ctx) // as in Disconnect
	var done AccountDeletion
	found, err := r.Account(ctx, providerName, id)
	if err != nil {
		return done, err
	}
	standing, err := r.standing(ctx, found, d, &done)
	if err != nil {
		return done, err
	}
	if err := r.revokeOnce(ctx, found, standing, d, &done); err != nil {
		return done, err
	}
	var failed error
	for i := range standing {
		s := &standing[i]
		removing, err := r.disconnectStanding(ctx, s, d, &done)
		switch {
		case oauth.CodeOf(err) == oauth.NotFound || errors.Is(err, errSuperseded):
			// Another request deleted it, or it was connected with another account.
		case err != nil:
			r.Log.Warn("disconnecting failed", "ref", s.ref.String(), "error", err)
			failed = err
		case removing:
			done.Removing = append(done.Removing, s.ref)
		default:
			done.Deleted = append(done.Deleted, s.ref)
		}
	}
	r.Log.Info("disconnected an account", "provider", providerName, "deleted", len(done.Deleted), "removing", len(done.Removing), "failed", failed != nil)
	if code := oauth.CodeOf(failed); code != "" {
		return done, oauth.Errorf(code, "%d of %d credentials are disconnected; delete again for the rest: %w", len(done.Deleted)+len(done.Removing), len(found), failed)
	}
	return done, failed
}

// A standing is a credential of an account that is to be disconnected.
type standing struct {
	ref        tenant.Ref
	credential store.Credential
	unreadable bool
	revoked    bool // its grant is revoked, or need not be
	// irrevocable says that revoked is only what was tried: the provider has no revocation.
	irrevocable bool
}

// standing returns those of found that are to be disconnected, users before installations.
// A removal that is under way gets d's Force, and its refs are not among them.
func (r *Remover) standing(ctx context.Context, found []AccountRef, d Disconnection, done *AccountDeletion) (all []standing, err error) {
	for _, a := range found {
		switch {
		case a.Removing:
			if err := r.forceRemovalOf(ctx, a.Ref, d); err != nil {
				return nil, err
			}
			if err := r.Store.Removals.ScheduleRedaction(ctx, a.Ref.String()); err != nil {
				return nil, err
			}
			done.Removing = append(done.Removing, a.Ref)
			continue
		case a.Unreadable && !d.Force:
			return nil, oauth.Errorf(oauth.Failed, "the record of %s does not open, so its grant cannot be revoked; delete again with force=true", a.Ref)
		}
		s := standing{ref: a.Ref, unreadable: a.Unreadable}
		if s.credential, err = r.Store.Credentials.Read(ctx, a.Ref); errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil && !a.Unreadable {
			return nil, err
		}
		all = append(all, s)
	}
	slices.SortStableFunc(all, func(a, b standing) int { return rank(a.ref) - rank(b.ref) })
	return all, nil
}

func rank(ref tenant.Ref) int {
	if ref.Kind() == tenant.Installation {
		return 1
	}
	return 0
}

// forceRemovalOf lets the removal of ref's installation, if there is one, delete what it
// cannot revoke, if d says Force.
func (r *Remover) forceRemovalOf(ctx context.Context, ref tenant.Ref, d Disconnection) error {
	if !d.Force {
		return nil
	}
	if _, err := r.Store.Tenants.Removal(ctx, ref.Installation()); err != nil {
		if errors.Is(err, store.ErrNotFound) {
			return nil // the tenant is being deleted, which has a Force of its own
		}
		return err
	}
	err := r.forceRemoval(ctx, ref.Installation())
	if oauth.CodeOf(err) == oauth.NotFound {
		return nil // the removal has just ended
	}
	return err
}

// revokeOnce revokes each grant that several credentials may rest on, once. If a credential
// outside found rests on it too, the grant is not revoked, with a warning.
func (r *Remover) revokeOnce(ctx context.Context, found []AccountRef, all []standing, d Disconnection, done *AccountDeletion) error {
	ours := func(ref tenant.Ref) bool {
		return slices.ContainsFunc(found, func(a AccountRef) bool { return a.Ref == ref.Above() })
	}
	revoked := map[string]bool{} // by account
	for i := range all {
		s := &all[i]
		c := s.credential
		if s.unreadable || r.Revoker.Alone(s.ref.Provider, c.Token) {
			continue
		}
		if !d.Revoke || c.Gone() || revoked[c.Token.Account] {
			s.revoked = true
			continue
		}
		shared, err := r.sharedBeyond(ctx, s.ref, c, ours)
		if err != nil {
			return err
		}
		if shared {
			done.warn(warnShared)
			continue
		}
		warning, err := r.revoke(ctx, s.ref, c, d)
		if err != nil {
			return err
		}
		done.warn(warning)
		revoked[c.Token.Account], s.revoked, s.irrevocable = true, true, r.irrevocable(s.ref)
	}
	return nil
}

// disconnectStanding disconnects one credential, and deletes its name from the events: the
// account is deleted because a person requested that. removing says that the work goes on
// in the background.
func (r *Remover) disconnectStanding(ctx context.Context, s *standing, d Disconnection, done *AccountDeletion) (removing bool, err error) {
	if err := r.Store.Removals.ScheduleRedaction(ctx, s.ref.String()); err != nil {
		return false, err
	}
	warning := ""
	switch {
	case s.unreadable || r.Revoker.Alone(s.ref.Provider, s.credential.Token):
		warning, err = r.Disconnect(ctx, s.ref, d)
		if err == nil && s.ref.Kind() == tenant.Installation {
			removing, err = r.removing(ctx, s.ref)
		}
	case s.ref.Kind() == tenant.Installation:
		removal := store.Removal{ID: store.NewID(), StartedAt: r.Now().UTC(), Revoke: d.Revoke, Force: d.Force}
		if s.revoked {
			removal.RevokedBirth = s.credential.Birth
		}
		var ended bool
		warning, ended, err = r.beginRemoval(ctx, s.ref, removal)
		removing = !ended
	default:
		err = r.deleteRevoked(ctx, s.ref, s.credential)
	}
	if err == nil {
		done.warn(warning)
	}
	if err == nil && s.irrevocable {
		r.publishIrrevocable(s.ref, s.credential, d)
	}
	return removing, err
}

// deleteRevoked deletes the credential of a user, with its pages, if it is still c. Its
// grant is revoked, or need not be.
func (r *Remover) deleteRevoked(ctx context.Context, ref tenant.Ref, c store.Credential) error {
	if err := r.Store.Credentials.DeletePages(ctx, ref); err != nil {
		return err
	}
	err := r.Store.Credentials.Delete(ctx, ref, unchanged(c))
	if errors.Is(err, store.ErrNotFound) {
		return admission.NoCredential(ref)
	}
	if err != nil {
		return err
	}
	return r.Store.Credentials.DeletePages(ctx, ref) // those fetched meanwhile
}
