package authpipetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"strconv"
	"strings"
	"time"
)

// Messages about tokens, as public reports have them.
const (
	noTokenForMe   = "An active access token must be used to query information about the current user."
	noToken        = "An access token is required to request this resource."
	notAToken      = "Invalid OAuth access token - Cannot parse access token"
	badSignature   = "Invalid OAuth access token signature."
	proofMissing   = "API calls from the server require an appsecret_proof argument"
	proofIncorrect = "Invalid appsecret_proof provided in the API argument"
)

// proofLife is how long a time-stamped proof is good ("Login Security").
const proofLife = 5 * time.Minute

// authenticate finds the live token that a call is made with, checks its proof, and counts the call.
func (f *Facebook) authenticate(c *call) (*token, error) {
	value := c.accessToken()
	if value == "" && c.node == "me" {
		return nil, oauthError(codeQuery, noTokenForMe)
	}
	if value == "" {
		return nil, oauthError(codeTokenRequired, noToken)
	}
	t, err := f.find(value)
	if err != nil {
		return nil, err
	}
	c.app = f.books.apps[t.app]
	if flaw := f.flaw(t); flaw != nil {
		return nil, flawed(flaw)
	}
	if err := f.checkProof(c, t); err != nil {
		return nil, err
	}
	return t, f.limit(c, t)
}

// accessToken is the call's: a parameter, or the Authorization header.
func (c *call) accessToken() string {
	if value := c.param("access_token"); value != "" {
		return value
	}
	scheme, value, _ := strings.Cut(c.request.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") || strings.EqualFold(scheme, "OAuth") {
		return value
	}
	return ""
}

// find looks a token up, dead or alive.
func (f *Facebook) find(value string) (*token, error) {
	if id, rest, isApp := strings.Cut(value, "|"); isApp {
		app := f.books.apps[id]
		if app == nil || !app.hasSecret(rest) && rest != app.appTokenSuffix() {
			return nil, tokenError(0, badSignature)
		}
		return &token{value: value, kind: KindApp, app: id}, nil
	}
	if t := f.books.tokens[value]; t != nil {
		return t, nil
	}
	refused := tokenError(0, notAToken)
	refused.status = f.options().TokenErrorStatus
	return nil, refused
}

// appTokenSuffix is the second half of the app token that client_credentials gives. It is made of the secret, and so dies
// with it.
func (a *App) appTokenSuffix() string {
	sum := hmac.New(sha256.New, []byte(a.Secret))
	sum.Write([]byte("app token of " + a.ID))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))[:27]
}

// checkProof checks appsecret_proof: plain, or with a time ("Login Security"). A proof that is not required is checked all
// the same. An app token proves the secret by itself.
func (f *Facebook) checkProof(c *call, t *token) error {
	proof := c.param("appsecret_proof")
	if proof == "" {
		if c.app.RequireAppSecret && t.kind != KindApp {
			return methodError(codeInvalid, 0, proofMissing)
		}
		return nil
	}
	message := t.value
	if stamp := c.param("appsecret_time"); stamp != "" {
		seconds, err := strconv.ParseInt(stamp, 10, 64)
		if err != nil || f.options().Now().Sub(time.Unix(seconds, 0)).Abs() > proofLife {
			return f.wrongProof()
		}
		message += "|" + stamp
	}
	if proof != hexHMAC(c.app.Secret, message) { // plainly: the simulator guards nothing
		return f.wrongProof()
	}
	return nil
}

func (f *Facebook) wrongProof() refusal {
	if f.options().ProofErrorOAuth {
		return oauthError(codeUnknown, proofIncorrect)
	}
	return methodError(codeInvalid, 0, proofIncorrect)
}

// client is the app that client_id and client_secret name, at the token endpoint.
func (f *Facebook) client(c *call) (app *App, secret string, err error) {
	id, secret := c.param("client_id"), c.param("client_secret")
	if user, password, basic := c.request.BasicAuth(); basic && id == "" && f.options().AcceptBasicAuth {
		id, secret = user, password
	}
	if id == "" {
		return nil, "", oauthError(codeApplication, "Missing client_id parameter.")
	}
	if c.app = f.books.apps[id]; c.app == nil {
		return nil, "", oauthError(codeApplication, "Error validating application. Invalid application ID.")
	}
	if secret != "" && !c.app.hasSecret(secret) {
		return nil, "", errClientSecret()
	}
	return c.app, secret, nil
}

// errClientSecret has code 1, which elsewhere means a passing trouble at Facebook.
func errClientSecret() refusal {
	return oauthError(codeUnknown, "Error validating client secret.")
}
