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
	redirectURI string // empty: issued to the JavaScript SDK
	issued      time.Time
	used        bool
	challenge   challenge
	nonce       string // for the ID token
	openID      bool   // the login asked for an ID token
	client      bool   // for a client without the secret: see clientCode
	business    string // for a token of this business; such a code may be exchanged without a redirect_uri
	expires     bool   // that token expires after 60 days
}

// tokenAnswer is the answer of the token endpoint ("Manually Build a Login Flow"). It never has a scope or a refresh
// token.
type tokenAnswer struct {
	AccessToken string `json:"access_token"`
	TokenType   string `json:"token_type"`
	ExpiresIn   int64  `json:"expires_in,omitempty"`
	IDToken     string `json:"id_token,omitempty"`   // with the scope openid
	MachineID   string `json:"machine_id,omitempty"` // for the code of a client
}

// tokenEndpoint issues tokens for authorization codes, for other tokens and for an app's secret.
type tokenEndpoint struct {
	*settings
	graph      *graph
	tokens     *tokens
	openID     *openID
	businesses *businesses

	codes             map[string]*code
	refusedExtensions map[grantKey]*GraphError // see RefuseExtension
}

func newTokenEndpoint(gr *graph, ts *tokens, o *openID, bs *businesses) *tokenEndpoint {
	return &tokenEndpoint{
		settings: gr.settings, graph: gr, tokens: ts, openID: o, businesses: bs,
		codes: map[string]*code{}, refusedExtensions: map[grantKey]*GraphError{},
	}
}

// issueCode makes the authorization code for a granted login.
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

// tokenFor issues the token for a code.
func (te *tokenEndpoint) tokenFor(presented *code) *token {
	if presented.business != "" {
		return te.tokens.issueSystem(presented.grant, presented.business, presented.expires)
	}
	if presented.client {
		return te.tokens.issue(presented.grant, LongLife)
	}
	return te.tokens.issue(presented.grant, te.options().CodeTokenLife)
}

// redeem marks a code as used, unless something is wrong with it or with the request.
func (te *tokenEndpoint) redeem(presented *code, c *call, secret string) error {
	verifier := c.param("code_verifier")
	switch {
	case secret == "" && !presented.client && (verifier == "" || !presented.challenge.bound()):
		return errClientSecret()
	case presented.used:
		return codeError(subcodeCodeUsed, "This authorization code has been used.")
	case presented.grant.ended:
		return invalidToken(te.tokens.sessionError(&token{app: c.app.ID, person: presented.grant.person}, SubcodeAppNotInstalled))
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

// countingDay is the age from which a long-lived token is extended: Facebook extends once a day.
const countingDay = 24 * time.Hour

// exchangeToken is the token endpoint for fb_exchange_token ("Long-Lived Access Tokens"). It issues another token for
// the one given, which stays valid.
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
	if reason := te.tokens.validate(old); reason != nil {
		return nil, invalidToken(reason)
	}
	if refused := te.refusedExtensions[grantKey{old.app, old.person}]; refused != nil {
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

// RefuseExtension makes every exchange of this person's tokens for longer ones fail with the error, while everything
// else works. This has happened to single people for weeks. A nil error ends it.
func (f *Facebook) RefuseExtension(appID, userID string, refused *GraphError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.endpoints.tokenEndpoint.refusedExtensions[grantKey{appID, userID}] = refused
}

// extend makes the token that an exchange gives for old. again is true if it kept old's expiry because that was counted
// within a day. A token that never expires, such as a page's, stays so; a system user's keeps its expiry unless the
// call has set_token_expires_in_60_days.
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

// appToken is the token endpoint for client_credentials ("Access Tokens"). The app token is valid until the secret is
// reset. It is worth the same as id|secret.
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

// clientCode gives a server a code for its long-lived token, which a client redeems without the secret ("Long-Lived
// Access Tokens": "Get a Long-Lived Token on a Client").
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

// machine is the id by which Facebook recognizes the client that redeems such a code.
func (c *call) machine() string {
	if id := c.param("machine_id"); id != "" {
		return id
	}
	return random(alphanumerics, 24)
}

// PKCEMode selects how the dialog treats a code_challenge. Meta documents PKCE only for logins with the scope openid
// ("OIDC Token with Manual Flow"); for other logins, reports disagree.
type PKCEMode int

const (
	// PKCEWithOpenID binds the challenge of a login with the scope openid and ignores any other, so that sending the
	// verifier breaks the exchange (NangoHQ/nango#7156). A bound code may be exchanged with the verifier, with the
	// secret, or with both.
	PKCEWithOpenID PKCEMode = iota
	// PKCEAlways binds any challenge and refuses an exchange without its verifier, as in 2022 (expo/expo#15980).
	PKCEAlways
)

// challenge is a code_challenge that is bound to a code. The zero value is none.
type challenge struct {
	value string
	s256  bool
}

func (ch challenge) bound() bool { return ch.value != "" }

// bindChallenge returns the challenge to bind, if any. A method other than S256, such as sha256, silently counts as
// plain.
func bindChallenge(mode PKCEMode, value, method string, openid bool) challenge {
	if !openid && mode != PKCEAlways {
		return challenge{}
	}
	return challenge{value: value, s256: method == "S256"}
}

// wellFormed is the syntax of a code_verifier: RFC 7636, section 4.1.
var wellFormed = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`)

// verifies compares a verifier with the challenge: RFC 7636, section 4.6.
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

// checkVerifier checks the code_verifier against the bound challenge.
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
