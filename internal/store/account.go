package store

import (
	"context"
	"errors"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// BusinessAccount is the name under which a business is looked up with
// [Credentials.Holders].
func BusinessAccount(business string) string { return "business:" + business }

// accountsOf returns what the credential is looked up by: the account that
// granted it, and the business that it is for.
func accountsOf(c Credential) []string {
	var accounts []string
	if c.Token.Account != "" {
		accounts = append(accounts, c.Token.Account)
	}
	if c.Token.Business != "" && c.Page == nil {
		accounts = append(accounts, BusinessAccount(c.Token.Business))
	}
	return accounts
}

// LockAccount keeps other callers that lock the same account out until unlock is
// called. It is held while a credential of the account is stored or deleted,
// so that what [Credentials.Holders] returns stays true meanwhile.
func (s *Credentials) LockAccount(provider, account string) (unlock func()) {
	return s.accountLocks.lock(provider + "\x00" + account)
}

// A Holder is a credential that holds an account. Its status is empty if its
// record does not open.
type Holder struct {
	Ref    tenant.Ref
	Status Status
	Token  oauth.Secret
	// Formers are the tokens from before its refreshes that live on.
	Formers []Former
	// Gone says that the grant has ended, and that this was confirmed.
	Gone bool
}

// Holds reports whether the token is the holder's, or one that it had before and
// whose readers have not all come back.
func (h Holder) Holds(token oauth.Secret) bool {
	return h.Token == token || slices.ContainsFunc(h.Formers, func(f Former) bool { return f.AccessToken == token })
}

// Holders returns the credentials that hold the provider's account, whatever
// their tenant.
func (s *Credentials) Holders(ctx context.Context, provider, account string) ([]Holder, error) {
	name, err := s.keyrings.accountName(ctx, provider, account, false)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	dir := accountDir(provider, name)
	entries, err := s.storage.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	var holders []Holder
	for _, entry := range entries {
		ref, err := tenant.ParseFlat(entry)
		if err != nil {
			return nil, corrupt(dir+entry, err)
		}
		purged, err := s.tenants.purged(ctx, ref.Tenant)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		if purged {
			continue // it cannot be opened any more
		}
		switch c, err := s.Read(ctx, ref); {
		case err == nil && slices.Contains(accountsOf(c), account):
			holders = append(holders, Holder{ref, c.Status, c.Token.AccessToken, c.Formers, c.Gone()})
		case errors.Is(err, ErrCorrupt):
			// It may hold the account: it counts.
			holders = append(holders, Holder{Ref: ref})
		case err == nil, errors.Is(err, ErrNotFound):
			if err := s.deleteUnlessNeeded(ctx, ref, dir+entry); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	return holders, nil
}

// InUse reports whether there is any credential of the provider.
func (s *Credentials) InUse(ctx context.Context, provider string) (bool, error) {
	dirs, err := s.storage.List(ctx, accountPrefix+provider+"/")
	if err != nil {
		return false, err
	}
	for _, dir := range dirs {
		if used, err := s.inUse(ctx, accountPrefix+provider+"/"+dir); used || err != nil {
			return used, err
		}
	}
	return false, nil
}

// inUse is InUse for the entries in one directory of the account index.
func (s *Credentials) inUse(ctx context.Context, dir string) (bool, error) {
	entries, err := s.storage.List(ctx, dir)
	if err != nil {
		return false, err
	}
	for _, entry := range entries {
		ref, err := tenant.ParseFlat(entry)
		if err != nil {
			return false, corrupt(dir+entry, err)
		}
		if purged, err := s.tenants.purged(ctx, ref.Tenant); purged && err == nil {
			continue
		}
		if _, err := s.Read(ctx, ref); !errors.Is(err, ErrNotFound) {
			return err == nil, err
		}
	}
	return false, nil
}
