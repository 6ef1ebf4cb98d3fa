package authpipe

import (
	"context"
	"time"

	"golang.org/x/oauth2"
)

// TokenSource returns q's token as [oauth2.TokenSource], for libraries that take one. Each Token reads from the cache, so it may be
// called for each request, as [oauth2.Transport] does.
//
// Some libraries wrap the source in [oauth2.ReuseTokenSource], as [oauth2.NewClient] does, and reuse a token until its Expiry. So
// that they get renewed and replaced tokens, Expiry is a minute from now, or the token's end if that is sooner. Its real end is
// [Credential].ExpiresAt. A static credential has no token, and is an error.
//
// ctx is the context of every request to Vault. When it ends, the source returns its error.
func (c *Client) TokenSource(ctx context.Context, q Request) oauth2.TokenSource {
	return tokenSource{c, ctx, q}
}

type tokenSource struct {
	client  *Client
	ctx     context.Context // oauth2's interface has no place for one
	request Request
}

// tokenLife is how long a library may reuse a token.
const tokenLife = time.Minute

// Token implements [oauth2.TokenSource].
func (s tokenSource) Token() (*oauth2.Token, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err // a read from the cache does not look at ctx
	}
	credential, err := s.client.Credential(s.ctx, s.request)
	if err != nil {
		return nil, err
	}
	if credential.AccessToken.IsZero() {
		return nil, invalid("Static", "names no token; use Client.Credential")
	}
	token := &oauth2.Token{AccessToken: credential.AccessToken.Reveal(), TokenType: credential.TokenType}
	// The library compares it with the wall clock.
	token.Expiry = time.Now().Add(min(s.client.left(credential), tokenLife))
	return token, nil
}

// left returns how long the credential's token lives, by the client's clock.
func (c *Client) left(credential *Credential) time.Duration {
	if credential.until == forever {
		return forever
	}
	return credential.until - c.cache.now()
}
