package authpipetest

import "time"

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

// tell answers a token, with what is left of its life unless that is to be left out.
func (f *Facebook) tell(t *token, omitExpiresIn bool) tokenAnswer {
	a := tokenAnswer{AccessToken: t.value, TokenType: "bearer"}
	if !omitExpiresIn && !t.expires.IsZero() {
		a.ExpiresIn = int64((t.expires.Sub(f.options().Now()) - answerLag).Seconds())
	}
	return a
}

// exchangeCode is the token endpoint for an authorization code ("Manually Build a Login Flow").
func (f *Facebook) exchangeCode(c *call) (any, error) {
	app, secret, err := f.client(c)
	if err != nil {
		return nil, err
	}
	value := c.param("code")
	presented := f.books.codes[value]
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
	if err := f.redeem(presented, c, secret); err != nil {
		return nil, err
	}
	t := f.bought(presented)
	a := f.tell(t, f.options().CodeOmitsExpiresIn)
	if presented.openID && t.kind == KindUser && t.has(openID) {
		a.IDToken = f.idToken(t, presented.nonce)
	}
	if presented.client {
		a.MachineID = c.machine()
	}
	return a, nil
}

// bought is the token for a code.
func (f *Facebook) bought(presented *code) *token {
	if presented.business != "" {
		return f.issueSystem(presented.grant, presented.business, presented.expires)
	}
	if presented.client {
		return f.issue(presented.grant, LongLife)
	}
	return f.issue(presented.grant, f.options().CodeTokenLife)
}

// redeem spends a code, once all that speaks against it has been looked at.
func (f *Facebook) redeem(presented *code, c *call, secret string) error {
	verifier := c.param("code_verifier")
	switch {
	case secret == "" && !presented.client && (verifier == "" || !presented.challenge.bound()):
		return errClientSecret()
	case presented.used:
		return codeError(subcodeCodeUsed, "This authorization code has been used.")
	case presented.grant.gone:
		return flawed(f.sessionError(&token{app: c.app.ID, person: presented.grant.person}, SubcodeAppNotInstalled))
	case !f.options().Now().Before(presented.issued.Add(f.options().CodeLife)):
		return codeError(subcodeCodeExpired, "This authorization code has expired.")
	case presented.redirectURI != c.param("redirect_uri") && (presented.business == "" || c.param("redirect_uri") != ""):
		presented.used = f.options().MismatchConsumesCode
		return codeError(subcodeMismatch, "Error validating verification code. Please make sure your redirect_uri is "+
			"identical to the one you used in the OAuth dialog request")
	}
	if err := f.checkVerifier(presented.challenge, verifier); err != nil {
		return err
	}
	presented.used = true
	return nil
}
