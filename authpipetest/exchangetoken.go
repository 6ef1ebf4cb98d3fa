package authpipetest

import (
	"net/http"
	"time"
)

// countingDay is how long a long-lived token has to be old to be worth an exchange: Facebook extends once a day.
const countingDay = 24 * time.Hour

// exchangeToken is the token endpoint for fb_exchange_token ("Long-Lived Access Tokens"): another token for the one given,
// which stays valid.
func (f *Facebook) exchangeToken(c *call) (any, error) {
	app, secret, err := f.client(c)
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, errClientSecret()
	}
	value := c.param("fb_exchange_token")
	if value == "" {
		return nil, oauthError(codeUnknown, "fb_exchange_token parameter not specified")
	}
	old, err := f.find(value)
	switch {
	case err != nil:
		return nil, err
	case old.kind == KindApp:
		return nil, tokenError(0, notAToken)
	case old.app != app.ID:
		return nil, oauthError(codeUnknown, "The access token does not belong to application %s", app.ID)
	}
	if flaw := f.flaw(old); flaw != nil {
		return nil, flawed(flaw)
	}
	if refused := f.books.unextendable[grantKey{old.app, old.person}]; refused != nil {
		return nil, refusal{GraphError: *refused, status: http.StatusBadRequest}
	}
	if old.kind == KindSystemUser {
		expires, err := f.asksToExpire(c, *old)
		switch {
		case err != nil:
			return nil, err
		case expires:
			return f.tell(f.keepSystem(*old, true), f.options().ExchangeOmitsExpiresIn), nil
		}
	}
	extended, again := f.extend(old)
	omit := f.options().ExchangeOmitsExpiresIn || again && f.options().RepeatOmitsExpiresIn
	return f.tell(f.books.keep(extended), omit), nil
}

// RefuseExtension has every exchange of a token of this person for a longer one refused with the error, while all else works, as
// happened to single people for weeks. A nil error ends it.
func (f *Facebook) RefuseExtension(appID, userID string, refused *GraphError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.books.unextendable[grantKey{appID, userID}] = refused
}

// extend makes the token that an exchange gives for old, and tells whether the same day brought the same expiry again. A
// token that never expires, such as a page's, stays one; and a system user's keeps its expiry unless the call has
// set_token_expires_in_60_days.
func (f *Facebook) extend(old *token) (extended token, again bool) {
	now := f.options().Now()
	extended = *old
	extended.issued, extended.long, extended.scopes = now, true, old.effective()
	switch {
	case old.expires.IsZero() || f.options().ExchangeNeverExpires:
		extended.expires = time.Time{}
	case old.long && (old.kind == KindSystemUser || f.options().ReexchangeNeverExtends || now.Sub(old.counted) < countingDay):
		again = true
	default:
		extended.counted, extended.expires = now, now.Add(LongLife)
	}
	return extended, again
}

// appToken is the token endpoint for client_credentials ("Access Tokens"). The app token is good until the secret is
// reset, and no better than id|secret.
func (f *Facebook) appToken(c *call) (any, error) {
	app, secret, err := f.client(c)
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, errClientSecret()
	}
	return tokenAnswer{AccessToken: app.ID + "|" + app.appTokenSuffix(), TokenType: "bearer"}, nil
}
