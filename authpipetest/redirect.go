package authpipetest

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// facebookFragment is put behind every redirect that has no fragment of its own. It never reaches a server; a person who
// copies the URL brings it along.
const facebookFragment = "_=_"

// redirectDenied is where the browser goes when the person cancels ("Manually Build a Login Flow").
func (l login) redirectDenied() string {
	return l.redirect(url.Values{
		"error":             {"access_denied"},
		"error_code":        {"200"},
		"error_description": {"Permissions error"},
		"error_reason":      {"user_denied"},
	})
}

// redirectPlatformError is where the browser goes when Facebook has something against the app: without an "error".
func (l login) redirectPlatformError(code int, message string, omitState bool) string {
	if omitState {
		l.state = ""
	}
	return l.redirect(url.Values{"error_code": {strconv.Itoa(code)}, "error_message": {message}})
}

// redirectGranted is where the browser goes with what was asked for.
func (f *Facebook) redirectGranted(l login, g *grant) string {
	answer := url.Values{}
	asksToken, asksIDToken := slices.Contains(l.responseType, "token"), slices.Contains(l.responseType, "id_token")
	inFragment := asksToken || asksIDToken
	if !inFragment || slices.Contains(l.responseType, "code") {
		answer.Set("code", f.newCode(l, g))
	}
	t := &token{kind: KindUser, app: g.app, person: g.person, grant: g, scopes: g.granted()}
	if asksToken {
		t = f.addToken(answer, g)
	}
	if asksIDToken && l.asksOpenID() && t.has(openID) { // without the scope there is no ID token, whatever the response type
		answer.Set("id_token", f.idToken(t, l.nonce))
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

func (f *Facebook) newCode(l login, g *grant) string {
	value := newCodeValue()
	made := &code{
		app: l.app.ID, grant: g, redirectURI: l.redirectURI, issued: f.options().Now(), challenge: l.challenge,
		nonce: l.nonce, openID: l.asksOpenID(), business: l.business,
	}
	if l.redirectURI == sdkRedirectURI {
		made.redirectURI = ""
	}
	if l.business != "" {
		made.expires = l.configuration.ExpiresIn60Days || f.books.businesses[l.business].RequireExpiringTokens
	}
	f.books.codes[value] = made
	return value
}

// addToken is response_type=token: a short-lived token in the fragment.
func (f *Facebook) addToken(answer url.Values, g *grant) *token {
	t := f.issue(g, ShortLife)
	answer.Set("access_token", t.value)
	answer.Set("expires_in", strconv.FormatInt(f.tell(t, false).ExpiresIn, 10))
	answer.Set("data_access_expiration_time", strconv.FormatInt(unix(t.dataAccessExpires()), 10))
	return t
}

// redirect adds the answer and the state to the redirect URI and leaves what it says already as it is.
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
