package authpipetest_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestShortTokenIsExchangedForLongOne(t *testing.T) {
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

// ada is what /me says of her.
func (w world) ada() string {
	return fmt.Sprintf(`{"id":%q,"name":"Ada Admin"}`, w.ScopedID(appID, "ada"))
}

func TestExchangeOfLongToken(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		name    string
		options authpipetest.Options
		after   time.Duration
		want    string        // expires_in and what is before it
		life    time.Duration // from the exchange on; zero: never expires
	}{
		{"the same day changes nothing", authpipetest.Options{}, 10 * time.Second, `,"expires_in":5183989`, authpipetest.LongLife - 10*time.Second},
		{"the same day may tell no expiry", authpipetest.Options{RepeatOmitsExpiresIn: true}, time.Hour, "", authpipetest.LongLife - time.Hour},
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
				t.Errorf("the old token is dead: %v", old.Error)
			}
		})
	}
}

func TestThirdExchangeOnTheSameDay(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token("email")
	first, _ := w.Inspect(token)
	for range 3 { // three times 11 hours: the day is over before the third
		w.clock.Advance(11 * time.Hour)
		token = w.extend(token).accessToken()
	}
	last, _ := w.Inspect(token)
	if got := last.ExpiresAt.Sub(first.ExpiresAt); got != 33*time.Hour {
		t.Errorf("the expiry moved by %s, want 33h", got)
	}
}

func TestRefusedTokenExchanges(t *testing.T) {
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

func TestExpiredTokenIsNotExchanged(t *testing.T) {
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

func TestPageTokenFollowsItsUserToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
	short := w.token(pageScope)
	ofShort, ofLong := w.pageToken(short), w.pageToken(w.extend(short).accessToken())
	if ofShort != w.pageToken(short) {
		t.Error("a user token gave two page tokens of one page")
	}
	w.KillToken(ofShort, 190, authpipetest.SubcodeSessionInvalidated, "")
	if ofShort = w.pageToken(short); w.get("/me", params("access_token", ofShort)).status != http.StatusOK {
		t.Error("a user token gave a dead page token")
	}
	w.clock.Advance(10 * 365 * 24 * time.Hour)
	if seen, _ := w.Inspect(ofShort); seen.Valid {
		t.Error("the page token of a short-lived user token outlived it")
	}
	if seen, _ := w.Inspect(ofLong); !seen.Valid || !seen.ExpiresAt.IsZero() {
		t.Errorf("the page token of a long-lived user token: %+v", seen)
	}
}
