package store

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/cache"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Credentials reads and writes credentials, and the indexes that lead to them.
type Credentials struct {
	*records
	keyrings *keyrings
	tenants  *Tenants
	cached   *cache.Records[Credential]
}

func newCredentials(r *records, k *keyrings, t *Tenants) *Credentials {
	return &Credentials{
		records: r, keyrings: k, tenants: t, cached: cache.NewRecords[Credential](r.storage, "credential", credentialsCached, true),
	}
}

// Read returns the credential that ref names, or ErrNotFound.
func (s *Credentials) Read(ctx context.Context, ref tenant.Ref) (Credential, error) {
	if c, ok := s.cached.Cached(credentialKey(ref)); ok {
		return c, nil
	}
	return s.stored(ctx, ref)
}

// Connected is like [Credentials.Read], but a credential that is being removed,
// alone or with its tenant, is not found.
func (s *Credentials) Connected(ctx context.Context, ref tenant.Ref) (Credential, error) {
	if err := s.tenants.Deleting(ctx, ref.Tenant); err != nil {
		return Credential{}, cmp.Or(notDeleting(err), ErrNotFound)
	}
	switch removal, err := removalOf(ctx, s.tenants.Read, ref); {
	case err != nil:
		return Credential{}, err
	case removal != nil:
		return Credential{}, ErrNotFound
	}
	return s.Read(ctx, ref)
}

// stored is Read for a read that decides a write: it bypasses the cache.
func (s *Credentials) stored(ctx context.Context, ref tenant.Ref) (Credential, error) {
	return s.cached.Load(ctx, credentialKey(ref), s.opener(ctx, ref))
}

// opener returns what opens the bytes of ref's credential.
func (s *Credentials) opener(ctx context.Context, ref tenant.Ref) func([]byte) (Credential, error) {
	return func(b []byte) (Credential, error) {
		if b == nil {
			return Credential{}, ErrNotFound
		}
		var r credentialAtRest
		if err := s.keyrings.open(ctx, ref.Tenant, credentialKey(ref), b, &r); err != nil {
			return Credential{}, err
		}
		r.Credential.Token.AccessToken, r.Credential.Formers = oauth.NewSecret(r.AccessToken), r.formers()
		r.Credential.Token.RefreshToken = oauth.NewSecret(r.RefreshToken)
		if err := r.openStatic(ref); err != nil {
			return Credential{}, err
		}
		return r.Credential, nil
	}
}

// put stores the record itself.
func (s *Credentials) put(ctx context.Context, ref tenant.Ref, c Credential) error {
	key := credentialKey(ref)
	b, err := s.keyrings.sealed(ctx, ref.Tenant, key, nil, credentialAtRest{
		Credential: c, AccessToken: c.Token.AccessToken.Reveal(), RefreshToken: c.Token.RefreshToken.Reveal(), FormerTokens: formersAtRest(c.Formers),
		StaticValue: c.staticValue(),
	})
	if err != nil {
		return err
	}
	return s.cached.Save(ctx, &logical.StorageEntry{Key: key, Value: b}, s.opener(ctx, ref))
}

// Update stores what change returns for ref's credential, under its record
// lock. old is nil if there is none. An error of change is returned, and nothing is
// stored; so are [ErrRemoving] and [ErrDeleting]. New index entries are written before
// the record, and stale ones deleted after it.
func (s *Credentials) Update(ctx context.Context, ref tenant.Ref, change func(old *Credential) (Credential, error)) (Credential, error) {
	defer s.locks.lock(credentialKey(ref))()
	unlock, err := s.tenants.sealing(ctx, ref.Tenant)
	if err != nil {
		return Credential{}, err
	}
	defer unlock()
	old, err := s.toChange(ctx, ref)
	if err != nil {
		return Credential{}, err
	}
	c, err := change(old)
	if err != nil {
		return Credential{}, err
	}
	if old == nil {
		if err := s.tenants.ensure(ctx, ref.Tenant); err != nil {
			return Credential{}, err
		}
	} else {
		// That its pages were fetched changes nothing that a call could depend on.
		c.Revision = old.Revision
		if c.PagesAt == old.PagesAt {
			c.Revision++
		}
		c.keepPromise(*old)
	}
	if err := s.replan(ctx, ref, old, &c); err != nil {
		return Credential{}, err
	}
	stale, err := s.putNewEntries(ctx, ref, old, &c)
	if err != nil {
		return Credential{}, err
	}
	entry, err := s.scheduleStale(ctx, ref, stale)
	if err != nil {
		return Credential{}, err
	}
	if err := s.put(ctx, ref, c); err != nil {
		return Credential{}, err
	}
	s.deleteStaleEntries(ctx, stale, entry)
	s.events.Add(eventsOf(ref, old, &c, s.now())...)
	return c, nil
}

// toChange returns the credential that is to be changed, or nil.
func (s *Credentials) toChange(ctx context.Context, ref tenant.Ref) (*Credential, error) {
	removal, err := removalOf(ctx, s.tenants.Read, ref) // read from storage just now, while sealing began
	if err != nil {
		return nil, err
	}
	if removal != nil {
		return nil, ErrRemoving
	}
	c, err := s.stored(ctx, ref)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
		// A record that does not open can only be replaced.
		return nil, nil
	}
	return &c, err
}

// Delete deletes the credential that ref names if allow, called with it under its
// record lock, returns no error. ErrNotFound is returned if there is none.
func (s *Credentials) Delete(ctx context.Context, ref tenant.Ref, allow func(Credential) error) error {
	defer s.locks.lock(credentialKey(ref))()
	c, err := s.stored(ctx, ref)
	if err != nil {
		return err
	}
	if err := allow(c); err != nil {
		return err
	}
	return s.delete(ctx, ref, c)
}

// DeleteUnreadable deletes a record that does not open. Its index entries are deleted
// by the work that follows them.
func (s *Credentials) DeleteUnreadable(ctx context.Context, ref tenant.Ref) error {
	defer s.locks.lock(credentialKey(ref))()
	if _, err := s.stored(ctx, ref); !errors.Is(err, ErrCorrupt) {
		return err
	}
	return s.deleteRecord(ctx, ref)
}

func (s *Credentials) deleteRecord(ctx context.Context, ref tenant.Ref) error {
	if err := s.storage.Delete(ctx, credentialKey(ref)); err != nil {
		return err
	}
	s.events.Add(eventsOf(ref, nil, nil, s.now())...)
	return nil
}

// delete deletes the record and then its index entries. Of a tenant that is being
// deleted the entries go first: one that is left would not be met again, and the deletion is
// repeated until the record is gone.
func (s *Credentials) delete(ctx context.Context, ref tenant.Ref, c Credential) error {
	stale, err := s.entries(ctx, ref, &c, true)
	if err != nil {
		return err
	}
	switch err := s.tenants.Deleting(ctx, ref.Tenant); {
	case errors.Is(err, ErrDeleting):
		if err := s.deleteEntries(ctx, stale); err != nil {
			return err
		}
		stale = nil
	case err != nil:
		return err
	}
	entry, err := s.scheduleStale(ctx, ref, stale)
	if err != nil {
		return err
	}
	if err := s.deleteRecord(ctx, ref); err != nil {
		return err
	}
	s.deleteStaleEntries(ctx, stale, entry)
	return nil
}

// PagesDir is the directory, for [Credentials.List], of the pages under the credential
// above.
func PagesDir(above tenant.Ref) string {
	above.Page = "x"
	return strings.TrimSuffix(above.String(), "x")
}

// DeletePages deletes the pages under the credential above.
func (s *Credentials) DeletePages(ctx context.Context, above tenant.Ref) error {
	names, err := s.List(ctx, PagesDir(above))
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.DeletePage(ctx, above, name); err != nil {
			return err
		}
	}
	return nil
}

// DeletePage deletes one page under the credential above. A page that is not there is no
// error.
func (s *Credentials) DeletePage(ctx context.Context, above tenant.Ref, name string) error {
	ref := above
	ref.Page = name
	err := s.Delete(ctx, ref, func(Credential) error { return nil })
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Gone reports whether err says that a credential is not there any more, or is being
// deleted.
func Gone(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrRemoving) || errors.Is(err, ErrDeleting)
}

// notDeleting returns err, or nil if it says that a tenant is being deleted.
func notDeleting(err error) error {
	if errors.Is(err, ErrDeleting) {
		return nil
	}
	return err
}
