package authpipe

import (
	"context"
	"time"

	"golang.org/x/oauth2"
)

// TokenSource returns q's token as [oauth2.TokenSource], for libraries that take one. Each Token is a read from the cache, so
// it costs nothing to ask each time; [oauth2.Transport] does.
//
// Some wrap it in [oauth2.ReuseTokenSource], as [oauth2.NewClient] does, and keep a token until its Expiry. So that they come
// back for what was renewed or replaced, Expiry is not the end of the token but a minute from now, or its end if that is sooner:
// [Credential].ExpiresAt is for who wants to know. A static credential has no token, and is an error.
//
// ctx is that of every question to Vault. A context that ends is the end of the source.
func (c *Client) TokenSource(ctx context.Context, q Request) oauth2.TokenSource {
	return tokenSource{c, ctx, q}
}

type tokenSource struct {
	client  *Client
	ctx     context.Context // oauth2's interface has no place for one
	request Request
}

// tokenLife is for how long a token is handed out to who does not come back before its expiry.
const tokenLife = time.Minute

// Token implements [oauth2.TokenSource].
func (s tokenSource) Token() (*oauth2.Token, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err // the cache would not ask it
	}
	credential, err := s.client.Credential(s.ctx, s.request)
	if err != nil {
		return nil, err
	}
	if credential.AccessToken.IsZero() {
		return nil, invalid("Static", "names no token: ask for the Credential")
	}
	token := &oauth2.Token{AccessToken: credential.AccessToken.Reveal(), TokenType: credential.TokenType}
	// The library reckons by the wall clock, whoever's it is.
	token.Expiry = time.Now().Add(min(s.client.left(credential), tokenLife))
	return token, nil
}

// left is how long the credential lives: as long as its answer, which it may have outlived in the cache.
func (c *Client) left(credential *Credential) time.Duration {
	if credential.until == forever {
		return forever
	}
	return credential.until - c.now()
}
