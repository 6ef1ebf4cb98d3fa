package authpipetest

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Messages about tokens, from public reports.
const (
	noTokenForMe   = "An active access token must be used to query information about the current user."
	noToken        = "An access token is required to request this resource."
	notAToken      = "Invalid OAuth access token - Cannot parse access token"
	badSignature   = "Invalid OAuth access token signature."
	proofMissing   = "API calls from the server require an appsecret_proof argument"
	proofIncorrect = "Invalid appsecret_proof provided in the API argument"
)

// proofLife is how long a time-stamped proof is valid ("Login Security").
const proofLife = 5 * time.Minute

// graph is shared by all endpoints of the Graph API: authentication, rate limits, and the form of an answer.
type graph struct {
	*settings
	directory *directory
	tokens    *tokens
	throttles *throttles
}

// endpoint wraps a handler of the Graph API: it refuses unknown versions and discontinued features, and encodes the
// answer.
func (gr *graph) endpoint(serve func(*call) (any, error)) func(*call) answer {
	return func(c *call) answer {
		if !gr.knows(c.version) {
			return gr.answer(c, nil, unknownPath(c))
		}
		if err := gr.refuseDiscontinued(c); err != nil {
			return gr.answer(c, nil, err)
		}
		body, err := serve(c)
		return gr.answer(c, body, err)
	}
}

// refuseDiscontinued refuses features that new apps may not use. The error is [Options].DiscontinuedError.
func (gr *graph) refuseDiscontinued(c *call) error {
	feature := c.discontinued()
	if feature == "" || gr.options().OldApps {
		return nil
	}
	c.entry.Discontinued = feature
	if e := gr.options().DiscontinuedError; e != nil {
		r := invalidToken(e)
		r.Type, r.challenge = cmp.Or(e.Type, "OAuthException"), ""
		return r
	}
	return methodError(codeInvalid, 0, "(#100) %s is not available to this app", feature)
}

// unknown answers a call that matches no route: a wrong method on a node, or an unknown path.
func (gr *graph) unknown(c *call) (any, error) {
	if c.path == "" {
		return nil, unsupported(c)
	}
	if node, _, deeper := strings.Cut(c.path, "/"); !deeper && c.request.Method != http.MethodGet {
		return nil, noSuchObject(c, node)
	}
	return nil, unknownPath(c)
}

// authenticate returns the valid token of a call, after checking its proof and the rate limits.
func (gr *graph) authenticate(c *call) (*token, error) {
	value := c.accessToken()
	if value == "" && c.node == "me" {
		return nil, oauthError(codeQuery, noTokenForMe)
	}
	if value == "" {
		return nil, oauthError(codeTokenRequired, noToken)
	}
	t, err := gr.tokens.find(value)
	if err != nil {
		return nil, err
	}
	c.app = gr.directory.apps[t.app]
	if reason := gr.tokens.validate(t); reason != nil {
		return nil, invalidToken(reason)
	}
	if err := gr.checkProof(c, t); err != nil {
		return nil, err
	}
	return t, gr.throttles.limit(c, t)
}

// authenticateManager authenticates a call that needs business_management.
func (gr *graph) authenticateManager(c *call) (*token, error) {
	t, err := gr.authenticate(c)
	switch {
	case err != nil:
		return nil, err
	case t.kind != KindUser && t.kind != KindSystemUser || !t.has(managesBusinesses):
		return nil, gr.permissionError(mayNotManage)
	}
	return t, nil
}

const mayNotManage = "(#200) Requires business_management permission to manage the object"

// authenticateApp authenticates a call that an app makes about itself.
func (gr *graph) authenticateApp(c *call) error {
	t, err := gr.authenticate(c)
	switch {
	case err != nil:
		return err
	case t.kind != KindApp:
		return oauthError(15, "(#15) This method must be called with an app access_token.")
	case c.node != t.app:
		return noSuchObject(c, c.node)
	}
	return nil
}

// accessToken returns the call's token, from a parameter or the Authorization header.
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

// appTokenSuffix is the second half of the app token that client_credentials gives. It is derived from the secret, and
// so changes with it.
func (a *App) appTokenSuffix() string {
	sum := hmac.New(sha256.New, []byte(a.Secret))
	sum.Write([]byte("app token of " + a.ID))
	return base64.RawURLEncoding.EncodeToString(sum.Sum(nil))[:27]
}

// checkProof checks appsecret_proof, with or without appsecret_time ("Login Security"). A proof is checked even where
// it is not required. An app token needs none: it proves the secret by itself.
func (gr *graph) checkProof(c *call, t *token) error {
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
		if err != nil || gr.options().Now().Sub(time.Unix(seconds, 0)).Abs() > proofLife {
			return gr.wrongProof()
		}
		message += "|" + stamp
	}
	if proof != hexHMAC(c.app.Secret, message) { // need not be constant time: the simulator protects nothing
		return gr.wrongProof()
	}
	return nil
}

func (gr *graph) wrongProof() refusal {
	if gr.options().ProofErrorOAuth {
		return oauthError(codeUnknown, proofIncorrect)
	}
	return methodError(codeInvalid, 0, proofIncorrect)
}

// client returns the app that client_id and client_secret name, at the token endpoint.
func (gr *graph) client(c *call) (app *App, secret string, err error) {
	id, secret := c.param("client_id"), c.param("client_secret")
	if user, password, basic := c.request.BasicAuth(); basic && id == "" && gr.options().AcceptBasicAuth {
		id, secret = user, password
	}
	if id == "" {
		return nil, "", oauthError(codeApplication, "Missing client_id parameter.")
	}
	if c.app = gr.directory.apps[id]; c.app == nil {
		return nil, "", oauthError(codeApplication, "Error validating application. Invalid application ID.")
	}
	if secret != "" && !c.app.hasSecret(secret) {
		return nil, "", errClientSecret()
	}
	return c.app, secret, nil
}

// errClientSecret has code 1, which elsewhere means a transient error at Facebook.
func errClientSecret() refusal {
	return oauthError(codeUnknown, "Error validating client secret.")
}
