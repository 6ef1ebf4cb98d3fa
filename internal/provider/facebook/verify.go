package facebook

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// lastDays are the days on which versions of the Graph API end (Meta: "Graph
// API Changelog", as of November 2026). A version that is not here is newer, or
// long gone.
var lastDays = map[string]time.Time{
	"v19.0": day(2026, time.May, 21),
	"v20.0": day(2026, time.September, 24),
	"v21.0": day(2027, time.January, 21),
	"v22.0": day(2027, time.May, 20),
	"v23.0": day(2027, time.October, 8),
	"v24.0": day(2028, time.February, 18),
	"v25.0": day(2028, time.July, 29),
}

// newest is the version that this build was written for, released on 2026-11-04.
const newest = "v27.0"

// endless are the versions whose end Meta has not announced.
var endless = []string{"v26.0", newest}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

// maxSkew is how far the provider's clock may be from ours. A time-stamped
// proof is valid for five minutes.
const maxSkew = 2 * time.Minute

// verifier asks whether a client is set up as it should be.
type verifier struct{ *graph }

// Verify implements [provider.Provider].
func (p verifier) Verify(ctx context.Context, c oauth.Client) []provider.Finding {
	return append(append(p.verifySecrets(ctx, c), p.verifyVersion(ctx, c)...), appMode)
}

// verifySecrets looks at both secrets of a client that has two. Facebook
// accepts one of them, and which is remembered.
func (p verifier) verifySecrets(ctx context.Context, c oauth.Client) []provider.Finding {
	secret := p.verifySecret(ctx, c, "client_secret", c.Secret)
	if c.OtherSecret.IsZero() {
		return []provider.Finding{secret}
	}
	former := p.verifySecret(ctx, c, "former_client_secret", c.OtherSecret)
	secret.Expected, former.Expected = former.OK, secret.OK
	if secret.OK != former.OK && c.Accepted != nil {
		accepted := c.Secret
		if former.OK {
			accepted = c.OtherSecret
		}
		c.Accepted(ctx, accepted)
	}
	return []provider.Finding{secret, former}
}

// appMode is all that can be found out of an app's mode: no field of the API
// has it.
var appMode = provider.Finding{
	Check: "app_mode", OK: true,
	Detail: "the API does not tell an app's mode: in development mode only people with a role in the app can log in; see App Mode at the top of the App Dashboard",
}

// verifySecret asks for an app access token (Meta: "Access Tokens"), which
// needs nothing but the client's id and secret, and names no version, which may
// be the trouble.
func (p verifier) verifySecret(ctx context.Context, c oauth.Client, check string, secret oauth.Secret) provider.Finding {
	var answer tokenAnswer
	err := p.call(ctx, request{
		op:      "asking for an app token",
		token:   true,
		method:  http.MethodPost,
		url:     c.APIBase + "/oauth/access_token",
		form:    url.Values{"grant_type": {"client_credentials"}, "client_id": {c.ID}, "client_secret": {secret.Reveal()}},
		secrets: []oauth.Secret{secret},
	}, &answer)
	if err != nil {
		return provider.Finding{Check: check, Detail: err.Error() + "; compare client_id and client_secret with App settings, Basic"}
	}
	return provider.Finding{Check: check, OK: true, Detail: "the app id and this secret are accepted"}
}

// verifyVersion asks for nothing, with no token: a version that Facebook knows
// says that the token is missing. The answer's header names the version that
// served it, and its date the provider's clock.
func (p verifier) verifyVersion(ctx context.Context, c oauth.Client) []provider.Finding {
	var (
		header  http.Header
		refusal *provider.Error
	)
	err := p.call(ctx, request{op: "asking without a token", method: http.MethodGet, url: c.APIBase + "/" + c.APIVersion + "/me", header: &header}, &struct{}{})
	version := provider.Finding{Check: "graph_version"}
	served := header.Get("Facebook-Api-Version")
	switch {
	case errors.As(err, &refusal) && strings.Contains(refusal.Message, "Unknown path components"):
		version.Detail = c.APIVersion + " is not known; choose one of those that Meta's changelog lists"
	case refusal != nil && refusal.Code == 0:
		version.Detail = refusal.Error()
	case served == "" && (refusal == nil || refusal.Code != 2500 && refusal.Code != 104):
		version.Detail = "the answer does not name the version that served it: graph_url may not lead to Facebook"
		if refusal != nil {
			version.Detail = refusal.Error()
		}
	case served != "" && served != c.APIVersion:
		version.Detail = fmt.Sprintf("%s has ended: calls are served by %s; choose a newer graph_version", c.APIVersion, served)
	case served == "" && ended(c.APIVersion, p.now()):
		version.Detail = c.APIVersion + " has ended; choose a newer graph_version"
	default:
		version.OK, version.Detail = true, c.APIVersion+" is served"
		if last, known := lastDays[c.APIVersion]; known {
			version.Detail += ", until " + last.Format(time.DateOnly)
		}
	}
	return []provider.Finding{version, p.verifyClock(header)}
}

func ended(version string, now time.Time) bool {
	last, known := lastDays[version]
	return known && !now.Before(last)
}

func (p verifier) verifyClock(header http.Header) provider.Finding {
	date, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		return provider.Finding{Check: "clock_skew", Detail: "the answer tells no date"}
	}
	skew := p.now().Sub(date).Round(time.Second)
	return provider.Finding{
		Check: "clock_skew", OK: skew.Abs() <= maxSkew,
		Detail: fmt.Sprintf("this server's clock is %s ahead of the provider's; proofs that are stamped with the time bear %s", skew, maxSkew),
	}
}
