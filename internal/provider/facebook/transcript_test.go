package facebook_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// A transcript is a transport that writes down what goes over it, with the
// random parts replaced by names.
type transcript struct{ text strings.Builder }

var (
	// randomParts are distinguished in a transcript, and shown by these names.
	randomParts = []struct{ name, looks string }{
		{"id token", `eyJ[A-Za-z0-9_-]+\.eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+`},
		{"token", `EAA[A-Za-z0-9]{20,}`},
		{"code", `AQ[A-Za-z0-9_-]{20,}`},
		{"hmac", `\b[0-9a-f]{64}\b`},
		{"device code", `\b[0-9a-f]{32}\b`},
	}
	// randomPart has a group for each of them, in their order. They are looked
	// for at once, from the left: a part may seem to stand within another, as a
	// token does in a code with "EAA" in it.
	randomPart = func() *regexp.Regexp {
		var groups []string
		for _, part := range randomParts {
			groups = append(groups, "("+part.looks+")")
		}
		return regexp.MustCompile(strings.Join(groups, "|"))
	}()
	// untold are left out, of a batch's answers too, which are JSON within JSON.
	untold = regexp.MustCompile(`(\\?"(?:fbtrace_id|user_code|kid|n)\\?":\\?")[^"\\]*`)
	peer   = regexp.MustCompile(`127\.0\.0\.1:\d+`)
)

func (t *transcript) RoundTrip(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(resp.Body)
	resp.Body = io.NopCloser(bytes.NewReader(answer))
	fmt.Fprintf(&t.text, "%s %s\n", r.Method, r.URL.RequestURI())
	if bearer := r.Header.Get("Authorization"); bearer != "" {
		fmt.Fprintf(&t.text, "Authorization: %s\n", bearer)
	}
	if form, formErr := url.ParseQuery(string(body)); formErr == nil && len(body) > 0 {
		fmt.Fprintf(&t.text, "%s\n", form.Encode())
	}
	fmt.Fprintf(&t.text, "%d\n%s\n\n", resp.StatusCode, bytes.TrimSpace(answer))
	return resp, err
}

// String is the transcript with every random part named by its kind and the
// order in which it came.
func (t *transcript) String() string {
	text := peer.ReplaceAllString(untold.ReplaceAllString(t.text.String(), `${1}…`), "facebook")
	names, of := map[string]string{}, map[string]int{}
	return randomPart.ReplaceAllStringFunc(text, func(s string) string {
		if names[s] == "" {
			group := slices.Index(randomPart.FindStringSubmatch(s)[1:], s)
			kind := randomParts[group].name
			of[kind]++
			names[s] = fmt.Sprintf("<%s %d>", kind, of[kind])
		}
		return names[s]
	})
}

// TestWhatSeemsToStandInACode: the random characters of a code may spell the
// beginning of a token, and those of a token the beginning of a code.
func TestWhatSeemsToStandInACode(t *testing.T) {
	const of = "fAdhUI8-kDVr74GnAQsdEAAqpmT3ZcNVxIhmJbQbUaQ0t08MSffrN3EjjiBgs"
	code, token := "AQ"+of, "EAA"+strings.ReplaceAll(of, "-", "")
	heard := &transcript{}
	fmt.Fprintf(&heard.text, "code=%s&access_token=%s&code=%[1]s", code, token)
	if got, want := heard.String(), "code=<code 1>&access_token=<token 1>&code=<code 1>"; got != want {
		t.Errorf("the transcript reads\n%s\nwant\n%s", got, want)
	}
}

// TestTranscripts plays what the engine says to Facebook, and holds it against
// what testdata keeps: a change of the dialogue shows as one.
func TestTranscripts(t *testing.T) {
	scopes := []string{"pages_show_list", "public_profile"}
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // of RFC 7636, appendix B
	connect := func(w world, t *testing.T, r provider.AuthorizationRequest) oauth.Token {
		t.Helper()
		token, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: w.code(t, r), RedirectURI: redirectURI})
		if err == nil {
			token, err = w.Settle(t.Context(), w.client, token)
		}
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	for name, row := range map[string]struct {
		options authpipetest.Options
		play    func(w world, t *testing.T)
	}{
		"connect": {authpipetest.Options{}, func(w world, t *testing.T) { connect(w, t, provider.AuthorizationRequest{Scopes: scopes}) }},
		"connect-short-lived": {authpipetest.Options{CodeTokenLife: authpipetest.ShortLife}, func(w world, t *testing.T) {
			connect(w, t, provider.AuthorizationRequest{Scopes: scopes})
		}},
		"connect-without-expires-in": {authpipetest.Options{CodeOmitsExpiresIn: true, CodeTokenLife: authpipetest.ShortLife}, func(w world, t *testing.T) {
			connect(w, t, provider.AuthorizationRequest{Scopes: scopes})
		}},
		"connect-refused": {authpipetest.Options{}, func(w world, t *testing.T) {
			code := w.code(t, provider.AuthorizationRequest{Scopes: scopes})
			wrong := w.client
			wrong.Secret = oauth.NewSecret("WRONG")
			w.Exchange(t.Context(), wrong, provider.Grant{Code: code, RedirectURI: redirectURI})
			w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: "https://e/other"})
			w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI})
			w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI})
		}},
		"business": {authpipetest.Options{}, func(w world, t *testing.T) {
			w.fb.AddBusiness(authpipetest.Business{ID: "5566", Admins: []string{"ada"}})
			w.fb.AddConfiguration(authpipetest.Configuration{ID: "31", App: "123", Permissions: []string{"pages_show_list"}, ExpiresIn60Days: true})
			token := connect(w, t, provider.AuthorizationRequest{ConfigID: "31"})
			w.clock.Advance(30 * 24 * time.Hour)
			if _, err := w.Refresh(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
			if err := w.Revoke(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
		}},
		"refresh-pages-revoke": {authpipetest.Options{}, func(w world, t *testing.T) {
			token := connect(w, t, provider.AuthorizationRequest{Scopes: scopes})
			w.clock.Advance(30 * 24 * time.Hour)
			if _, err := w.Refresh(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
			if _, err := w.Pages(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
			if err := w.Revoke(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
			w.Refresh(t.Context(), w.client, token)
			w.Inspect(t.Context(), w.client, token)
		}},
		"pkce-dropped": {authpipetest.Options{}, func(w world, t *testing.T) {
			code := w.code(t, provider.AuthorizationRequest{Scopes: scopes, Verifier: oauth.NewSecret(verifier)})
			if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI, Verifier: oauth.NewSecret(verifier)}); err != nil {
				t.Error(err)
			}
		}},
		"openid": {authpipetest.Options{}, func(w world, t *testing.T) {
			code := w.code(t, provider.AuthorizationRequest{Scopes: []string{"openid"}, Verifier: oauth.NewSecret(verifier), Nonce: oauth.NewSecret("NONCE")})
			if _, err := w.Exchange(t.Context(), w.client, provider.Grant{Code: code, RedirectURI: redirectURI, Verifier: oauth.NewSecret(verifier), Nonce: oauth.NewSecret("NONCE")}); err != nil {
				t.Error(err)
			}
		}},
		"secret-reset": {authpipetest.Options{}, func(w world, t *testing.T) {
			token := connect(w, t, provider.AuthorizationRequest{Scopes: scopes})
			w.fb.SetAppSecret("123", "FRESH")
			w.client.OtherSecret = oauth.NewSecret("FRESH")
			w.clock.Advance(30 * 24 * time.Hour)
			if _, err := w.Refresh(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
			if _, err := w.Pages(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
			w.InspectAll(t.Context(), w.client, []oauth.Token{token, token})
			if err := w.Revoke(t.Context(), w.client, token); err != nil {
				t.Error(err)
			}
		}},
		"inspect-batch": {authpipetest.Options{}, func(w world, t *testing.T) {
			token := connect(w, t, provider.AuthorizationRequest{Scopes: scopes})
			dead := token
			dead.AccessToken = oauth.NewSecret("EAAdeaddeaddeaddeaddead")
			w.InspectAll(t.Context(), w.client, []oauth.Token{token, dead})
		}},
		"device": {authpipetest.Options{}, func(w world, t *testing.T) {
			begun, err := w.BeginDevice(t.Context(), w.client, scopes)
			if err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(begun.Interval)
			w.PollDevice(t.Context(), w.client, begun.Code)
			w.PollDevice(t.Context(), w.client, begun.Code)
			if err := w.fb.ApproveDevice(begun.UserCode, authpipetest.Consent{User: "ada"}); err != nil {
				t.Fatal(err)
			}
			w.clock.Advance(2 * begun.Interval)
			if _, err := w.PollDevice(t.Context(), w.client, begun.Code); err != nil {
				t.Error(err)
			}
		}},
		"verify": {authpipetest.Options{}, func(w world, _ *testing.T) {
			w.client.OtherSecret = oauth.NewSecret("FORMER")
			w.Verify(context.Background(), w.client)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, row.options)
			w.fb.AddApp(authpipetest.App{ID: "123", Secret: appSecret, ClientToken: "CT", RedirectURIs: []string{redirectURI}})
			w.fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Tasks: []string{"CREATE_CONTENT"}})
			w.fb.AddUser(authpipetest.User{ID: "ada", Pages: []string{"777"}})
			w.client.Token = oauth.NewSecret("CT")
			heard := &transcript{}
			w.Provider = facebook.New(heard, w.clock.Now)
			row.play(w, t)
			golden := filepath.Join("..", "..", "..", "testdata", "facebook", name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(heard.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), heard.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
