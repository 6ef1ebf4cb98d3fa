package authpipetest_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
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

func TestCodeInEveryEncoding(t *testing.T) {
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

func TestCodeTokenLifetimeOptions(t *testing.T) {
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
				t.Errorf("expiry (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCodeIsUsedOnce(t *testing.T) {
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

func TestCodeExchangedConcurrentlyIsUsedOnce(t *testing.T) {
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

func TestCodeExchangeRefusals(t *testing.T) {
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

func TestCodeNeedsSameRedirectURI(t *testing.T) {
	for _, test := range []struct {
		name     string
		consumes bool
		then     int
	}{
		{"leaves the code valid", false, http.StatusOK},
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

func TestBasicAuthenticationIsAnOption(t *testing.T) {
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

func TestCodeOfRemovedAppIsRefused(t *testing.T) {
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

func TestShortTokenIsExtended(t *testing.T) {
	w := newWorld(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
	short := w.token("email")
	w.clock.Advance(time.Hour)
	r := w.extend(short)
	r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"bearer","expires_in":5183999}`, r.accessToken()))
	if r.accessToken() == short {
		t.Error("the token is the same string")
	}
	w.clock.Advance(24 * time.Hour)
	w.get("/me", params("access_token", short)).refusedSub(190, 463, "Error validating access token: Session has expired on "+
		"Monday, 16-Nov-26 01:30:00 PST. The current time is Tuesday, 17-Nov-26 01:00:00 PST.")
	w.get("/me", params("access_token", r.accessToken())).is(http.StatusOK, w.ada())
}

// ada is the answer of /me for Ada.
func (w world) ada() string {
	return fmt.Sprintf(`{"id":%q,"name":"Ada Admin"}`, w.ScopedID(appID, "ada"))
}

func TestLongTokenIsExtendedOnceADay(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name    string
		options authpipetest.Options
		after   time.Duration
		want    string        // expires_in and what is before it
		life    time.Duration // from the exchange on; zero: never expires
	}{
		{"the same day changes nothing", authpipetest.Options{}, 10 * time.Second, `,"expires_in":5183989`, authpipetest.LongLife - 10*time.Second},
		{"the same day may have no expires_in", authpipetest.Options{RepeatOmitsExpiresIn: true}, time.Hour, "", authpipetest.LongLife - time.Hour},
		{"a later day counts anew", authpipetest.Options{}, day, `,"expires_in":5183999`, authpipetest.LongLife},
		{"a later day may change nothing either", authpipetest.Options{ReexchangeNeverExtends: true}, day, `,"expires_in":5097599`, authpipetest.LongLife - day},
		{"the expiry may be left out", authpipetest.Options{ExchangeOmitsExpiresIn: true}, day, "", authpipetest.LongLife},
		{"there may be no expiry", authpipetest.Options{ExchangeNeverExpires: true}, day, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, test.options)
			long := w.token("email")
			w.clock.Advance(test.after)
			r := w.extend(long)
			r.is(http.StatusOK, fmt.Sprintf(`{"access_token":%q,"token_type":"bearer"%s}`, r.accessToken(), test.want))
			seen, _ := w.Inspect(r.accessToken())
			if want := w.clock.Now().Add(test.life); test.life != 0 && !seen.ExpiresAt.Equal(want) || test.life == 0 && !seen.ExpiresAt.IsZero() {
				t.Errorf("expires at %s, want %s", seen.ExpiresAt, want)
			}
			if old, _ := w.Inspect(long); !old.Valid {
				t.Errorf("the old token is invalid: %v", old.Error)
			}
		})
	}
}

func TestLongTokenIsExtendedByAge(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	first, _ := w.Inspect(token)
	for range 3 { // 3 × 11 hours: the third is a day after the first
		w.clock.Advance(11 * time.Hour)
		token = w.extend(token).accessToken()
	}
	last, _ := w.Inspect(token)
	if got := last.ExpiresAt.Sub(first.ExpiresAt); got != 33*time.Hour {
		t.Errorf("the expiry moved by %s, want 33h", got)
	}
}

func TestTokenExchangeRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for _, test := range []struct {
		name    string
		pairs   []string
		code    int
		message string
	}{
		{"no token", []string{"fb_exchange_token", ""}, 1, "fb_exchange_token parameter not specified"},
		{"no secret", []string{"client_secret", ""}, 1, "Error validating client secret."},
		{"a wrong secret", []string{"client_secret", "WRONG"}, 1, "Error validating client secret."},
		{"another app's token", []string{"client_id", "456", "client_secret", "OTHER"}, 1, "The access token does not belong to application 456"},
		{"what is no token", []string{"fb_exchange_token", "IGAAx"}, 190, "Invalid OAuth access token - Cannot parse access token"},
		{"an app token", []string{"fb_exchange_token", appToken}, 190, "Invalid OAuth access token - Cannot parse access token"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := w.in(t)
			w.exchange(append([]string{"grant_type", "fb_exchange_token", "fb_exchange_token", token}, test.pairs...)...).
				refused(http.StatusBadRequest, test.code, test.message)
		})
	}
}

func TestExpiredTokenIsNotExtended(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	w.clock.Set(time.Date(2027, time.May, 3, 18, 0, 0, 0, time.UTC))
	w.ExpireToken(token)
	w.clock.Advance(3*time.Minute + 25*time.Second)
	r := w.extend(token)
	r.refusedSub(190, 463, "Error validating access token: Session has expired on Monday, 03-May-27 11:00:00 PDT. "+
		"The current time is Monday, 03-May-27 11:03:25 PDT.")
	const want = `OAuth "Facebook Platform" "invalid_token" "Error validating access token: Session has expired on Monday, ` +
		`03-May-27 11:00:00 PDT. The current time is Monday, 03-May-27 11:03:25 PDT."`
	if got := r.header.Get("WWW-Authenticate"); got != want {
		t.Errorf("WWW-Authenticate: %s", got)
	}
}

func TestClientCodeNeedsNoSecret(t *testing.T) {
	w := newWorld(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
	token := w.extend(w.token("email")).accessToken()
	var answered struct {
		Code      string
		MachineID string `json:"machine_id"`
		ExpiresIn int    `json:"expires_in"`
	}
	read := func(r reply) {
		t.Helper()
		if err := json.Unmarshal([]byte(r.body), &answered); err != nil || r.status != http.StatusOK {
			t.Fatalf("status %d: %s", r.status, r.body)
		}
	}
	read(w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token)))
	redeemed := w.exchange("client_secret", "", "code", answered.Code, "machine_id", "m-1")
	read(redeemed)
	if answered.MachineID != "m-1" || answered.ExpiresIn != 5183999 {
		t.Errorf("answered %s", redeemed.body)
	}
	w.get("/v27.0/me", params("access_token", redeemed.accessToken())).is(http.StatusOK, w.ada())
	w.exchange("client_secret", "", "code", answered.Code).refusedSub(100, 36009, "This authorization code has been used.")

	read(w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token)))
	read(w.exchange("client_secret", "", "code", answered.Code))
	if answered.MachineID == "" || answered.MachineID == "m-1" {
		t.Errorf("machine_id %q", answered.MachineID)
	}
}

func TestClientCodeRefusals(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	for name, r := range map[string]reply{
		"the secret":   w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token, "client_secret", "")),
		"redirect_uri": w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", token, "redirect_uri", "")),
		"the token":    w.get("/v27.0/oauth/client_code", w.exchangeParams()),
		"a person":     w.get("/v27.0/oauth/client_code", w.exchangeParams("access_token", appToken)),
	} {
		if r.status != http.StatusBadRequest || strings.Contains(r.body, `"code":"`) {
			t.Errorf("without %s: status %d: %s", name, r.status, r.body)
		}
	}
}

func TestPKCEModes(t *testing.T) {
	verifier := strings.Repeat("v", 43)
	sum := sha256.Sum256([]byte(verifier))
	s256 := base64.RawURLEncoding.EncodeToString(sum[:])
	const dropped, invalid, secretless = "code_verifier param is provided without a code_challenge in authorization request.",
		"Invalid code verifier. Code verifier should be a cryptographically random string using the characters A-Z, a-z, 0-9, and the punctuation characters -._~ (hyphen, period, underscore, and tilde), between 43 and 128 characters long.",
		"Error validating client secret."
	withOpenID := []string{"scope", "openid,email", "code_challenge", s256, "code_challenge_method", "S256"}
	withoutOpenID := []string{"scope", "email", "code_challenge", s256, "code_challenge_method", "S256"}
	for _, test := range []struct {
		name     string
		mode     authpipetest.PKCEMode
		login    []string
		exchange []string
		refused  string // empty: the exchange succeeds
	}{
		{"without openid the challenge is dropped", 0, withoutOpenID, nil, ""},
		{"without openid a verifier is refused", 0, withoutOpenID, []string{"code_verifier", verifier}, dropped},
		{"without openid a verifier replaces no secret", 0, withoutOpenID, []string{"code_verifier", verifier, "client_secret", ""}, secretless},
		{"with openid the verifier is checked", 0, withOpenID, []string{"code_verifier", verifier}, ""},
		{"with openid the verifier replaces the secret", 0, withOpenID, []string{"code_verifier", verifier, "client_secret", ""}, ""},
		{"with openid the secret replaces the verifier", 0, withOpenID, nil, ""},
		{"with openid neither is too little", 0, withOpenID, []string{"client_secret", ""}, secretless},
		{"with openid another verifier is refused", 0, withOpenID, []string{"code_verifier", verifier + "x"}, invalid},
		{"a verifier that is too short is refused", 0, withOpenID, []string{"code_verifier", "v"}, invalid},
		{
			"an unknown method is plain", 0,
			[]string{"scope", "openid", "code_challenge", verifier, "code_challenge_method", "sha256"},
			[]string{"code_verifier", verifier}, "",
		},
		{
			"a plain challenge is the verifier", 0, []string{"scope", "openid", "code_challenge", verifier},
			[]string{"code_verifier", verifier}, "",
		},
		{"in 2022 any challenge is bound", authpipetest.PKCEAlways, withoutOpenID, []string{"code_verifier", verifier}, ""},
		{"in 2022 the verifier may not be missing", authpipetest.PKCEAlways, withoutOpenID, nil, invalid},
		{"in 2022 a login without a challenge is as ever", authpipetest.PKCEAlways, nil, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := newWorld(t, authpipetest.Options{PKCE: test.mode})
			r := w.exchange(append([]string{"code", w.login(test.login...)}, test.exchange...)...)
			if test.refused == "" {
				r.accessToken()
			} else {
				r.refused(http.StatusBadRequest, 1, test.refused)
			}
		})
	}
}

func TestWrongVerifierKeepsCode(t *testing.T) {
	verifier := strings.Repeat("v", 43)
	w := newWorld(t, authpipetest.Options{VerifierErrorCode: 100})
	code := w.login("scope", "openid", "code_challenge", verifier)
	if r := w.exchange("code", code, "code_verifier", "wrong"); !strings.Contains(r.body, `"code":100`) {
		t.Errorf("the switch does not choose the error code: %s", r.body)
	}
	w.exchange("code", code, "code_verifier", verifier).accessToken()
}
