package facebook_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

func TestSecretsTravelInBodiesAndHeaders(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"of a new app":  {CodeTokenLife: authpipetest.ShortLife},
		"of an old app": {CodeTokenLife: authpipetest.ShortLife, OldApps: true},
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
			if r.Batched {
				continue // its URL stood in a body
			}
			if query := r.Query.Encode(); strings.Contains(query, appSecret) || r.Query.Has("code") || strings.Contains(query, "EAA") {
				t.Errorf("%s: %s %s?%s", name, r.Method, r.Path, query)
			}
		}
	}
}

// The one URL that may hold a token is that of /oauth/revoke: Meta takes it
// nowhere else.
func TestNoRefusalPutsATokenIntoAURL(t *testing.T) {
	for name, spoil := range map[string]func(*world){
		"a version that nobody knows":   func(w *world) { w.client.APIVersion = "v97.0" },
		"an app without the capability": func(w *world) { w.fail(3, 0, "Application does not have the capability") },
		"an object that is not there":   func(w *world) { w.fail(100, 33, "Unsupported get request. Object does not exist") },
		"a parameter that is not right": func(w *world) { w.fail(100, 0, "(#100) Invalid parameter") },
	} {
		w := newWorld(t, authpipetest.Options{})
		token := w.token(t)
		spoil(&w)
		w.Inspect(t.Context(), w.client, token)
		w.Revoke(t.Context(), w.client, token)
		w.Revoke(t.Context(), w.client, oauth.Token{AccessToken: token.AccessToken, Kind: authpipetest.KindSystemUser})
		w.Pages(t.Context(), w.client, token)
		for _, r := range w.fb.Requests() {
			if strings.Contains(r.Query.Encode(), "EAA") && !r.Batched && r.Endpoint != authpipetest.EndpointRevokeToken {
				t.Errorf("%s: the token stands in the URL of %s %s", name, r.Method, r.Path)
			}
		}
	}
}

func (w world) fail(code, subcode int, message string) {
	w.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: code, Subcode: subcode, Message: message}})
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(t)
	visited := 0
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visited++ }))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		clear := w.fb.Fail(authpipetest.Fault{Status: status, Header: http.Header{"Location": {elsewhere.URL}}, Body: "{}"})
		_, exchange := w.Exchange(t.Context(), w.client, provider.Grant{Code: oauth.NewSecret("AQ"), RedirectURI: redirectURI})
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
		code := oauth.NewSecret("AQcode-that-must-not-show")
		_, exchange := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI})
		_, refresh := w.Refresh(t.Context(), w.client, token)
		_, inspect := w.Inspect(t.Context(), w.client, token)
		for _, err := range []error{exchange, refresh, inspect, w.Revoke(t.Context(), w.client, token)} {
			if err == nil {
				t.Errorf("%s: no error", name)
				continue
			}
			for _, secret := range []string{token.AccessToken.Reveal(), code.Reveal(), appSecret} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("%s: %v", name, err)
				}
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
