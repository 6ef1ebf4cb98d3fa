package facebook_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

const redirectURI = "https://e/cb"

// A world is a Facebook and the provider that speaks to it.
type world struct {
	*facebook.Provider
	fb     *authpipetest.Facebook
	clock  *authpipetest.Clock
	client oauth.Client
}

func newWorld(t *testing.T, o authpipetest.Options) world {
	t.Helper()
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	o.Now = clock.Now
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: "123", Secret: "SEC", RedirectURIs: []string{redirectURI}})
	fb.AddUser(authpipetest.User{ID: "ada"})
	base := fb.Start(t)
	return world{
		facebook.New(http.DefaultTransport, clock.Now), fb, clock,
		oauth.Client{ID: "123", Secret: "SEC", APIVersion: "v26.0", AuthorizationBase: base, APIBase: base},
	}
}

func (w world) code(t *testing.T, r provider.AuthorizationRequest) oauth.Secret {
	t.Helper()
	r.State, r.RedirectURI = "state", redirectURI
	u, err := w.AuthorizationURL(w.client, r)
	if err != nil {
		t.Fatal(err)
	}
	back, err := w.fb.Authorize(u, authpipetest.Consent{User: "ada"})
	if err != nil {
		t.Fatal(err)
	}
	return oauth.Secret(back.Query().Get("code"))
}

func (w world) token(t *testing.T) oauth.Token {
	t.Helper()
	token, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: w.code(t, provider.AuthorizationRequest{Scopes: []string{"email"}}), RedirectURI: redirectURI})
	if err == nil {
		token, err = w.Settle(t.Context(), w.client, token)
	}
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTheAuthorizationURL(t *testing.T) {
	p := facebook.New(nil, time.Now)
	u, err := p.AuthorizationURL(oauth.Client{ID: "123", APIVersion: "v26.0", AuthorizationBase: "https://www.facebook.com"}, provider.AuthorizationRequest{
		State: "s", RedirectURI: "https://e/cb?x=1", Scopes: []string{"email", "openid"}, Reauthorize: true,
		// The verifier and challenge of RFC 7636, appendix B.
		Verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
	})
	want := "https://www.facebook.com/v26.0/dialog/oauth?auth_type=rerequest&client_id=123&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256" +
		"&redirect_uri=https%3A%2F%2Fe%2Fcb%3Fx%3D1&response_type=code&scope=email%2Copenid&state=s"
	if err != nil || u != want {
		t.Errorf("%s, %v\nwant %s", u, err, want)
	}
}

func TestPKCEIsBoundWithOpenID(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	if w.BindsPKCE([]string{"email"}) || !w.BindsPKCE([]string{"email", "openid"}) {
		t.Error("PKCE is believed to be bound where it is not")
	}
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	code := w.code(t, provider.AuthorizationRequest{Scopes: []string{"openid"}, Verifier: verifier})
	if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI, Verifier: verifier}); err != nil {
		t.Errorf("exchanging with the verifier: %v", err)
	}
	for name, verifier := range map[string]oauth.Secret{"that Facebook dropped": verifier, "that is another's": "another-verifier-that-was-never-sent-by-us"} {
		code = w.code(t, provider.AuthorizationRequest{Scopes: []string{"email"}, Verifier: verifier})
		if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI, Verifier: verifier}); err != nil {
			t.Errorf("a verifier %s: %v", name, err)
		}
	}
}

func TestAThrottleTellsUntilWhen(t *testing.T) {
	for name, row := range map[string]struct {
		header string
		want   time.Duration
	}{
		"the longest of several": {`{"1":[{"type":"pages","estimated_time_to_regain_access":3},{"estimated_time_to_regain_access":19}],"2":[{"estimated_time_to_regain_access":0}]}`, 19 * time.Minute},
		"longer than a day":      {`{"1":[{"estimated_time_to_regain_access":1e300}]}`, 24 * time.Hour},
		"nothing":                {``, 0},
		"no time":                {`{"1":[{"call_count":100}]}`, 0},
		"nonsense":               {`{"1":"soon"}`, 0},
		"a time that is over":    {`{"1":[{"estimated_time_to_regain_access":-5}]}`, 0},
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		w.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 80001}, Header: http.Header{"X-Business-Use-Case-Usage": {row.header}}})
		_, err := w.Refresh(t.Context(), w.client, token)
		var e *provider.Error
		if !errors.As(err, &e) || e.Class != provider.Throttled {
			t.Fatalf("%s: %v", name, err)
		}
		if want := w.clock.Now().Add(row.want); row.want == 0 && !e.Until.IsZero() || row.want > 0 && !e.Until.Equal(want) {
			t.Errorf("%s: until %v, want %v", name, e.Until, row.want)
		}
	}
}

func TestAGoneGrantIsRevoked(t *testing.T) {
	w := newWorld(t, authpipetest.Options{RevokeAnswersTrue: true})
	token := w.token(t)
	w.fb.SetAppSecret("123", "another")
	if err := w.Revoke(t.Context(), w.client, token); provider.ClassOf(err) != provider.Misconfigured || err == nil {
		t.Errorf("revoking with a wrong secret: %v", err)
	}
	w.fb.SetAppSecret("123", "SEC")
	if err := w.Revoke(t.Context(), w.client, token); err != nil {
		t.Fatal(err)
	}
	if known, _ := w.fb.Inspect(token.AccessToken.Reveal()); known.Valid {
		t.Error("the token still works")
	}
	if _, err := w.Refresh(t.Context(), w.client, token); provider.ClassOf(err) != provider.Revoked {
		t.Errorf("refreshing after that: %v", err)
	}
	if err := w.Revoke(t.Context(), w.client, token); err != nil {
		t.Errorf("revoking again: %v", err)
	}
}

func TestATokenOfAnotherAppIsRefused(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.AddApp(authpipetest.App{ID: "124", Secret: "SEC", RedirectURIs: []string{redirectURI}})
	w.client.ID = "124"
	if _, err := w.Inspect(t.Context(), w.client, token); provider.ClassOf(err) != provider.Caller {
		t.Errorf("inspecting it: %v", err)
	}
}

// TestErrorsAreClassified has every endpoint that is called answer an error
// object, and holds the class against what Meta's tables and reports say.
func TestErrorsAreClassified(t *testing.T) {
	type call = func(world, context.Context, oauth.Token) error
	exchange := func(w world, ctx context.Context, _ oauth.Token) error {
		_, err := w.Exchange(ctx, w.client, provider.Grant{Code: "AQ", RedirectURI: redirectURI})
		return err
	}
	refresh := func(w world, ctx context.Context, t oauth.Token) error {
		_, err := w.Refresh(ctx, w.client, t)
		return err
	}
	inspect := func(w world, ctx context.Context, t oauth.Token) error {
		_, err := w.Inspect(ctx, w.client, t)
		return err
	}
	revoke := func(w world, ctx context.Context, t oauth.Token) error { return w.Revoke(ctx, w.client, t) }
	transient := true
	graph := func(code, subcode int, message string) *authpipetest.GraphError {
		return &authpipetest.GraphError{Code: code, Subcode: subcode, Message: message}
	}
	for name, row := range map[string]struct {
		call  call
		fault authpipetest.Fault
		want  provider.Class
	}{
		"a wrong client secret is configuration, though its code means unknown": {exchange, authpipetest.Fault{Error: graph(1, 0, "Error validating client secret.")}, provider.Misconfigured},
		"a bad app id":                               {exchange, authpipetest.Fault{Error: graph(101, 0, "Error validating application. Invalid application ID.")}, provider.Misconfigured},
		"a redirect mismatch":                        {exchange, authpipetest.Fault{Error: graph(100, 36008, "Error validating verification code.")}, provider.Misconfigured},
		"a domain that is not the app's":             {exchange, authpipetest.Fault{Error: graph(191, 0, "")}, provider.Misconfigured},
		"a code that was used":                       {exchange, authpipetest.Fault{Error: graph(100, 36009, "")}, provider.Caller},
		"a code that expired":                        {exchange, authpipetest.Fault{Error: graph(100, 36007, "")}, provider.Caller},
		"no code at all":                             {exchange, authpipetest.Fault{Error: graph(100, 0, "Invalid verification code format.")}, provider.Caller},
		"a wrong secret at a refresh":                {refresh, authpipetest.Fault{Error: graph(1, 0, "Error validating client secret.")}, provider.Misconfigured},
		"expired":                                    {refresh, authpipetest.Fault{Error: graph(190, 463, "")}, provider.NeedsReauth},
		"password changed":                           {refresh, authpipetest.Fault{Error: graph(190, 460, "")}, provider.NeedsReauth},
		"checkpoint":                                 {refresh, authpipetest.Fault{Error: graph(190, 459, "")}, provider.NeedsReauth},
		"logged out":                                 {refresh, authpipetest.Fault{Error: graph(190, 467, "")}, provider.NeedsReauth},
		"session without subcode":                    {refresh, authpipetest.Fault{Error: graph(102, 0, "")}, provider.NeedsReauth},
		"app removed":                                {refresh, authpipetest.Fault{Error: graph(190, 458, "")}, provider.Revoked},
		"the wrong kind of token is not expiry":      {refresh, authpipetest.Fault{Error: graph(190, 0, "This method must be called with a Page Access Token")}, provider.Caller},
		"a lost page role":                           {refresh, authpipetest.Fault{Error: graph(190, 492, "")}, provider.Permission},
		"a missing permission":                       {refresh, authpipetest.Fault{Status: 403, Error: graph(200, 0, "")}, provider.Permission},
		"the app's rate limit":                       {refresh, authpipetest.Fault{Error: graph(4, 0, "")}, provider.Throttled},
		"the user's rate limit":                      {refresh, authpipetest.Fault{Error: graph(17, 0, "")}, provider.Throttled},
		"a business use case's rate limit":           {refresh, authpipetest.Fault{Error: graph(80001, 0, "")}, provider.Throttled},
		"downtime":                                   {refresh, authpipetest.Fault{Status: 500, Error: graph(2, 0, "")}, provider.Transient},
		"said to be transient":                       {refresh, authpipetest.Fault{Error: &authpipetest.GraphError{Code: 368, IsTransient: &transient}}, provider.Transient},
		"blocked for policy":                         {refresh, authpipetest.Fault{Error: graph(368, 0, "")}, provider.Transient},
		"a code that nobody knows":                   {refresh, authpipetest.Fault{Error: graph(987654, 0, "")}, provider.Transient},
		"an unknown version":                         {refresh, authpipetest.Fault{Error: graph(2500, 0, "Unknown path components: /oauth/access_token")}, provider.Misconfigured},
		"a proof that is asked for":                  {inspect, authpipetest.Fault{Error: &authpipetest.GraphError{Type: "GraphMethodException", Code: 100, Message: "API calls from the server require an appsecret_proof argument"}}, provider.Misconfigured},
		"a proof that is wrong, with the other code": {inspect, authpipetest.Fault{Error: &authpipetest.GraphError{Code: 1, Message: "Invalid appsecret_proof provided in the API argument"}}, provider.Misconfigured},
		"the app token refused":                      {inspect, authpipetest.Fault{Error: graph(190, 0, "Invalid OAuth access token signature.")}, provider.Misconfigured},
		"a token of another app":                     {inspect, authpipetest.Fault{Error: graph(100, 0, "(#100) The App_id in the input_token did not match the Viewing App")}, provider.Caller},
		"dead with status 200":                       {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":463,"message":"x"}}}`}, provider.NeedsReauth},
		"revoked with status 200":                    {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":false,"error":{"code":190,"subcode":458,"message":"x"}}}`}, provider.Revoked},
		"dead without a reason":                      {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":false}}`}, provider.NeedsReauth},
		"an app's own token":                         {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":true,"app_id":"123"}}`}, provider.Caller},
		"an empty object is no death":                {inspect, authpipetest.Fault{Body: `{}`}, provider.Transient},
		"an error with status 200":                   {inspect, authpipetest.Fault{Status: 200, Error: graph(2, 0, "")}, provider.Transient},
		"HTML with status 200":                       {inspect, authpipetest.Fault{Body: "<html>maintenance</html>"}, provider.Transient},
		"HTML with status 503":                       {exchange, authpipetest.Fault{Status: 503, Body: "<html>maintenance</html>"}, provider.Transient},
		"a truncated answer":                         {exchange, authpipetest.Fault{Body: `{"access_token":"EAA`}, provider.Transient},
		"an answer without a token":                  {refresh, authpipetest.Fault{Body: `{"token_type":"bearer"}`}, provider.Transient},
		"the app token refused at a revocation":      {revoke, authpipetest.Fault{Error: graph(190, 0, "Invalid OAuth access token signature.")}, provider.Misconfigured},
		"a person whom the app does not know":        {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Error: graph(100, 33, "")}, provider.Caller},
		"more than a mebibyte":                       {refresh, authpipetest.Fault{Body: `{"access_token":"` + strings.Repeat("A", 1<<20) + `"}`}, provider.Transient},
		"more than a mebibyte at the exchange":       {exchange, authpipetest.Fault{Body: `{"access_token":"` + strings.Repeat("A", 1<<20) + `"}`}, provider.Transient},
		"a redirect":                                 {revoke, authpipetest.Fault{Status: 302, Header: http.Header{"Location": {"https://evil.example/"}}, Body: "{}"}, provider.Transient},
		"a revocation that says false":               {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Body: `false`}, provider.Transient},
		"a revocation without success":               {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Body: `{"success":false}`}, provider.Transient},
		"a revocation that says nothing":             {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Status: 200, Body: " "}, provider.Transient},
		"a revocation answered in HTML":              {revoke, authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Body: "<html>"}, provider.Transient},
		"an account that is null":                    {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":true,"app_id":"123","user_id":null,"expires_at":0}}`}, provider.Caller},
		"an account that is no number":               {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":true,"app_id":"123","user_id":"../x","expires_at":0}}`}, provider.Transient},
		"an account that is an object":               {inspect, authpipetest.Fault{Body: `{"data":{"is_valid":true,"app_id":"123","user_id":{"a":1},"expires_at":0}}`}, provider.Transient},
		"a code that is a string":                    {refresh, authpipetest.Fault{Status: 400, Body: `{"error":{"message":"x","code":"190","error_subcode":"460"}}`}, provider.NeedsReauth},
		"an exchange error with status 200":          {exchange, authpipetest.Fault{Status: 200, Error: graph(100, 36009, "")}, provider.Caller},
		"an exchange error as the RFC has it":        {exchange, authpipetest.Fault{Status: 400, Body: `{"error":"invalid_grant"}`}, provider.Caller},
		"an exchange without a token":                {exchange, authpipetest.Fault{Body: `{"token_type":"bearer"}`}, provider.Caller},
		"a connection that breaks":                   {revoke, authpipetest.Fault{Reset: true}, provider.Transient},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{})
			token := w.token(t)
			defer w.fb.Fail(row.fault)()
			err := row.call(w, t.Context(), token)
			var e *provider.Error
			if !errors.As(err, &e) || e.Class != row.want {
				t.Fatalf("%v is %s, want %s", err, provider.ClassOf(err), row.want)
			}
			if text := err.Error(); strings.Contains(text, token.AccessToken.Reveal()) || strings.Contains(text, "SEC") || len(text) > 600 {
				t.Errorf("the error shows too much: %s", text)
			}
		})
	}
}

func TestATokenOfAnotherAppIsNotTakenForOurs(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	w.fb.Fail(authpipetest.Fault{Body: `{"data":{"is_valid":true,"app_id":"999","user_id":"9","expires_at":0}}`})
	if _, err := w.Inspect(t.Context(), w.client, token); provider.ClassOf(err) != provider.Caller {
		t.Errorf("inspecting it: %v", err)
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	visited := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		clear := w.fb.Fail(authpipetest.Fault{Status: status, Header: http.Header{"Location": {elsewhere.URL}}, Body: "{}"})
		_, exchange := w.Exchange(t.Context(), w.client, provider.Grant{Code: "AQ", RedirectURI: redirectURI})
		_, refresh := w.Refresh(t.Context(), w.client, token)
		_, inspect := w.Inspect(t.Context(), w.client, token)
		revoke := w.Revoke(t.Context(), w.client, token)
		for _, err := range []error{exchange, refresh, inspect, revoke} {
			if err == nil {
				t.Errorf("a redirect with status %d is a success", status)
			}
		}
		clear()
	}
	if visited > 0 {
		t.Errorf("%d calls followed a redirect", visited)
	}
}

func TestACallEndsWithItsTime(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	defer w.fb.Fail(authpipetest.Fault{Hang: true})()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.Inspect(ctx, w.client, token); provider.ClassOf(err) != provider.Transient {
		t.Error(err)
	}
}

// TestAPeerThatEchoesShowsNothing has a peer that speaks no HTTP send back what
// it was sent, where Go's HTTP client puts it into its errors.
func TestAPeerThatEchoesShowsNothing(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for name, echo := range map[string]string{"in the status line": "HTTP/1.1 500 %s\r\n\r\n", "for a status code": "HTTP/1.1 %s\r\n\r\n", "for a header": "HTTP/1.1 200 OK\r\n%s\r\n\r\n", "for all": "%s\r\n\r\n"} {
		peer := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			conn, _, err := rw.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			fmt.Fprintf(conn, echo, string(body)+" "+r.URL.String()+" "+r.Header.Get("Authorization"))
		}))
		defer peer.Close()
		w.client.APIBase = peer.URL
		code := oauth.Secret("AQcode-that-must-not-show")
		_, exchange := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI})
		_, refresh := w.Refresh(t.Context(), w.client, token)
		_, inspect := w.Inspect(t.Context(), w.client, token)
		for _, err := range []error{exchange, refresh, inspect, w.Revoke(t.Context(), w.client, token)} {
			if err == nil {
				t.Errorf("%s: no error", name)
				continue
			}
			for _, secret := range []string{token.AccessToken.Reveal(), code.Reveal(), "SEC"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v", name, err)
				}
			}
		}
	}
}

func TestWhatDebugTokenLeavesOutIsKept(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	for body, want := range map[string]time.Time{
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9"}}`:                           token.ExpiresAt,
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":null}}`:         token.ExpiresAt,
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":-1}}`:           token.ExpiresAt,
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":0}}`:            {},
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":999999999999}}`: {},
		`{"data":{"is_valid":true,"app_id":123,"user_id":"9","expires_at":1900000000}}`:   time.Unix(1900000000, 0),
	} {
		clear := w.fb.Fail(authpipetest.Fault{Body: body})
		got, err := w.Inspect(t.Context(), w.client, token)
		clear()
		if err != nil || !got.ExpiresAt.Equal(want) || got.Account != "9" {
			t.Errorf("%s: expires at %v, %v", body, got.ExpiresAt, err)
		}
	}
}

func TestSecretsTravelInBodiesAndHeaders(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"where a call that reads may be posted": {CodeTokenLife: authpipetest.ShortLife},
		"where it may not":                      {CodeTokenLife: authpipetest.ShortLife, NoMethodOverride: true},
	} {
		w := newWorld(t, o)
		for range 2 {
			token := w.token(t)
			if _, err := w.Refresh(t.Context(), w.client, token); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if _, err := w.Pages(t.Context(), w.client, token); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			w.Verify(t.Context(), w.client)
			if err := w.Revoke(t.Context(), w.client, token); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
		for _, r := range w.fb.Requests() {
			query := r.Query.Encode()
			if strings.Contains(query, "SEC") || r.Query.Has("code") ||
				strings.Contains(query, "EAA") && !o.NoMethodOverride {
				t.Errorf("%s: %s %s?%s", name, r.Method, r.Path, query)
			}
		}
	}
}

func TestNoURLIsShownInAnError(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	closed := httptest.NewServer(nil)
	closed.Close()
	w.client.APIBase = closed.URL
	_, err := w.Inspect(t.Context(), w.client, token)
	if err == nil || strings.Contains(err.Error(), url.QueryEscape(token.AccessToken.Reveal())) || strings.Contains(err.Error(), "debug_token") {
		t.Errorf("the error is %v", err)
	}
}
