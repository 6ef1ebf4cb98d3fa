package facebook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/canary"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

// An answering transport gives every call the same answer.
type answering struct {
	status int
	body   []byte
	usage  string
}

// RoundTrip implements [http.RoundTripper].
func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	header := http.Header{"Content-Type": {"application/json"}, "X-Business-Use-Case-Usage": {a.usage}}
	return &http.Response{StatusCode: a.status, Header: header, Body: io.NopCloser(bytes.NewReader(a.body)), Request: r}, nil
}

var (
	fuzzNow = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	classes = []provider.Class{
		provider.Transient, provider.Throttled, provider.NeedsReauth, provider.Revoked, provider.Permission, provider.Misconfigured, provider.Caller,
	}
)

const (
	fuzzSecret = "the-secret+of/the=app"
	fuzzToken  = "EAAtoken-of-the-person"
	fuzzCode   = "AQcode-of-the-person"

	fuzzClientToken = "the-client-token-of-the-app"
)

// FuzzGraphAnswer has Facebook answer each call with what it is given. Whatever
// that is, an error is classified, shows no secret even if the answer does, and
// garbage is transient: it costs no credential its life.
func FuzzGraphAnswer(f *testing.F) {
	for _, body := range []string{
		`{"data":{"is_valid":true,"app_id":"123","user_id":"9","expires_at":1900000000,"scopes":["email"],"granular_scopes":[{"scope":"x","target_ids":["1"]}]}}`,
		`{"data":{"is_valid":false,"app_id":123,"error":{"code":190,"subcode":460,"message":"` + fuzzToken + `"}}}`,
		`{"access_token":"EAAfresh","token_type":"bearer","expires_in":"5183944"}`,
		`{"error":{"message":"` + fuzzSecret + `","type":"OAuthException","code":190,"error_subcode":458,"fbtrace_id":"` + fuzzCode + `"}}`,
		`{"error":{"message":"client_secret=` + url.QueryEscape(fuzzSecret) + `","code":1}}`, `{"error":"invalid_grant ` + fuzzCode + `"}`, `{"error":{"code":"4"}}`, `{"error":null,"success":true}`, `true`,
		`{"data":[{"id":"777","name":"A","access_token":"EAApage","tasks":["CREATE_CONTENT"]},{"id":"x"}],"paging":{"cursors":{"after":"c"},"next":"https://e"}}`,
		`[{"code":200,"body":"{\\"data\\":{\\"is_valid\\":true,\\"app_id\\":\\"123\\",\\"user_id\\":\\"9\\",\\"expires_at\\":0}}"},null]`,
		`{"code":"` + fuzzCode + `","user_code":"ABCD","verification_uri":"https://d","expires_in":420,"interval":5}`, `{"code":"c","user_code":"u","expires_in":9223372036854775807,"interval":-1}`,
		`{"error":{"message":"` + fuzzClientToken + ` ` + fuzzCode + `","code":31,"error_subcode":1349174}}`, `{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"},{"kty":"oct","k":"AA"},{}],"access_token":"a","id_token":"a.b.c"}`,
		"", "null", "<html>", "\xff\xfe", "[[[[[[", `{"data":`, strings.Repeat("[", 20_000),
	} {
		f.Add(200, body, "")
		f.Add(400, body, `{"1":[{"estimated_time_to_regain_access":5}]}`)
		f.Add(500, body, `{"1":[{"estimated_time_to_regain_access":1e300}]}`)
	}
	var search canary.Search
	search.Plant("app secret", fuzzSecret)
	search.Plant("token", fuzzToken)
	search.Plant("code", fuzzCode)
	search.Plant("client token", fuzzClientToken)
	f.Fuzz(func(t *testing.T, status int, body, usage string) {
		if status < 200 || status > 599 {
			return
		}
		p := facebook.New(answering{status, []byte(body), usage}, func() time.Time { return fuzzNow })
		c := oauth.Client{ID: "123", Secret: oauth.NewSecret(fuzzSecret), Token: oauth.NewSecret(fuzzClientToken), APIVersion: "v27.0", AuthorizationBase: "https://d", APIBase: "https://g"}
		token := oauth.Token{AccessToken: oauth.NewSecret(fuzzToken), Account: "9", ExpiryUnknown: true}
		check := func(op string, err error) {
			t.Helper()
			if err == nil {
				// A refusal that says that the grant is gone is as good as its revocation,
				// and x/oauth2 takes any status of success for an exchange.
				if status != http.StatusOK && op != "revoke" && (op != "exchange" || status >= 300) {
					t.Errorf("%s: status %d is a success", op, status)
				}
				return
			}
			var e *provider.Error
			if !errors.As(err, &e) || !slices.Contains(classes, e.Class) || e.Op == "" {
				t.Errorf("%s: %v has no class", op, err)
			} else if e.Class != provider.Transient && !json.Valid([]byte(body)) {
				t.Errorf("%s: garbage is %s", op, e.Class)
			} else if e.Class != provider.Throttled && !e.Until.IsZero() || e.Until.After(fuzzNow.Add(24*time.Hour)) || !e.Until.IsZero() && !e.Until.After(fuzzNow) {
				t.Errorf("%s: to be left alone until %v", op, e.Until)
			} else if strings.ContainsAny(e.Message+e.TraceID, "\r\n\x00\x1b") || len(e.Message) > 1000 {
				t.Errorf("%s: the message is %q", op, e.Message)
			}
			for _, text := range []string{err.Error(), provider.Refusal(err).Error()} {
				// What a call was not sent cannot be echoed.
				known := search.Without("code", "client token")
				switch op {
				case "exchange":
					known = search.Without("client token")
				case "begin device":
					known = search.Without("code", "app secret", "token")
				case "poll device":
					known = search.Without("app secret", "token")
				}
				if found := known.Find([]byte(text)); len(found) > 0 {
					t.Errorf("%s: the error shows %v", op, found)
				}
			}
		}
		inspected, err := p.Inspect(t.Context(), c, token)
		if check("inspect", err); err == nil && (inspected.AccessToken != oauth.NewSecret(fuzzToken) || inspected.Account == "" || inspected.ExpiryUnknown || inspected.ExpiresAt.Year() > 9999) {
			t.Errorf("a token that is not known is taken in: %+v", inspected)
		}
		exchanged, err := p.Exchange(t.Context(), c, provider.Grant{Code: oauth.NewSecret(fuzzCode), RedirectURI: "https://e"})
		if check("exchange", err); err == nil && exchanged.AccessToken.IsZero() {
			t.Error("an exchange brings an empty token")
		}
		_, err = p.Refresh(t.Context(), c, token)
		check("refresh", err)
		check("revoke", p.Revoke(t.Context(), c, token))
		check("probe", p.Probe(t.Context(), c))
		for i, inspection := range p.InspectAll(t.Context(), c, []oauth.Token{token, {AccessToken: oauth.NewSecret("EAAanother-person"), Account: "10", ExpiryUnknown: true}}) {
			if check("batch", inspection.Err); inspection.Err == nil && inspection.Token.AccessToken.IsZero() {
				t.Errorf("token %d of a batch is empty", i)
			}
		}
		device, err := p.BeginDevice(t.Context(), c, []string{"email"})
		if check("begin device", err); err == nil && (device.Code.IsZero() || device.UserCode == "" || device.ExpiresIn <= 0 || device.ExpiresIn > time.Hour || device.Interval <= 0 || device.Interval > time.Minute) {
			t.Errorf("a device login is %v, %s, %v, %v", device.Code, device.UserCode, device.ExpiresIn, device.Interval)
		}
		_, err = p.PollDevice(t.Context(), c, oauth.NewSecret(fuzzCode))
		check("poll device", err)
		if signed, err := p.Exchange(t.Context(), c, provider.Grant{Code: oauth.NewSecret(fuzzCode), RedirectURI: "https://e", Nonce: oauth.NewSecret("nonce")}); err == nil {
			t.Errorf("what no key has signed is an ID token: %+v", signed)
		}
		for _, finding := range p.Verify(t.Context(), c) {
			if found := search.Without("code", "token", "client token").Find([]byte(finding.Detail)); finding.Check == "" || finding.Detail == "" || len(found) > 0 && finding.Check == "client_secret" || strings.ContainsAny(finding.Detail, "\r\n\x00\x1b") {
				t.Errorf("verifying finds %+v", finding)
			}
		}
		pages, err := p.Pages(t.Context(), c, token)
		check("pages", err)
		for _, page := range pages {
			if page.ID == "" || strings.Trim(page.ID, "0123456789") != "" || page.Token.AccessToken.IsZero() || strings.ContainsAny(page.Name+strings.Join(page.Tasks, ""), "\r\n\x00") {
				t.Errorf("a page is %+v", page)
			}
		}
	})
}
