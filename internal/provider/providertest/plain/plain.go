package plain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// A Provider is the dialect of a [Server] that has no revocation. Make one with [New].
type Provider struct {
	http *http.Client
	now  func() time.Time
	skew atomic.Pointer[time.Duration]
}

// New returns the server as seen through transport, by the clock now.
func New(transport http.RoundTripper, now func() time.Time) *Provider {
	return &Provider{http: provider.HTTPClient(transport), now: now}
}

// A Revoking is the dialect of a [Server] that has revocation.
type Revoking struct{ *Provider }

// NewRevoking is [New] with revocation.
func NewRevoking(transport http.RoundTripper, now func() time.Time) Revoking {
	return Revoking{New(transport, now)}
}

var (
	_ provider.Provider = (*Provider)(nil)
	_ provider.Revoker  = Revoking{}
)

// DisplayName implements [provider.Provider].
func (*Provider) DisplayName() string { return "Plain" }

// Defaults implements [provider.Provider].
func (*Provider) Defaults() provider.Defaults {
	return provider.Defaults{AuthorizationBase: "https://plain.example.com", APIBase: "https://plain.example.com", CodeLife: CodeLife}
}

// Versions implements [provider.Provider].
func (*Provider) Versions() []string { return nil }

// Scopes implements [provider.Provider].
func (*Provider) Scopes() []string { return nil }

// CheckScope implements [provider.Provider].
func (*Provider) CheckScope(string) string { return "" }

// CheckClient implements [provider.Provider].
func (*Provider) CheckClient(oauth.Client) error { return nil }

// BindsPKCE implements [provider.Provider].
func (*Provider) BindsPKCE([]string) bool { return true }

// ExplainImport implements [provider.Provider].
func (*Provider) ExplainImport(*provider.Error, oauth.Secret) provider.Explanation {
	return provider.Explanation{}
}

// Skew implements [provider.Provider].
func (p *Provider) Skew() (ahead time.Duration, known bool) {
	if skew := p.skew.Load(); skew != nil {
		return *skew, true
	}
	return 0, false
}

// Served implements [provider.Provider].
func (*Provider) Served() string { return "" }

// AuthorizationURL implements [provider.Provider].
func (*Provider) AuthorizationURL(c oauth.Client, r provider.AuthorizationRequest) (string, error) {
	q := url.Values{"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {r.RedirectURI}, "state": {r.State.Reveal()}}
	if len(r.Scopes) > 0 {
		q.Set("scope", strings.Join(r.Scopes, " "))
	}
	if !r.Verifier.IsZero() {
		q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(r.Verifier.Reveal()))
		q.Set("code_challenge_method", "S256")
	}
	return c.AuthorizationBase + "/authorize?" + q.Encode(), nil
}

// tokenAnswer is RFC 6749, section 5.1.
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
	NotBefore    int64  `json:"refresh_not_before"`
}

// Exchange implements [provider.Provider].
func (p *Provider) Exchange(ctx context.Context, c oauth.Client, g provider.Grant) (oauth.Token, error) {
	const op = "exchanging the code"
	t, err := p.tokenOf(ctx, c, op, url.Values{
		"grant_type": {"authorization_code"}, "code": {g.Code.Reveal()}, "redirect_uri": {g.RedirectURI}, "code_verifier": {g.Verifier.Reveal()},
	}, g.Code, g.Verifier)
	if e := invalidGrant(err); e != nil {
		e.Class, e.Err = provider.Caller, provider.ErrCodeRefused
		return oauth.Token{}, e
	}
	return t, err
}

// Settle implements [provider.Provider].
func (p *Provider) Settle(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	return p.Inspect(ctx, c, t)
}

// Refresh implements [provider.Provider]. A request whose answer was lost is repeated at
// once: within its grace, the server accepts that. A token without a refresh token cannot be
// extended.
func (p *Provider) Refresh(ctx context.Context, c oauth.Client, old oauth.Token) (oauth.Token, error) {
	if !old.Refreshable() {
		return p.Inspect(ctx, c, old)
	}
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {old.RefreshToken.Reveal()}}
	t, err := p.tokenOf(ctx, c, "refreshing the token", form, old.AccessToken, old.RefreshToken)
	if provider.ClassOf(err) == provider.Transient && err != nil && ctx.Err() == nil {
		t, err = p.tokenOf(ctx, c, "refreshing the token", form, old.AccessToken, old.RefreshToken)
	}
	if e := invalidGrant(err); e != nil {
		return oauth.Token{}, e
	}
	if err != nil {
		return oauth.Token{}, err
	}
	t.Account, t.Kind = old.Account, old.Kind
	if !t.Refreshable() {
		t.RefreshToken = old.RefreshToken
	}
	if t.Scopes == nil {
		t.Scopes = old.Scopes
	}
	return t, nil
}

// Inspect implements [provider.Provider] (RFC 7662).
func (p *Provider) Inspect(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	answer, err := p.introspect(ctx, c, t.AccessToken, t)
	if err == nil && !answer.active() && t.Refreshable() {
		if answer, err = p.introspect(ctx, c, t.RefreshToken, t); err == nil && answer.active() {
			t.ExpiresAt, t.ExpiryUnknown = p.now().UTC(), false
			return t, nil
		}
	}
	switch {
	case err != nil:
		return oauth.Token{}, err
	case !answer.active():
		return oauth.Token{}, &provider.Error{Class: provider.NeedsReauth, Op: inspecting, Message: "the token is not active"}
	case answer.Client != c.ID:
		return oauth.Token{}, &provider.Error{Class: provider.Caller, Op: inspecting, Message: "the token belongs to another client"}
	}
	t.Account, t.Scopes = answer.Subject, slices.Sorted(slices.Values(strings.Fields(answer.Scope)))
	if answer.Ends > 0 {
		t.ExpiresAt, t.ExpiryUnknown = time.Unix(answer.Ends, 0).UTC(), false
	}
	return t, nil
}

const inspecting = "inspecting the token"

type introspection struct {
	Active  *bool  `json:"active"`
	Client  string `json:"client_id"`
	Subject string `json:"sub"`
	Scope   string `json:"scope"`
	Ends    int64  `json:"exp"`
}

func (i introspection) active() bool { return *i.Active }

func (p *Provider) introspect(ctx context.Context, c oauth.Client, token oauth.Secret, t oauth.Token) (answer introspection, err error) {
	answer, err = provider.WithEither(ctx, c, func(c oauth.Client) (answer introspection, err error) {
		err = p.post(ctx, c, inspecting, "/introspect", url.Values{"token": {token.Reveal()}}, &answer, t.AccessToken, t.RefreshToken, token)
		return answer, err
	})
	if err == nil && answer.Active == nil {
		err = &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the answer does not say whether the token is active"}
	}
	return answer, err
}

// Revoke implements [provider.Revoker] (RFC 7009).
func (p Revoking) Revoke(ctx context.Context, c oauth.Client, t oauth.Token) error {
	token := t.RefreshToken
	if !t.Refreshable() {
		token = t.AccessToken
	}
	_, err := provider.WithEither(ctx, c, func(c oauth.Client) (struct{}, error) {
		return struct{}{}, p.post(ctx, c, "revoking the token", "/revoke", url.Values{"token": {token.Reveal()}}, nil, t.AccessToken, t.RefreshToken)
	})
	return err
}

// RevokesAlone implements [provider.Revoker].
func (Revoking) RevokesAlone(oauth.Token) bool { return true }

// Probe implements [provider.Provider]: a made-up token is not active.
func (p *Provider) Probe(ctx context.Context, c oauth.Client) error {
	_, err := p.introspect(ctx, c, oauth.NewSecret("made-up-to-probe"), oauth.Token{})
	return err
}

// Verify implements [provider.Provider].
func (p *Provider) Verify(ctx context.Context, c oauth.Client) []provider.Finding {
	verify := func(check string, secret oauth.Secret) provider.Finding {
		alone := c
		alone.Secret, alone.OtherSecret = secret, oauth.Secret{}
		if err := p.Probe(ctx, alone); err != nil {
			return provider.Finding{Check: check, Detail: err.Error()}
		}
		return provider.Finding{Check: check, OK: true, Detail: "the client and this secret are accepted"}
	}
	secret := verify("client_secret", c.Secret)
	if c.OtherSecret.IsZero() {
		return []provider.Finding{secret}
	}
	former := verify("former_client_secret", c.OtherSecret)
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

func (p *Provider) tokenOf(ctx context.Context, c oauth.Client, op string, form url.Values, secrets ...oauth.Secret) (oauth.Token, error) {
	answer, err := provider.WithEither(ctx, c, func(c oauth.Client) (answer tokenAnswer, err error) {
		err = p.post(ctx, c, op, "/token", form, &answer, secrets...)
		return answer, err
	})
	switch {
	case err != nil:
		return oauth.Token{}, err
	case answer.AccessToken == "":
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: op, Message: "the answer holds no access_token"}
	}
	now := p.now().UTC()
	t := oauth.Token{
		AccessToken: oauth.NewSecret(answer.AccessToken), RefreshToken: oauth.NewSecret(answer.RefreshToken), Type: "bearer", IssuedAt: now,
		ExpiryUnknown: answer.ExpiresIn <= 0,
	}
	if answer.ExpiresIn > 0 {
		t.ExpiresAt = now.Add(time.Duration(answer.ExpiresIn) * time.Second)
	}
	if answer.NotBefore > 0 {
		t.RefreshAfter = now.Add(time.Duration(answer.NotBefore) * time.Second)
	}
	if answer.Scope != "" {
		t.Scopes = slices.Sorted(slices.Values(strings.Fields(answer.Scope)))
	}
	return t, nil
}

// invalidGrant returns err if that is how the server refused a code or a token.
func invalidGrant(err error) *provider.Error {
	var e *provider.Error
	if errors.As(err, &e) && e.Class == provider.NeedsReauth {
		return e
	}
	return nil
}

// post makes a call with the client's credentials in the header (RFC 6749, section 2.3.1).
// into is nil where only the status counts.
func (p *Provider) post(ctx context.Context, c oauth.Client, op, path string, form url.Values, into any, secrets ...oauth.Secret) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.APIBase+path, strings.NewReader(form.Encode()))
	if err != nil {
		return &provider.Error{Class: provider.Misconfigured, Op: op, Message: "the provider's URL is malformed"}
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret.Reveal()))
	resp, err := p.http.Do(r)
	if err != nil {
		return provider.Unreachable(op, err)
	}
	defer resp.Body.Close()
	if date, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		skew := p.now().Sub(date).Round(time.Second)
		p.skew.Store(&skew)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return provider.Unreachable(op, err)
	}
	if resp.StatusCode != http.StatusOK {
		return p.refusal(op, resp, body, append(secrets, c.Secret))
	}
	if into != nil && json.Unmarshal(body, into) != nil {
		return &provider.Error{Class: provider.Transient, Op: op, Message: "the answer is not the JSON that was expected"}
	}
	return nil
}

// refusal is RFC 6749, section 5.2. What is no such error is transient.
func (p *Provider) refusal(op string, resp *http.Response, body []byte, secrets []oauth.Secret) error {
	var answer struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	e := &provider.Error{Class: provider.Transient, Op: op, Message: fmt.Sprintf("the provider answered with status %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))}
	if resp.StatusCode == http.StatusTooManyRequests {
		e.Class = provider.Throttled
		if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
			e.Until = p.now().UTC().Add(time.Duration(seconds) * time.Second)
		}
		return e
	}
	if resp.StatusCode >= http.StatusInternalServerError || json.Unmarshal(body, &answer) != nil || answer.Error == "" {
		return e
	}
	e.Message = provider.Text(strings.TrimSpace(answer.Error+" "+answer.Description), nil, secrets...)
	switch answer.Error {
	case "invalid_client", "unauthorized_client":
		e.Class = provider.Misconfigured
	case "invalid_grant":
		e.Class = provider.NeedsReauth
	case "invalid_request", "invalid_scope", "unsupported_grant_type", "unsupported_token_type":
		e.Class = provider.Caller
	}
	return e
}
