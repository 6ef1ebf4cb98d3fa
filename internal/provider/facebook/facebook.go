// Package facebook speaks Facebook's dialect of OAuth 2.0.
//
// Facebook issues no refresh tokens. A login yields a short-lived or a
// long-lived user token; a short one is traded for a long one of about 60 days
// with the grant type fb_exchange_token, and so is a long one for a fresh one
// (Meta: "Long-Lived Access Tokens"). What is true of a token, debug_token
// knows: the other answers are not trusted (Meta: "Debug-Token").
package facebook

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// longLived separates the two kinds of user token. Meta promises a short-lived
// token "hours" and a long-lived one about 60 days.
const longLived = 7 * 24 * time.Hour

// A Provider is Facebook. Make one with [New]. Its parts are by subject.
type Provider struct {
	*graph
	description
	inspector
	revoker
	verifier
	devices
	pages
	notices
}

var (
	_ provider.Provider       = (*Provider)(nil)
	_ provider.BatchInspector = (*Provider)(nil)
	_ provider.Revoker        = (*Provider)(nil)
	_ provider.Prover         = (*Provider)(nil)
	_ provider.Pager          = (*Provider)(nil)

	_ provider.RedirectVerifier = (*Provider)(nil)

	_ provider.DeviceFlow     = (*Provider)(nil)
	_ provider.SignedRequests = (*Provider)(nil)
	_ provider.Notifier       = (*Provider)(nil)
)

// New returns Facebook as seen through transport, by the clock now.
func New(transport http.RoundTripper, now func() time.Time) *Provider {
	g := newGraph(transport, now)
	return &Provider{
		graph: g, description: description{g}, inspector: inspector{g}, revoker: revoker{inspector{g}}, verifier: verifier{g},
		devices: devices{g}, pages: pages{g}, notices: notices{g},
	}
}

// AuthorizationURL implements [provider.Provider] (Meta: "Manually Build a
// Login Flow").
func (*Provider) AuthorizationURL(c oauth.Client, r provider.AuthorizationRequest) (string, error) {
	q := url.Values{
		"client_id":     {c.ID},
		"redirect_uri":  {r.RedirectURI},
		"state":         {r.State.Reveal()},
		"response_type": {"code"},
	}
	if r.ConfigID != "" {
		// The configuration says the permissions; a scope beside one for system
		// users must not be (Meta: "Facebook Login for Business").
		q.Set("config_id", r.ConfigID)
		// Without it, a configuration of system users' tokens yields no code.
		q.Set("override_default_response_type", "true")
	} else {
		q.Set("scope", strings.Join(r.Scopes, ","))
	}
	if !r.Nonce.IsZero() {
		q.Set("nonce", r.Nonce.Reveal())
	}
	switch {
	case r.Reauthorize:
		q.Set("auth_type", "rerequest,reauthorize")
	case r.RenewDataAccess:
		q.Set("auth_type", "reauthorize")
	}
	if !r.Verifier.IsZero() {
		q.Set("code_challenge", oauth2.S256ChallengeFromVerifier(r.Verifier.Reveal()))
		q.Set("code_challenge_method", "S256")
	}
	return c.AuthorizationBase + "/" + c.APIVersion + "/dialog/oauth?" + q.Encode(), nil
}

// Exchange implements [provider.Provider].
func (p *Provider) Exchange(ctx context.Context, c oauth.Client, g provider.Grant) (oauth.Token, error) {
	return provider.WithEither(ctx, c, func(c oauth.Client) (oauth.Token, error) { return p.exchange(ctx, c, g) })
}

func (p *Provider) exchange(ctx context.Context, c oauth.Client, g provider.Grant) (oauth.Token, error) {
	keys, err := p.keysFor(ctx, c, g)
	if err != nil {
		return oauth.Token{}, err
	}
	config := oauth2.Config{
		ClientID:     c.ID,
		ClientSecret: c.Secret.Reveal(),
		RedirectURL:  g.RedirectURI,
		Endpoint: oauth2.Endpoint{
			TokenURL: c.APIBase + "/" + c.APIVersion + "/oauth/access_token",
			// Detection would send a refused code a second time.
			AuthStyle: oauth2.AuthStyleInParams,
		},
	}
	var options []oauth2.AuthCodeOption
	if !g.Verifier.IsZero() {
		options = append(options, oauth2.VerifierOption(g.Verifier.Reveal()))
	}
	// x/oauth2 says little about an answer that it does not expect, and its errors
	// show all of it: the answer is judged here.
	last := &recorder{next: p.http.Transport}
	client := &http.Client{Transport: last, CheckRedirect: p.http.CheckRedirect}
	t, err := config.Exchange(context.WithValue(ctx, oauth2.HTTPClient, client), g.Code.Reveal(), options...)
	if err != nil {
		err = p.exchangeError(last, request{op: "exchanging the code", token: true, secrets: []oauth.Secret{c.Secret, g.Code, g.Verifier}})
	}
	if !g.Verifier.IsZero() && dropsChallenge(err) {
		g.Verifier = oauth.Secret{}
		return p.exchange(ctx, c, g)
	}
	if err == nil {
		err = p.verifyIDToken(ctx, c, g, keys, t)
	}
	if err != nil {
		return oauth.Token{}, err
	}
	return p.token(tokenAnswer{t.AccessToken, t.TokenType, number(t.ExpiresIn)}), nil
}

// dropsChallenge reports whether the code verifier was refused because the
// login dialog had dropped its challenge. Facebook does that without a word,
// and only the text says so.
func dropsChallenge(err error) bool {
	var e *provider.Error
	return errors.As(err, &e) && e.Code == 1 && strings.Contains(e.Message, "code_verifier param is provided without a code_challenge")
}

// Settle implements [provider.Provider].
func (p *Provider) Settle(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	settled, err := t, error(nil)
	if !p.short(t) {
		settled, err = p.Inspect(ctx, c, t)
	}
	if err == nil && p.short(settled) {
		account := settled.Account
		settled, err = p.Refresh(ctx, c, settled)
		err = withAccount(err, account)
	}
	switch {
	case err != nil:
		return oauth.Token{}, err
	case settled.Kind == kindPage || settled.Kind == kindApp:
		// A page's names the person as its account, whose whole grant would hang on
		// it.
		return oauth.Token{}, &provider.Error{Class: provider.Caller, Op: "inspecting the token", Message: "it is a page's or an app's, and no person's or system user's"}
	}
	return p.withBusiness(ctx, c, settled)
}

// withAccount returns err with the account that it is about.
func withAccount(err error, account string) error {
	var e *provider.Error
	if !errors.As(err, &e) || account == "" {
		return err
	}
	told := *e
	told.Account = account
	return &told
}

// short reports whether the token is known to be short-lived.
func (p *Provider) short(t oauth.Token) bool {
	return !t.ExpiryUnknown && !t.ExpiresAt.IsZero() && t.ExpiresAt.Sub(p.now()) < longLived
}

// Refresh implements [provider.Provider].
func (p *Provider) Refresh(ctx context.Context, c oauth.Client, old oauth.Token) (oauth.Token, error) {
	t, err := p.extend(ctx, c, old)
	if err != nil {
		return oauth.Token{}, err
	}
	return p.Inspect(ctx, c, t)
}

// extend trades a living token for a long-lived one (Meta: "Long-Lived Access
// Tokens").
func (p *Provider) extend(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	return provider.WithEither(ctx, c, func(c oauth.Client) (oauth.Token, error) { return p.exchangeToken(ctx, c, t) })
}

func (p *Provider) exchangeToken(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	form := url.Values{
		"grant_type":        {"fb_exchange_token"},
		"client_id":         {c.ID},
		"client_secret":     {c.Secret.Reveal()},
		"fb_exchange_token": {t.AccessToken.Reveal()},
	}
	if p.RevokesAlone(t) {
		form.Set("set_token_expires_in_60_days", "true")
	}
	var answer tokenAnswer
	err := p.call(ctx, request{
		op:      "extending the token",
		token:   true,
		method:  http.MethodPost,
		url:     c.APIBase + "/" + c.APIVersion + "/oauth/access_token",
		form:    form,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &answer)
	if err != nil {
		return oauth.Token{}, integrationRemoved(err, t)
	}
	if answer.AccessToken == "" {
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: "extending the token", Message: "the answer holds no access_token"}
	}
	fresh := p.token(answer)
	fresh.Business = t.Business
	return fresh, nil
}

// Proof implements [provider.Prover] (Meta: "Login Security", appsecret_proof).
// The time-stamped form is valid for five minutes.
func (*Provider) Proof(c oauth.Client, t oauth.Token, at time.Time) map[string]any {
	message := t.AccessToken.Reveal()
	fields := map[string]any{}
	if !at.IsZero() {
		message += "|" + strconv.FormatInt(at.Unix(), 10)
		fields["appsecret_time"] = at.Unix()
	}
	fields["appsecret_proof"] = proof(c, message)
	return fields
}

func proof(c oauth.Client, message string) string {
	mac := hmac.New(sha256.New, []byte(c.Secret.Reveal()))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

// appToken is the app's own access token in its literal form (Meta: "Access
// Tokens").
func appToken(c oauth.Client) oauth.Secret {
	return oauth.NewSecret(c.ID + "|" + c.Secret.Reveal())
}

// appProof is the proof of the app's own token. Facebook asks for none, and is
// known to take one with any token.
func appProof(c oauth.Client) string { return proof(c, appToken(c).Reveal()) }

// tokenAnswer is the successful answer of the token endpoint. An expires_in
// that is absent or not positive says nothing: Facebook leaves it out of
// answers for tokens that do expire.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   number `json:"expires_in"`
}

func (p *graph) token(a tokenAnswer) oauth.Token {
	t := oauth.Token{AccessToken: oauth.NewSecret(a.AccessToken), Type: "bearer", IssuedAt: p.now().UTC()}
	if a.ExpiresIn > 0 {
		t.ExpiresAt = t.IssuedAt.Add(time.Duration(a.ExpiresIn) * time.Second)
	} else {
		t.ExpiryUnknown = true
	}
	return t
}
