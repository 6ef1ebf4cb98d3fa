package authpipetest_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const (
	codeUsed    = "This authorization code has been used."
	codeExpired = "This authorization code has expired."
	mismatch    = "Error validating verification code. Please make sure your redirect_uri is identical to the one you used in the OAuth dialog request"
)

func TestCodeIsExchangedForLongLivedToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	r := w.exchange("code", w.login("scope", "email"))
	r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":5183999}`, r.accessToken()))
	if !regexp.MustCompile(`^EAA[A-Za-z0-9]{150,}$`).MatchString(r.accessToken()) {
		t.Errorf("token %q does not look like one of Facebook's", r.accessToken())
	}
	for name, want := range map[string]string{
		"Content-Type":         "application/json; charset=UTF-8",
		"Facebook-Api-Version": "v26.0",
		"Date":                 "Mon, 16 Nov 2026 08:00:00 GMT",
	} {
		if got := r.header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestCodeIsTakenInEveryEncoding(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	asJSON := func(code string) string {
		return fmt.Sprintf(`{"client_id":%s,"client_secret":%q,"redirect_uri":%q,"code":%q,"grant_type":"authorization_code"}`,
			appID, appSecret, callback, code)
	}
	const boundary = "--x\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n"
	for _, test := range []struct {
		name, contentType string
		body              func(code string) string
	}{
		{"a form is read", "application/x-www-form-urlencoded", func(code string) string {
			return w.exchangeParams("code", code, "grant_type", "authorization_code").Encode()
		}},
		{"a JSON object is read", "application/json", asJSON},
		{"a JSON object with a charset is read", "application/json; charset=utf-8", asJSON},
		{"a multipart form is read", "multipart/form-data; boundary=x", func(code string) string {
			body := ""
			for name, values := range w.exchangeParams("code", code) {
				body += fmt.Sprintf(boundary, name, values[0])
			}
			return body + "--x--\r\n"
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			body := test.body(w.login())
			r := w.send(http.MethodPost, "/v26.0/oauth/access_token", nil, test.contentType, body)
			if r.status != http.StatusOK {
				t.Errorf("status %d: %s", r.status, r.body)
			}
		})
	}
}

func TestLifeOfExchangedToken(t *testing.T) {
	for _, test := range []struct {
		name      string
		options   authpipetest.Options
		expiresIn string // of the answer
		life      time.Duration
	}{
		{"by default it is long", authpipetest.Options{}, "5183999", authpipetest.LongLife},
		{"it may be short", authpipetest.Options{CodeTokenLife: authpipetest.ShortLife}, "5399", 90 * time.Minute},
		{"expires_in may be missing", authpipetest.Options{CodeOmitsExpiresIn: true}, "", authpipetest.LongLife},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.options)
			r := w.exchange("code", w.login())
			var got struct {
				ExpiresIn json.Number `json:"expires_in"`
			}
			if err := json.Unmarshal([]byte(r.body), &got); err != nil || got.ExpiresIn.String() != test.expiresIn {
				t.Errorf("expires_in %q, want %q (%v)", got.ExpiresIn, test.expiresIn, err)
			}
			seen, _ := w.Inspect(r.accessToken())
			if diff := cmp.Diff(w.clock.Now().Add(test.life), seen.ExpiresAt); diff != "" {
				t.Errorf("expiry in the books (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCodeIsGoodOnce(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	code := w.login()
	w.exchange("code", code).accessToken()
	r := w.exchange("code", code)
	r.refusedSub(100, 36009, codeUsed)
	const want = `OAuth "Facebook Platform" "invalid_code" "This authorization code has been used."`
	if got := r.header.Get("WWW-Authenticate"); got != want {
		t.Errorf("WWW-Authenticate: %s, want %s", got, want)
	}
}

func TestOneOfManyExchangesWins(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	code := w.login()
	var won atomic.Int32
	var racers sync.WaitGroup
	for range 16 {
		racers.Go(func() {
			if w.exchange("code", code).status == http.StatusOK {
				won.Add(1)
			}
		})
	}
	racers.Wait()
	if won.Load() != 1 {
		t.Errorf("%d exchanges of one code succeeded", won.Load())
	}
}

func TestRefusedExchanges(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for _, test := range []struct {
		name    string
		pairs   []string
		code    int
		message string
	}{
		{"a wrong secret has code 1", []string{"client_secret", "WRONG"}, 1, "Error validating client secret."},
		{"no secret is a wrong one", []string{"client_secret", ""}, 1, "Error validating client secret."},
		{"no client_id", []string{"client_id", ""}, 101, "Missing client_id parameter."},
		{"an unknown client_id", []string{"client_id", "999"}, 101, "Error validating application. Invalid application ID."},
		{"no code", []string{"code", ""}, 1, "Missing authorization code"},
		{"no redirect_uri", []string{"redirect_uri", ""}, 191, "Missing redirect_uri parameter."},
		{"what is no code at another URI", []string{"code", "hello", "redirect_uri", "https://e/other"}, 191, "Can't Load URL: The domain of this URL isn't included in the app's domains. To be able to load this URL, add all domains and subdomains of your app to the App Domains field in your app settings."},
		{"what is no code", []string{"code", "hello"}, 100, "Invalid verification code format."},
		{"another app's code", []string{"client_id", "456", "client_secret", "OTHER"}, 100, "Invalid verification code format."},
		{"a verifier without a challenge", []string{"code_verifier", "zzz"}, 1, "code_verifier param is provided without a code_challenge in authorization request."},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			w.exchange(append([]string{"code", w.login()}, test.pairs...)...).refused(http.StatusBadRequest, test.code, test.message)
		})
	}
}

func TestCodeExpires(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	late := w.login()
	w.clock.Advance(10 * time.Minute)
	w.exchange("code", late).refusedSub(100, 36007, codeExpired)
	just := w.login()
	w.clock.Advance(10*time.Minute - time.Second)
	w.exchange("code", just).accessToken()
}

func TestMismatchOfRedirectURI(t *testing.T) {
	for _, test := range []struct {
		name     string
		consumes bool
		then     int
	}{
		{"leaves the code good", false, http.StatusOK},
		{"spends the code, by a switch", true, http.StatusBadRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{MismatchConsumesCode: test.consumes})
			code := w.login()
			w.exchange("code", code, "redirect_uri", callback+"/").refusedSub(100, 36008, mismatch)
			if r := w.exchange("code", code); r.status != test.then {
				t.Errorf("with the right redirect_uri: status %d, want %d", r.status, test.then)
			}
		})
	}
}

func TestBasicAuthentication(t *testing.T) {
	for _, accepts := range []bool{false, true} {
		t.Run(fmt.Sprintf("accepted: %v", accepts), func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{AcceptBasicAuth: accepts})
			query := params("redirect_uri", callback, "code", w.login())
			r := must(http.NewRequest(http.MethodGet, w.base+"/v26.0/oauth/access_token?"+query.Encode(), nil))
			r.SetBasicAuth(appID, appSecret)
			if answered := w.round(r); accepts {
				answered.accessToken()
			} else {
				answered.refused(http.StatusBadRequest, 101, "Missing client_id parameter.")
			}
		})
	}
}

func TestCodeOfRemovedApp(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	code := w.login()
	w.RemoveApp(appID, "ada")
	w.exchange("code", code).refusedSub(190, 458, "Error validating access token: The user has not authorized application 123.")
}

func TestAppTokenByClientCredentials(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	r := w.exchange("redirect_uri", "", "grant_type", "client_credentials")
	r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"bearer"}`, r.accessToken()))
	token := w.token("email")
	for _, app := range []string{r.accessToken(), appToken} {
		if r := w.get("/debug_token", params("input_token", token, "access_token", app)); r.status != http.StatusOK {
			t.Errorf("app token %s: status %d: %s", app, r.status, r.body)
		}
	}
	w.SetAppSecret(appID, "NEW")
	for _, app := range []string{r.accessToken(), appToken} {
		w.get("/debug_token", params("input_token", token, "access_token", app)).
			refused(http.StatusBadRequest, 190, "Invalid OAuth access token signature.")
	}
	w.get("/me", params("access_token", token)).is(http.StatusOK,
		fmt.Sprintf(`{"id":%q,"name":"Ada Admin"}`, w.ScopedID(appID, "ada")))
	w.exchange("redirect_uri", "", "grant_type", "client_credentials").refused(http.StatusBadRequest, 1, "Error validating client secret.")
}
