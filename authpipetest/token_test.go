package authpipetest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestKillTokenSetsError(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	uid := w.ScopedID(appID, "ada")
	for subcode, message := range map[int]string{
		458: "Error validating access token: The user has not authorized application 123.",
		459: "Error validating access token: You cannot access the app till you log in to www.facebook.com and follow the instructions given.",
		460: "Error validating access token: The session has been invalidated because the user changed their password or Facebook has changed the session for security reasons.",
		463: "Error validating access token: Session has expired on Monday, 16-Nov-26 00:00:00 PST. The current time is Monday, 16-Nov-26 00:00:00 PST.",
		464: "Error validating access token: Sessions for the user " + uid + " are not allowed because the user is not a confirmed user.",
		467: "Error validating access token: The session is invalid because the user logged out.",
		492: "Error validating access token: User associated with the Page access token does not have an appropriate role on the Page.",
		466: "Error validating access token.",
	} {
		t.Run(strconv.Itoa(subcode), func(t *testing.T) {
			w := w.in(t)
			token := w.token("email")
			w.KillToken(token, 190, subcode, "")
			w.get("/v26.0/me", params("access_token", token)).refusedSub(190, subcode, message)
			w.extend(token).refusedSub(190, subcode, message)
			w.debug(token).is(http.StatusOK, fmt.Sprintf(`{"data":{"app_id":"123","type":"USER","is_valid":false,
				"expires_at":1800000000,"scopes":[],"error":{"code":190,"subcode":%d,"message":%q}}}`, subcode, message))
		})
	}
	token := w.token("email")
	w.KillToken(token, 102, 0, "Session key invalid")
	w.get("/v26.0/me", params("access_token", token)).refused(http.StatusBadRequest, 102, "Session key invalid")
	w.get("/v26.0/me", params("access_token", w.token("email"))).is(http.StatusOK, w.ada())
}

func TestChangePasswordInvalidatesTokensOfAllApps(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	page := w.pageToken(user)
	other := w.tokenAs(authpipetest.Consent{User: "uma"}, "email")
	w.ChangePassword("ada")
	for _, token := range []string{user, page} {
		if seen, _ := w.Inspect(token); seen.Valid || seen.Error.Subcode != 460 {
			t.Errorf("after the change: %+v", seen)
		}
	}
	if seen, _ := w.Inspect(other); !seen.Valid {
		t.Errorf("another person's token died: %v", seen.Error)
	}
}

func TestInspectDescribesIssuedTokens(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	if _, known := w.Inspect("EAAnever"); known {
		t.Error("a token was known that was never issued")
	}
	if seen, known := w.Inspect(appToken); !known || seen.Kind != authpipetest.KindApp || !seen.Valid {
		t.Errorf("app token: %+v", seen)
	}
	before := len(w.Requests())
	w.Inspect(appToken)
	if len(w.Requests()) != before {
		t.Error("Inspect is on the log")
	}
}

func TestPageTokenFollowsUserToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{CodeTokenLife: authpipetest.ShortLife})
	short := w.token(pageScope)
	ofShort, ofLong := w.pageToken(short), w.pageToken(w.extend(short).accessToken())
	if ofShort != w.pageToken(short) {
		t.Error("a user token gave two page tokens of one page")
	}
	w.KillToken(ofShort, 190, authpipetest.SubcodeSessionInvalidated, "")
	if ofShort = w.pageToken(short); w.get("/me", params("access_token", ofShort)).status != http.StatusOK {
		t.Error("a user token gave an invalid page token")
	}
	w.clock.Advance(10 * 365 * 24 * time.Hour)
	if seen, _ := w.Inspect(ofShort); seen.Valid {
		t.Error("the page token of a short-lived user token outlived it")
	}
	if seen, _ := w.Inspect(ofLong); !seen.Valid || !seen.ExpiresAt.IsZero() {
		t.Errorf("the page token of a long-lived user token: %+v", seen)
	}
}

func TestPageTokenEndsIfPageIsDeselected(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	page := w.pageToken(w.token(pageScope))
	if seen, _ := w.Inspect(page); !seen.Valid {
		t.Fatalf("at first it is %+v", seen)
	}
	w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"888"}}, pageScope)
	if seen, _ := w.Inspect(page); seen.Valid || seen.Error == nil || seen.Error.Code != 190 {
		t.Errorf("it is %+v", seen)
	}
}

func TestRemovePageRoleInvalidatesPageTokenOnly(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	page := w.pageToken(token)
	w.RemovePageRole("777", "ada")
	w.get("/v26.0/777", params("access_token", page)).refusedSub(190, 492,
		"Error validating access token: User associated with the Page access token does not have an appropriate role on the Page.")
	w.get("/v26.0/me", params("access_token", token)).is(http.StatusOK, w.ada())
	w.get("/v26.0/me/accounts", params("fields", "id", "access_token", token)).is(http.StatusOK,
		`{"data":[{"id":"888"}],"paging":{"cursors":{"before":"ODg4","after":"ODg4"}}}`)
}
