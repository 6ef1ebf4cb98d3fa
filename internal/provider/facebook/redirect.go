package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// madeUpCode is an authorization code that Facebook has not issued.
const madeUpCode = "AQmade-up-to-verify-a-redirect-uri"

// redirectsAtOnce is how many redirect URIs are asked about at the same time.
const redirectsAtOnce = 8

// VerifyRedirects implements [provider.RedirectVerifier]. Facebook looks at the
// redirect URI before the code: with a code that it has not issued, one that is
// not registered is refused with code 191 or subcode 36008, and for one that is,
// the code is.
func (p verifier) VerifyRedirects(ctx context.Context, c oauth.Client, uris []string) []provider.Finding {
	findings := make([]provider.Finding, len(uris))
	var group errgroup.Group
	group.SetLimit(redirectsAtOnce)
	for i, uri := range uris {
		group.Go(func() error {
			findings[i] = p.verifyRedirect(ctx, c, uri)
			return nil
		})
	}
	_ = group.Wait() // there are findings alone
	return findings
}

func (p verifier) verifyRedirect(ctx context.Context, c oauth.Client, uri string) provider.Finding {
	found := provider.Finding{Check: "redirect_uri"}
	if strings.HasPrefix(uri, "http://") {
		// Of other hosts the configuration takes none. Facebook lets these pass
		// unregistered.
		found.OK, found.Detail = true, uri+" is http on a loopback host: it works while the app is in development mode, and not in live mode"
		return found
	}
	_, err := provider.WithEither(ctx, c, func(c oauth.Client) (tokenAnswer, error) { return p.exchangeMadeUp(ctx, c, uri) })
	var refused *provider.Error
	switch {
	case err == nil:
		found.Detail = uri + ": a code that nobody issued was accepted: graph_url may not lead to Facebook"
	case !errors.As(err, &refused):
		found.Detail = uri + ": " + err.Error()
	case refused.Code == 191, refused.Subcode == subcodeRedirectMismatch, strings.Contains(refused.Message, "your redirect_uri is identical"):
		found.Detail = uri + " is not registered with the app: add it, to the letter, to Facebook Login, Settings, Valid OAuth Redirect URIs, in the App Dashboard (" + refused.Error() + ")"
	case refused.Code == 100:
		found.OK, found.Detail = true, uri+" is registered with the app"
	default:
		found.Detail = uri + ": it cannot be told whether it is registered: " + refused.Error()
	}
	return found
}

func (p verifier) exchangeMadeUp(ctx context.Context, c oauth.Client, uri string) (answer tokenAnswer, err error) {
	err = p.call(ctx, request{
		op:      "exchanging a made-up code",
		token:   true,
		method:  http.MethodPost,
		url:     c.APIBase + "/oauth/access_token", // no version, which may be the trouble
		form:    url.Values{"client_id": {c.ID}, "client_secret": {c.Secret.Reveal()}, "redirect_uri": {uri}, "code": {madeUpCode}},
		secrets: []oauth.Secret{c.Secret},
	}, &answer)
	return answer, err
}
