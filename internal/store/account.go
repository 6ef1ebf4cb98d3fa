package store

import (
	"context"
	"errors"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

func (s *Store) accountName(ctx context.Context, provider, account string, create bool) (string, error) {
	k, err := s.accountKey(ctx, create)
	if err != nil {
		return "", err
	}
	return k.Name(provider, account)
}

// BusinessAccount is the name under which a business is looked up with
// [Store.Holders].
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

// LockAccount keeps others who lock the same account out until unlock is
// called. It is held while a credential of the account is stored or deleted,
// so that what [Store.Holders] says of the account stays true meanwhile.
func (s *Store) LockAccount(provider, account string) (unlock func()) {
	return s.accounts.lock(provider + "\x00" + account)
}

// A Holder is a credential that holds an account. Its status is empty if its
// record does not open.
type Holder struct {
	Ref    tenant.Ref
	Status Status
	Token  oauth.Secret
	// Formers are the tokens of before its refreshes that live on.
	Formers []Former
	// Gone says that the grant is known to be, and not only told.
	Gone bool
}

// Holds reports whether the token is the holder's, or one that it had before and
// whose readers have not all come back.
func (h Holder) Holds(token oauth.Secret) bool {
	return h.Token == token || slices.ContainsFunc(h.Formers, func(f Former) bool { return f.AccessToken == token })
}

// Holders returns the credentials that hold the provider's account, whatever
// their tenant.
func (s *Store) Holders(ctx context.Context, provider, account string) ([]Holder, error) {
	name, err := s.accountName(ctx, provider, account, false)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	hints, err := s.storage.List(ctx, accountDir(provider, name))
	if err != nil {
		return nil, err
	}
	var holders []Holder
	for _, hint := range hints {
		ref, err := tenant.ParseFlat(hint)
		if err != nil {
			return nil, corrupt(accountDir(provider, name)+hint, err)
		}
		shredded, err := s.shredded(ctx, ref.Tenant)
		if err != nil && !errors.Is(err, ErrCorrupt) {
			return nil, err
		}
		if shredded {
			continue // nobody will ever open it
		}
		switch c, err := s.Credential(ctx, ref); {
		case err == nil && slices.Contains(accountsOf(c), account):
			holders = append(holders, Holder{ref, c.Status, c.Token.AccessToken, c.Formers, c.Gone()})
		case errors.Is(err, ErrCorrupt):
			// Nobody knows: it counts.
			holders = append(holders, Holder{Ref: ref})
		case err == nil, errors.Is(err, ErrNotFound):
			if err := s.dropHint(ctx, ref, accountDir(provider, name)+hint); err != nil {
				return nil, err
			}
		default:
			return nil, err
		}
	}
	return holders, nil
}

// dropHint deletes a hint that leads to ref's credential, if that does not
// need it.
func (s *Store) dropHint(ctx context.Context, ref tenant.Ref, key string) error {
	defer s.records.lock(credentialKey(ref))()
	c, err := s.storedCredential(ctx, ref)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil {
		needed, err := s.hints(ctx, ref, &c, false)
		if err != nil || slices.Contains(needed, key) {
			return err
		}
	}
	return s.storage.Delete(ctx, key)
}

// InUse reports whether any credential of the provider is kept.
func (s *Store) InUse(ctx context.Context, provider string) (bool, error) {
	dirs, err := s.storage.List(ctx, accountPrefix+provider+"/")
	if err != nil {
		return false, err
	}
	for _, dir := range dirs {
		hints, err := s.storage.List(ctx, accountPrefix+provider+"/"+dir)
		if err != nil {
			return false, err
		}
		for _, hint := range hints {
			ref, err := tenant.ParseFlat(hint)
			if err != nil {
				return false, corrupt(accountPrefix+provider+"/"+dir+hint, err)
			}
			if shredded, err := s.shredded(ctx, ref.Tenant); shredded && err == nil {
				continue
			}
			if _, err := s.Credential(ctx, ref); !errors.Is(err, ErrNotFound) {
				return err == nil, err
			}
		}
	}
	return false, nil
}
