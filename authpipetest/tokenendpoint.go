package authpipetest

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"regexp"
	"time"
)

// code is an authorization code.
type code struct {
	app         string
	grant       *grant
	redirectURI string // "": it was handed out by the JavaScript SDK
	issued      time.Time
	used        bool
	challenge   challenge
	nonce       string // for the ID token
	openID      bool   // this login asked for an ID token
	client      bool   // the code is for a client, which has no secret: see clientCode
	business    string // the token will be one of this business; such a code may be exchanged without a redirect_uri
	expires     bool   // after 60 days, if it is
}

// tokenAnswer is the token endpoint's ("Manually Build a Login Flow"): never a scope, never a refresh token.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in,omitempty"`
	IDToken     string `json:"id_token,omitempty"`   // with the scope openid
	MachineID   string `json:"machine_id,omitempty"` // for the code of a client
}

// tokenEndpoint gives tokens for codes, for other tokens and for an app's secret.
type tokenEndpoint struct {
	*settings
	graph      *graph
	tokens     *tokens
	openID     *openID
	businesses *businesses

	codes        map[string]*code
	unextendable map[grantKey]*GraphError // what exchanges of a person's tokens are refused with
}

func newTokenEndpoint(gr *graph, ts *tokens, o *openID, bz *businesses) *tokenEndpoint {
	return &tokenEndpoint{
		settings: gr.settings, graph: gr, tokens: ts, openID: o, businesses: bz,
		codes: map[string]*code{}, unextendable: map[grantKey]*GraphError{},
	}
}

// issueCode makes the code for a login that was granted.
func (te *tokenEndpoint) issueCode(l login, g *grant) string {
	value := newCodeValue()
	made := &code{
		app: l.app.ID, grant: g, redirectURI: l.redirectURI, issued: te.options().Now(), challenge: l.challenge,
		nonce: l.nonce, openID: l.asksOpenID(), business: l.business,
	}
	if l.redirectURI == sdkRedirectURI {
		made.redirectURI = ""
	}
	if l.business != "" {
		made.expires = l.configuration.ExpiresIn60Days || te.graph.directory.businesses[l.business].RequireExpiringTokens
	}
	te.codes[value] = made
	return value
}

// exchangeCode is the token endpoint for an authorization code ("Manually Build a Login Flow").
func (te *tokenEndpoint) exchangeCode(c *call) (any, error) {
	app, secret, err := te.graph.client(c)
	if err != nil {
		return nil, err
	}
	value := c.param("code")
	presented := te.codes[value]
	switch {
	case value == "":
		return nil, oauthError(codeUnknown, "Missing authorization code")
	case c.param("redirect_uri") == "" && (presented == nil || presented.business == "" && presented.redirectURI != ""):
		return nil, oauthError(codeRedirectURI, "Missing redirect_uri parameter.")
	}
	if presented == nil || presented.app != app.ID {
		if value := c.param("redirect_uri"); value != "" && !app.redirectsTo(value) {
			return nil, oauthError(codeRedirectURI, "Can't Load URL: The domain of this URL isn't included in the app's domains. "+
				"To be able to load this URL, add all domains and subdomains of your app to the App Domains field in your app settings.")
		}
		return nil, codeError(0, "Invalid verification code format.")
	}
	if err := te.redeem(presented, c, secret); err != nil {
		return nil, err
	}
	t := te.tokenFor(presented)
	a := te.tokens.answer(t, te.options().CodeOmitsExpiresIn)
	if presented.openID && t.kind == KindUser && t.has(scopeOpenID) {
		a.IDToken = te.openID.token(t, presented.nonce)
	}
	if presented.client {
		a.MachineID = c.machine()
	}
	return a, nil
}

// bought is the token for a code.
func (te *tokenEndpoint) tokenFor(presented *code) *token {
	if presented.business != "" {
		return te.tokens.issueSystem(presented.grant, presented.business, presented.expires)
	}
	if presented.client {
		return te.tokens.issue(presented.grant, LongLife)
	}
	return te.tokens.issue(presented.grant, te.options().CodeTokenLife)
}

// redeem spends a code, once all that speaks against it has been looked at.
func (te *tokenEndpoint) redeem(presented *code, c *call, secret string) error {
	verifier := c.param("code_verifier")
	switch {
	case secret == "" && !presented.client && (verifier == "" || !presented.challenge.bound()):
		return errClientSecret()
	case presented.used:
		return codeError(subcodeCodeUsed, "This authorization code has been used.")
	case presented.grant.gone:
		return flawed(te.tokens.sessionError(&token{app: c.app.ID, person: presented.grant.person}, SubcodeAppNotInstalled))
	case !te.options().Now().Before(presented.issued.Add(te.options().CodeLife)):
		return codeError(subcodeCodeExpired, "This authorization code has expired.")
	case presented.redirectURI != c.param("redirect_uri") && (presented.business == "" || c.param("redirect_uri") != ""):
		presented.used = te.options().MismatchConsumesCode
		return codeError(subcodeMismatch, "Error validating verification code. Please make sure your redirect_uri is "+
			"identical to the one you used in the OAuth dialog request")
	}
	if err := te.checkVerifier(presented.challenge, verifier); err != nil {
		return err
	}
	presented.used = true
	return nil
}

// countingDay is how long a long-lived token has to be old to be worth an exchange: Facebook extends once a day.
const countingDay = 24 * time.Hour

// exchangeToken is the token endpoint for fb_exchange_token ("Long-Lived Access Tokens"): another token for the one given,
// which stays valid.
func (te *tokenEndpoint) exchangeToken(c *call) (any, error) {
	app, secret, err := te.graph.client(c)
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
	old, err := te.tokens.find(value)
	switch {
	case err != nil:
		return nil, err
	case old.kind == KindApp:
		return nil, tokenError(0, notAToken)
	case old.app != app.ID:
		return nil, oauthError(codeUnknown, "The access token does not belong to application %s", app.ID)
	}
	if flaw := te.tokens.flaw(old); flaw != nil {
		return nil, flawed(flaw)
	}
	if refused := te.unextendable[grantKey{old.app, old.person}]; refused != nil {
		return nil, refusal{GraphError: *refused, status: http.StatusBadRequest}
	}
	if old.kind == KindSystemUser {
		expires, err := te.businesses.asksToExpire(c, *old)
		switch {
		case err != nil:
			return nil, err
		case expires:
			return te.tokens.answer(te.tokens.addSystem(*old, true), te.options().ExchangeOmitsExpiresIn), nil
		}
	}
	extended, again := te.extend(old)
	omit := te.options().ExchangeOmitsExpiresIn || again && te.options().RepeatOmitsExpiresIn
	return te.tokens.answer(te.tokens.add(extended), omit), nil
}

// RefuseExtension has every exchange of a token of this person for a longer one refused with the error, while all else works, as
// happened to single people for weeks. A nil error ends it.
func (f *Facebook) RefuseExtension(appID, userID string, refused *GraphError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints.tokenEndpoint.unextendable[grantKey{appID, userID}] = refused
}

// extend makes the token that an exchange gives for old, and tells whether the same day brought the same expiry again. A
// token that never expires, such as a page's, stays one; and a system user's keeps its expiry unless the call has
// set_token_expires_in_60_days.
func (te *tokenEndpoint) extend(old *token) (extended token, again bool) {
	now := te.options().Now()
	extended = *old
	extended.issued, extended.long, extended.scopes = now, true, old.effective()
	switch {
	case old.expires.IsZero() || te.options().ExchangeNeverExpires:
		extended.expires = time.Time{}
	case old.long && (old.kind == KindSystemUser || te.options().ReexchangeNeverExtends || now.Sub(old.counted) < countingDay):
		again = true
	default:
		extended.counted, extended.expires = now, now.Add(LongLife)
	}
	return extended, again
}

// appToken is the token endpoint for client_credentials ("Access Tokens"). The app token is good until the secret is
// reset, and no better than id|secret.
func (te *tokenEndpoint) appToken(c *call) (any, error) {
	app, secret, err := te.graph.client(c)
	if err != nil {
		return nil, err
	}
	if secret == "" {
		return nil, errClientSecret()
	}
	return tokenAnswer{AccessToken: app.ID + "|" + app.appTokenSuffix(), TokenType: "bearer"}, nil
}

// clientCode gives a server a code for its long-lived token, which a client redeems without the secret ("Long-Lived Access
// Tokens": "Get a Long-Lived Token on a Client").
func (te *tokenEndpoint) clientCode(c *call) (any, error) {
	app, secret, err := te.graph.client(c)
	switch {
	case err != nil:
		return nil, err
	case secret == "":
		return nil, errClientSecret()
	}
	t, err := te.graph.authenticate(c)
	switch {
	case err != nil:
		return nil, err
	case t.kind != KindUser || t.app != app.ID:
		return nil, oauthError(codeSession, "A user access token is required to request this resource.")
	case c.param("redirect_uri") == "":
		return nil, oauthError(codeRedirectURI, "Missing redirect_uri parameter.")
	}
	value := newCodeValue()
	te.codes[value] = &code{app: app.ID, grant: t.grant, redirectURI: c.param("redirect_uri"), issued: te.options().Now(), client: true}
	return map[string]string{"code": value}, nil
}

// machine names the client that redeems such a code, so that Facebook knows it again.
func (c *call) machine() string {
	if id := c.param("machine_id"); id != "" {
		return id
	}
	return random(alphanumerics, 24)
}

// PKCEMode says what becomes of a code_challenge at the dialog. Meta documents PKCE for logins with the scope openid
// only ("OIDC Token with Manual Flow"); what happens without it has been reported both ways.
type PKCEMode int

const (
	// PKCEWithOpenID binds the challenge of a login with the scope openid and drops any other, so that sending the verifier
	// breaks the exchange (NangoHQ/nango#7156). A bound code may be exchanged with the verifier, with the secret, or both.
	PKCEWithOpenID PKCEMode = iota
	// PKCEAlways is how it was in 2022: any challenge is bound, and the exchange refused without its verifier (expo/expo#15980).
	PKCEAlways
)

// challenge is a code_challenge that was bound to a code; the zero value is none.
type challenge struct {
	value string
	s256  bool
}

func (ch challenge) bound() bool { return ch.value != "" }

// bindChallenge decides what becomes of a challenge. A method that is not S256, such as sha256, silently counts as plain.
func bindChallenge(mode PKCEMode, value, method string, openid bool) challenge {
	if !openid && mode != PKCEAlways {
		return challenge{}
	}
	return challenge{value: value, s256: method == "S256"}
}

// wellFormed is RFC 7636, section 4.1.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// verifies is RFC 7636, section 4.6.
func (ch challenge) verifies(verifier string) bool {
	if !wellFormed.MatchString(verifier) {
		return false
	}
	if ch.s256 {
		sum := sha256.Sum256([]byte(verifier))
		verifier = base64.RawURLEncoding.EncodeToString(sum[:])
	}
	return verifier == ch.value
}

// checkVerifier holds the code_verifier against what was bound.
func (te *tokenEndpoint) checkVerifier(ch challenge, verifier string) error {
	switch {
	case !ch.bound() && verifier != "":
		return oauthError(codeUnknown, "code_verifier param is provided without a code_challenge in authorization request.")
	case !ch.bound(), ch.verifies(verifier), verifier == "" && te.options().PKCE == PKCEWithOpenID:
		return nil
	}
	return oauthError(te.options().VerifierErrorCode, "Invalid code verifier. Code verifier should be a cryptographically random "+
		"string using the characters A-Z, a-z, 0-9, and the punctuation characters -._~ (hyphen, period, underscore, and "+
		"tilde), between 43 and 128 characters long.")
}
