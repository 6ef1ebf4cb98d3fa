package facebook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
)

// told is the time of Facebook's notifications in these tests, issued the same as
// it writes it.
var told = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

const issued = "1795435200"

// offline is a provider that makes no call.
func offline() *facebook.Provider {
	return facebook.New(http.NewFileTransport(nil), func() time.Time { return told.Add(time.Minute) })
}

var (
	client = oauth.Client{ID: "123", Secret: oauth.NewSecret(appSecret)}
	both   = oauth.Client{ID: "123", Secret: oauth.NewSecret(appSecret), OtherSecret: oauth.NewSecret("OLD")}
)

func sum(secret, message string) []byte {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(message))
	return mac.Sum(nil)
}

func signedAs(secret, encoded string) string {
	return base64.RawURLEncoding.EncodeToString(sum(secret, encoded)) + "." + encoded
}

func signed(secret, payload string) string {
	return signedAs(secret, base64.RawURLEncoding.EncodeToString([]byte(payload)))
}

const genuine = `{"user_id":"900","algorithm":"HMAC-SHA256","issued_at":` + issued + `}`

func TestASignedRequestIsOpened(t *testing.T) {
	for name, row := range map[string]struct {
		signed, account string
		client          oauth.Client
	}{
		"a deauthorization":               {signed(appSecret, genuine), "900", client},
		"a data deletion, which expires":  {signed(appSecret, `{"user_id":"900","algorithm":"HMAC-SHA256","issued_at":`+issued+`,"expires":1}`), "900", client},
		"under the secret of now":         {signed(appSecret, genuine), "900", both},
		"under the former secret":         {signed("OLD", genuine), "900", both},
		"the algorithm in small letters":  {signed(appSecret, `{"user_id":"900","algorithm":"hmac-sha256","issued_at":`+issued+`}`), "900", client},
		"an id as a number":               {signed(appSecret, `{"user_id":10224875123456789,"algorithm":"HMAC-SHA256","issued_at":`+issued+`}`), "10224875123456789", client},
		"the dashboard's test":            {signed(appSecret, `{"user_id":"0","algorithm":"HMAC-SHA256","issued_at":`+issued+`}`), "0", client},
		"blanks, and things not known":    {signed(appSecret, ` { "user_id" : "900" , "algorithm":"HMAC-SHA256","issued_at": `+issued+` , "page":{"id":[1]} } `), "900", client},
		"a payload with padding":          {signedAs(appSecret, base64.URLEncoding.EncodeToString([]byte(genuine+" "))), "900", client},
		"a code in the name of something": {signed(appSecret, `{"user_id":"900","algorithm":"HMAC-SHA256","issued_at":`+issued+`,"codes":"x"}`), "900", client},
	} {
		got, err := offline().OpenSignedRequest(row.client, row.signed)
		if err != nil || got.Account != row.account || got.Business != "" || !got.Gone || !got.At.Equal(told) || got.Reason == "" {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestWhatIsNoSignedRequestForTheEngineIsRefused(t *testing.T) {
	payload := func(more string) string {
		return signed(appSecret, `{"user_id":"900","algorithm":"HMAC-SHA256"`+more+`}`)
	}
	at := func(t time.Time) string { return payload(fmt.Sprintf(`,"issued_at":%d`, t.Unix())) }
	now := told.Add(time.Minute)
	signature, encoded, _ := strings.Cut(signed(appSecret, genuine), ".")
	other, _, _ := strings.Cut(signed(appSecret, strings.Replace(genuine, "900", "901", 1)), ".")
	for name, s := range map[string]string{
		"nothing": "", "a dot": ".", "no dot": signature + encoded, "no signature": "." + encoded, "no payload": signature + ".",
		"more behind": signature + "." + encoded + "." + encoded, "swapped": encoded + "." + signature, "another one's signature": other + "." + encoded,
		"a signature with padding": signature + "=." + encoded, "a payload with padding that was not signed": signature + "." + encoded + "=",
		"a signature in hex": hex.EncodeToString(sum(appSecret, encoded)) + "." + encoded, "a signature over the JSON": base64.RawURLEncoding.EncodeToString(sum(appSecret, genuine)) + "." + encoded,
		"a signature with a line break": signature[:20] + "\n" + signature[20:] + "." + encoded,
		"a signature cut short":         signature[:42] + "." + encoded,
		"another app's":                 signed("ANOTHER", genuine), "the empty secret's": signed("", genuine), "the former secret's, long after": signed("OLD", genuine),
		"too long": signed(appSecret, genuine+strings.Repeat(" ", 4096)), "huge": strings.Repeat("A", 10<<20),
		"no base64url": signedAs(appSecret, "{}"), "no JSON": signed(appSecret, "user"), "no object": signed(appSecret, `["900"]`), "no end": signed(appSecret, `{"user_id":"900"`),
		"two objects": signed(appSecret, genuine+"{}"), "nested": signed(appSecret, `{"payload":`+genuine+`}`), "deeply nested": signed(appSecret, strings.Repeat("[", 2000)),
		"a person twice": payload(`,"issued_at":` + issued + `,"user_id":"901"`), "a time twice": payload(`,"issued_at":1,"issued_at":` + issued),
		"a browser's, with a code": payload(`,"issued_at":` + issued + `,"code":"AQx"`), "with an empty code": payload(`,"issued_at":` + issued + `,"code":null`),
		"a browser's, with a token": payload(`,"issued_at":` + issued + `,"oauth_token":"EAAB"`),
		"without a time":            payload(""), "at no time": payload(`,"issued_at":null`), "at zero": payload(`,"issued_at":0`), "at a string": payload(`,"issued_at":"` + issued + `"`),
		"at a fraction": payload(`,"issued_at":` + issued + `.5`), "before time": payload(`,"issued_at":-1`), "after it": payload(`,"issued_at":99999999999999999999`),
		"older than a day": at(now.Add(-24*time.Hour - time.Second)), "ahead": at(now.Add(5*time.Minute + time.Second)),
		"nobody":            signed(appSecret, `{"algorithm":"HMAC-SHA256","issued_at":`+issued+`}`),
		"no id":             signed(appSecret, `{"user_id":null,"algorithm":"HMAC-SHA256","issued_at":`+issued+`}`),
		"an empty id":       signed(appSecret, `{"user_id":"","algorithm":"HMAC-SHA256","issued_at":`+issued+`}`),
		"an id of letters":  signed(appSecret, `{"user_id":"me","algorithm":"HMAC-SHA256","issued_at":`+issued+`}`),
		"an id of a float":  signed(appSecret, `{"user_id":9e2,"algorithm":"HMAC-SHA256","issued_at":`+issued+`}`),
		"an id's index":     signed(appSecret, `{"user_id":"business:5566","algorithm":"HMAC-SHA256","issued_at":`+issued+`}`),
		"no algorithm":      signed(appSecret, `{"user_id":"900","issued_at":`+issued+`}`),
		"another algorithm": signed(appSecret, `{"user_id":"900","algorithm":"none","issued_at":`+issued+`}`),
	} {
		if got, err := offline().OpenSignedRequest(client, s); !errors.Is(err, provider.ErrUnverified) || got != (provider.Notification{}) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, s := range []string{at(now.Add(-24 * time.Hour)), at(now.Add(5 * time.Minute))} {
		if _, err := offline().OpenSignedRequest(client, s); err != nil {
			t.Errorf("at the edge: %v", err)
		}
	}
	if _, err := offline().OpenSignedRequest(oauth.Client{ID: "123"}, signed("", genuine)); err == nil {
		t.Error("a client without a secret believes anybody")
	}
}

func TestASignedRequestWithOneBitFlippedIsRefused(t *testing.T) {
	good := signed(appSecret, genuine)
	for i := range len(good) * 8 {
		b := []byte(good)
		b[i/8] ^= 1 << (i % 8)
		if _, err := offline().OpenSignedRequest(both, string(b)); !errors.Is(err, provider.ErrUnverified) {
			t.Fatalf("bit %d: %v", i, err)
		}
	}
}

func FuzzSignedRequest(f *testing.F) {
	f.Add(genuine, signed(appSecret, genuine))
	f.Fuzz(func(t *testing.T, payload, stranger string) {
		if _, err := offline().OpenSignedRequest(both, stranger); err != nil && !errors.Is(err, provider.ErrUnverified) {
			t.Errorf("%q: %v", stranger, err)
		}
		if _, err := offline().OpenSignedRequest(client, signed("ANOTHER", payload)); err == nil {
			t.Errorf("%q is believed from another app", payload)
		}
		w, err := offline().OpenSignedRequest(client, signed(appSecret, payload))
		switch {
		case err != nil && !errors.Is(err, provider.ErrUnverified):
			t.Errorf("%q: %v", payload, err)
		case err == nil && (w.Account == "" || strings.Trim(w.Account, "0123456789") != "" || told.Sub(w.At).Abs() > 25*time.Hour):
			t.Errorf("%q is opened as %+v", payload, w)
		}
	})
}
