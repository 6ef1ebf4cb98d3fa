package authpipetest

import (
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// dialog is the login dialog and the index page.
type dialog struct {
	*settings
	directory     *directory
	grants        *grants
	tokens        *tokens
	openID        *openID
	tokenEndpoint *tokenEndpoint
}

// serve is the login dialog ("Manually Build a Login Flow"). It redirects only to URIs that the app has registered, and
// shows an error page otherwise.
func (d *dialog) serve(c *call) answer {
	l, err := d.readLogin(c)
	if err != nil {
		return d.errorPage(err)
	}
	c.app = l.app
	consent, known := d.consentOf(c, l)
	if !known {
		return d.consentPage(c, l)
	}
	location, err := d.complete(l, consent)
	if err != nil {
		return d.errorPage(err)
	}
	a := answer{status: http.StatusFound, header: noStore(d.options().Now())}
	a.header.Set("Location", location)
	return a
}

func (d *dialog) errorPage(err error) answer {
	shown := blocked{"Error", err.Error()}
	errors.As(err, &shown)
	return htmlAnswer(d.options().Now(), d.options().BlockedStatus, errorTemplate, map[string]string{"Title": shown.title, "Text": shown.text})
}

// login is a valid request for the login dialog ("Manually Build a Login Flow").
type login struct {
	app          *App
	redirectURI  string
	state        string
	responseType []string
	scopes       []string // sorted, including public_profile
	rerequest    bool     // offer declined permissions again
	choose       bool     // offer the choice of pages and businesses again
	returnScopes bool
	challenge    challenge
	nonce        string // of OpenID Connect

	configuration *Configuration // of Facebook Login for Business; nil: none
	business      string         // the business that the person chose
}

// blocked is the page that the dialog shows instead of redirecting. It is an error.
type blocked struct{ title, text string }

func (b blocked) Error() string { return b.title + ": " + b.text }

// readLogin reads the dialog's parameters. They are in the query, also when the consent page posts.
func (d *dialog) readLogin(c *call) (login, error) {
	q := c.query
	l := login{app: d.directory.apps[q.Get("client_id")], redirectURI: q.Get("redirect_uri"), state: q.Get("state")}
	l.configuration = d.directory.configurations[q.Get("config_id")]
	switch {
	case !d.knows(c.version):
		return l, blocked{"Sorry, something went wrong", "We're working on getting this fixed as soon as we can."}
	case l.app == nil:
		return l, blocked{"Invalid App ID", "The provided app ID does not look like a valid app ID."}
	case l.redirectURI == "":
		return l, blocked{"Error", "The parameter redirect_uri is required"}
	case l.redirectURI != sdkRedirectURI && !l.app.redirectsTo(l.redirectURI):
		return l, blocked{"URL Blocked", "This redirect failed because the redirect URI is not whitelisted in the app's Client " +
			"OAuth Settings. Make sure Client and Web OAuth Login are on and add all your app domains as Valid OAuth Redirect URIs."}
	case insecure(l.redirectURI):
		return l, blocked{"Insecure Login Blocked", "You can't get an access token or log in to this app from an insecure page. " +
			"Try re-loading the page as https://"}
	}
	d.readParameters(&l, q)
	return l, l.checkConfiguration(q)
}

// checkConfiguration checks config_id ("Facebook Login for Business"). What Facebook shows instead of redirecting is
// not documented.
func (l login) checkConfiguration(q url.Values) error {
	switch {
	case !q.Has("config_id"):
		return nil
	case l.configuration == nil || l.configuration.App != l.app.ID:
		return blocked{"Invalid configuration", "The parameter config_id is no configuration of this app."}
	case l.configuration.TokenKind == KindUser:
		return nil
	case q.Get("scope") != "":
		return blocked{"Invalid Scopes", "A configuration for system user tokens does not go together with the parameter scope."}
	case len(beyond(l.responseType, []string{"code"})) > 0:
		return blocked{"Invalid response type", "A configuration for system user tokens is for the response type code only."}
	}
	return nil
}

// readParameters reads parameters that have no invalid values.
func (d *dialog) readParameters(l *login, q url.Values) {
	l.responseType = strings.Fields(q.Get("response_type"))
	l.scopes = append(list(q.Get("scope")), publicProfile)
	if l.configuration != nil {
		l.scopes = append(l.scopes, l.configuration.Permissions...)
	}
	slices.Sort(l.scopes)
	l.scopes = slices.Compact(l.scopes)
	authType := list(q.Get("auth_type"))
	l.rerequest = slices.Contains(authType, "rerequest")
	l.choose = l.rerequest || slices.Contains(authType, "reauthorize") || q.Has(stepEdit)
	l.nonce = q.Get("nonce")
	l.returnScopes = q.Get("return_scopes") == "true"
	l.challenge = bindChallenge(d.options().PKCE, q.Get("code_challenge"), q.Get("code_challenge_method"), l.asksOpenID())
}

// asksOpenID reports whether this login asks for an ID token. Scopes of earlier logins do not count.
func (l login) asksOpenID() bool { return slices.Contains(l.scopes, scopeOpenID) }

// redirectsTo implements Strict Mode ("Login Security"): the URI must be registered exactly, except for a state
// parameter.
func (a *App) redirectsTo(uri string) bool {
	return slices.Contains(a.RedirectURIs, uri) || slices.Contains(a.RedirectURIs, withoutState(uri))
}

func withoutState(uri string) string {
	base, query, found := strings.Cut(uri, "?")
	if !found {
		return uri
	}
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return strings.HasPrefix(p, "state=") })
	if len(kept) == 0 {
		return base
	}
	return base + "?" + strings.Join(kept, "&")
}

// insecure reports whether Facebook has refused the URI since 2018: plain http, except to the developer's own machine.
func insecure(uri string) bool {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "http" {
		return err != nil
	}
	ip, err := netip.ParseAddr(u.Hostname())
	return u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback())
}

// offered returns the permissions that the dialog asks the person about. A permission granted earlier is not asked for
// again, and a declined one only on a rerequest.
func (l login) offered(g *grant) []string {
	return slices.DeleteFunc(slices.Clone(l.scopes), func(s string) bool {
		if s == publicProfile {
			return false
		}
		return g != nil && (g.permissions[s] == Granted || g.permissions[s] == Declined && !l.rerequest)
	})
}

// offersAssets reports whether the dialog offers a choice of pages and businesses. A later login keeps the choice of the
// first, unless it asks for a further permission that is granted asset by asset, or for the choice.
func (l login) offersAssets(g *grant) bool {
	return slices.ContainsFunc(l.offered(g), perAsset) || l.choose && slices.ContainsFunc(l.scopes, perAsset)
}

// facebookFragment is the fragment of every redirect that has none of its own. It never reaches a server unless a
// person copies the URL.
const facebookFragment = "_=_"

// redirectDenied is the redirect after a person cancels ("Manually Build a Login Flow").
func (l login) redirectDenied() string {
	return l.redirect(url.Values{
		"error":             {"access_denied"},
		"error_code":        {"200"},
		"error_description": {"Permissions error"},
		"error_reason":      {"user_denied"},
	})
}

// redirectPlatformError is the redirect after Facebook refuses the app. It has no parameter error.
func (l login) redirectPlatformError(code int, message string, omitState bool) string {
	if omitState {
		l.state = ""
	}
	return l.redirect(url.Values{"error_code": {strconv.Itoa(code)}, "error_message": {message}})
}

// redirectGranted is the redirect with the code or tokens that the app asked for.
func (d *dialog) redirectGranted(l login, g *grant) string {
	answer := url.Values{}
	asksToken, asksIDToken := slices.Contains(l.responseType, "token"), slices.Contains(l.responseType, "id_token")
	inFragment := asksToken || asksIDToken
	if !inFragment || slices.Contains(l.responseType, "code") {
		answer.Set("code", d.tokenEndpoint.issueCode(l, g))
	}
	t := &token{kind: KindUser, app: g.app, person: g.person, grant: g, scopes: g.granted()}
	if asksToken {
		t = d.addToken(answer, g)
	}
	if asksIDToken && l.asksOpenID() && t.has(scopeOpenID) { // the response type alone is not enough
		answer.Set("id_token", d.openID.token(t, l.nonce))
	}
	if l.returnScopes || slices.Contains(l.responseType, "granted_scopes") {
		answer.Set("granted_scopes", strings.Join(g.granted(), ","))
	}
	if l.returnScopes {
		answer.Set("denied_scopes", strings.Join(g.declined(), ","))
	}
	if !inFragment {
		return l.redirect(answer)
	}
	if l.state != "" {
		answer.Set("state", l.state)
	}
	return l.redirectURI + "#" + answer.Encode()
}

// addToken implements response_type=token: a short-lived token in the fragment.
func (d *dialog) addToken(answer url.Values, g *grant) *token {
	t := d.tokens.issue(g, ShortLife)
	answer.Set("access_token", t.value)
	answer.Set("expires_in", strconv.FormatInt(d.tokens.answer(t, false).ExpiresIn, 10))
	answer.Set("data_access_expiration_time", strconv.FormatInt(unix(t.dataAccessExpires()), 10))
	return t
}

// redirect adds parameters and the state to the redirect URI, and leaves its own parameters unchanged.
func (l login) redirect(answer url.Values) string {
	if l.state != "" {
		answer.Set("state", l.state)
	}
	separator := "?"
	if strings.Contains(l.redirectURI, "?") {
		separator = "&"
	}
	return l.redirectURI + separator + answer.Encode() + "#" + facebookFragment
}
