package authpipetest_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	appID     = "123"
	appSecret = "canary-of-the-app" // too long to occur in a token by chance
	appToken  = appID + "|" + appSecret
	callback  = "https://e/cb"
	pageScope = "email,pages_show_list,pages_read_engagement,pages_manage_posts"
)

// world is a Facebook with one app, Ada with two pages, and Uma with none.
type world struct {
	*authpipetest.Facebook
	t     *testing.T
	clock *authpipetest.Clock
	base  string
}

func newWorld(t *testing.T, o authpipetest.Options) world {
	t.Helper()
	clock := authpipetest.NewClock(time.Unix(1794816000, 0))
	o.Now = clock.Now
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}})
	fb.AddApp(authpipetest.App{ID: "456", Secret: "OTHER", RedirectURIs: []string{callback}})
	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Email: "ada@example.com", Pages: []string{"777", "888"}})
	fb.AddUser(authpipetest.User{ID: "uma", Name: "Uma User", Email: "uma@example.com"})
	fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A"})
	fb.AddPage(authpipetest.Page{ID: "888", Name: "Page B"})
	return world{fb, t, clock, fb.Start(t)}
}

// in returns the same world for a subtest.
func (w world) in(t *testing.T) world {
	w.t = t
	return w
}

// params makes parameters of alternating names and values. The last value of a name counts.
func params(pairs ...string) url.Values {
	v := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
	}
	return v
}

// dialog is an authorization URL of the app, with parameters added or replaced.
func (w world) dialog(pairs ...string) string {
	q := params("client_id", appID, "redirect_uri", callback, "state", "s")
	for name, values := range params(pairs...) {
		q[name] = values
	}
	return w.base + "/v26.0/dialog/oauth?" + q.Encode()
}

// login takes Ada through the dialog and returns the code.
func (w world) login(pairs ...string) string {
	w.t.Helper()
	return w.loginAs(authpipetest.Consent{User: "ada"}, pairs...)
}

func (w world) loginAs(c authpipetest.Consent, pairs ...string) string {
	w.t.Helper()
	back, err := w.Authorize(w.dialog(pairs...), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return back.Query().Get("code")
}

// token logs Ada in with these scopes and returns her token.
func (w world) token(scope string) string {
	w.t.Helper()
	return w.tokenAs(authpipetest.Consent{User: "ada"}, scope)
}

func (w world) tokenAs(c authpipetest.Consent, scope string) string {
	w.t.Helper()
	return w.exchange("code", w.loginAs(c, "scope", scope)).accessToken()
}

// exchange presents a code at the token endpoint; parameters may be added or replaced.
func (w world) exchange(pairs ...string) reply {
	w.t.Helper()
	return w.get("/v26.0/oauth/access_token", w.exchangeParams(pairs...))
}

func (w world) exchangeParams(pairs ...string) url.Values {
	q := params("client_id", appID, "redirect_uri", callback, "client_secret", appSecret)
	for name, values := range params(pairs...) {
		if q[name] = values; values[0] == "" {
			q.Del(name)
		}
	}
	return q
}

// extend exchanges a token for a longer one.
func (w world) extend(token string) reply {
	w.t.Helper()
	return w.exchange("redirect_uri", "", "grant_type", "fb_exchange_token", "fb_exchange_token", token)
}

// debug calls debug_token with the app token.
func (w world) debug(token string) reply {
	w.t.Helper()
	return w.get("/v26.0/debug_token", params("input_token", token, "access_token", appToken))
}

// pageToken returns the token of page 777 from Ada's accounts.
func (w world) pageToken(userToken string) string {
	w.t.Helper()
	return w.get("/v26.0/777", params("fields", "access_token", "access_token", userToken)).accessToken()
}

func (w world) get(path string, q url.Values) reply {
	w.t.Helper()
	return w.send(http.MethodGet, path, q, "", "")
}

func (w world) send(method, path string, q url.Values, contentType, body string) reply {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.base+path+"?"+q.Encode(), strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", contentType)
	return w.round(r)
}

func (w world) round(r *http.Request) reply {
	w.t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r) // follows no redirect
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return reply{w.t, response.StatusCode, response.Header, string(body)}
}

type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// is compares status and JSON body. There must be an fbtrace_id with any value.
func (r reply) is(status int, body string) {
	r.t.Helper()
	if r.status != status {
		r.t.Errorf("status %d, want %d: %s", r.status, status, r.body)
	}
	if diff := cmp.Diff(r.parse(body), r.parse(r.body), cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == `["fbtrace_id"]`
	}, cmp.Comparer(func(a, b any) bool { return a != "" && b != "" }))); diff != "" {
		r.t.Errorf("body (-want +got):\n%s", diff)
	}
}

func (r reply) parse(body string) (parsed any) {
	r.t.Helper()
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if err := d.Decode(&parsed); err != nil {
		r.t.Errorf("body is no JSON: %v: %s", err, body)
	}
	return parsed
}

// refused expects an OAuthException without a subcode.
func (r reply) refused(status, code int, message string) {
	r.t.Helper()
	r.is(status, string(must(json.Marshal(map[string]any{"error": map[string]any{
		"message": message, "type": "OAuthException", "code": code, "fbtrace_id": "AbC",
	}}))))
}

// refusedSub expects an OAuthException with a subcode.
func (r reply) refusedSub(code, subcode int, message string) {
	r.t.Helper()
	r.is(http.StatusBadRequest, string(must(json.Marshal(map[string]any{"error": map[string]any{
		"message": message, "type": "OAuthException", "code": code, "error_subcode": subcode, "fbtrace_id": "AbC",
	}}))))
}

func (r reply) accessToken() string {
	r.t.Helper()
	var answered struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(r.body), &answered); err != nil || answered.AccessToken == "" {
		r.t.Fatalf("no token, but status %d: %s", r.status, r.body)
	}
	return answered.AccessToken
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func (w world) authorize(c authpipetest.Consent, pairs ...string) *url.URL {
	w.t.Helper()
	back, err := w.Authorize(w.dialog(pairs...), c)
	if err != nil {
		w.t.Fatal(err)
	}
	return back
}

// tokenIn returns the first token in a body.
func tokenIn(body string) string { return regexp.MustCompile(`EAA[A-Za-z0-9]+`).FindString(body) }
