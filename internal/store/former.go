package store

import (
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// A Former is a token that a refresh, or another connect, has replaced and that lives
// on, until it is revoked.
type Former struct {
	AccessToken oauth.Secret
	// RefreshToken is the one that came with it: revoking it ends the former grant. "":
	// there was none.
	RefreshToken oauth.Secret
	// RevokeAt is when the last reader that was given the token has come back for
	// another: it is not revoked before. Zero: at the next refresh. An earlier
	// version of the engine stored it so.
	RevokeAt time.Time
	// ExpiresAt is when the token ends by itself. Zero: it is not known.
	ExpiresAt time.Time
}

// formerAtRest is a Former as it is sealed.
type formerAtRest struct {
	AccessToken  string    `json:"access_token"`
	RevokeAt     time.Time `json:"revoke_at,omitzero"`
	ExpiresAt    time.Time `json:"expires_at,omitzero"`
	RefreshToken string    `json:"refresh_token,omitempty"`
}

func formersAtRest(formers []Former) (sealed []formerAtRest) {
	for _, f := range formers {
		sealed = append(sealed, formerAtRest{f.AccessToken.Reveal(), f.RevokeAt, f.ExpiresAt, f.RefreshToken.Reveal()})
	}
	return sealed
}

// formers returns the former tokens of the record: those that this version
// stores, and the one that an earlier version did.
func (r *credentialAtRest) formers() (formers []Former) {
	if r.FormerToken != "" {
		formers = append(formers, Former{AccessToken: oauth.NewSecret(r.FormerToken)})
	}
	for _, f := range r.FormerTokens {
		formers = append(formers, Former{oauth.NewSecret(f.AccessToken), oauth.NewSecret(f.RefreshToken), f.RevokeAt, f.ExpiresAt})
	}
	return formers
}

// nextRevocation returns when the first of the former tokens is to be revoked,
// or zero.
func (c *Credential) nextRevocation() (next time.Time) {
	for _, f := range c.Formers {
		if next.IsZero() || !f.RevokeAt.IsZero() && f.RevokeAt.Before(next) {
			next = f.RevokeAt
		}
	}
	return next
}

// keepPromise keeps the time of the next refresh that readers of the token were given,
// if that is planned for an earlier time now than it was in old.
func (c *Credential) keepPromise(old Credential) {
	c.PromisedUntil = time.Time{}
	if c.Token.AccessToken != old.Token.AccessToken || c.Birth != old.Birth {
		return
	}
	for _, until := range []time.Time{old.PromisedUntil, old.NextRefresh} {
		if until.After(c.NextRefresh) && until.After(c.PromisedUntil) {
			c.PromisedUntil = until
		}
	}
}
