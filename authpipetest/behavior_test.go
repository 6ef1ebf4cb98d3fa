package authpipetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestEachBehaviorCanBeSetAndStoppedOnTheControlPage(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	seen := map[string]bool{}
	for _, b := range authpipetest.Behaviors() {
		if seen[b.Name] {
			t.Errorf("%s is there twice", b.Name)
		}
		seen[b.Name] = true
		if page := w.control(controlRequest(http.MethodPost, url.Values{"action": {"behave"}, "name": {b.Name}})); page.Code != http.StatusSeeOther {
			t.Fatalf("%s: status %d", b.Name, page.Code)
		}
		body := w.control(controlRequest(http.MethodGet, nil)).Body.String()
		if strings.Count(body, "<strong>On.</strong>") != 1 {
			t.Errorf("%s is not shown as on", b.Name)
		}
		w.control(controlRequest(http.MethodPost, url.Values{"action": {"stop"}, "name": {b.Name}}))
		if body := w.control(controlRequest(http.MethodGet, nil)).Body.String(); strings.Contains(body, "<strong>On.</strong>") {
			t.Errorf("%s does not stop", b.Name)
		}
	}
	if page := w.control(controlRequest(http.MethodPost, url.Values{"action": {"behave"}, "name": {"no-such"}})); page.Code != http.StatusBadRequest {
		t.Errorf("an unknown behavior is answered with %d", page.Code)
	}
	if _, err := w.Behave("no-such"); err == nil {
		t.Error("an unknown behavior is no error")
	}
}

// TestBehaviorAnswers takes one of each kind: faults at several endpoints, one that
// strikes once, and a change of the options, beside one that was made with them.
func TestBehaviorAnswers(t *testing.T) {
	w := newWorld(t, authpipetest.Options{AppIDAsNumber: true})
	token := w.token("public_profile")
	stop, err := w.Behave("app-deactivated")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v26.0/me", "/v26.0/me/accounts"} {
		if body := w.get(path, params("access_token", token)).body; !strings.Contains(body, `"code":200`) || !strings.Contains(body, "API access deactivated") {
			t.Errorf("%s answers %s", path, body)
		}
	}
	stop()
	stop()
	if body := w.get("/v26.0/me", params("access_token", token)).body; strings.Contains(body, "error") {
		t.Errorf("afterwards it answers %s", body)
	}
	defer func() { // both may be on, in any order
		if body := w.debug(token).body; !strings.Contains(body, `"app_id":`+appID) {
			t.Errorf("what it was made with does not hold any more: %s", body)
		}
	}()
	old, err := w.Behave("old-app")
	if err != nil {
		t.Fatal(err)
	}
	numbers, err := w.Behave("ids-as-numbers")
	if err != nil {
		t.Fatal(err)
	}
	old()
	numbers()
}

func TestPageTokenEndsWhereThePersonChoosesOtherPages(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	page := w.pageToken(w.token(pageScope))
	if seen, _ := w.Inspect(page); !seen.Valid {
		t.Fatalf("it begins as %+v", seen)
	}
	w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"888"}}, pageScope)
	if seen, _ := w.Inspect(page); seen.Valid || seen.Error == nil || seen.Error.Code != 190 {
		t.Errorf("it is %+v", seen)
	}
}

func TestPageOfAPortfolioIsListedOnlyWithBusinessManagement(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Portfolio: "42"})
	token := w.token(pageScope)
	if body := w.get("/v26.0/me/accounts", params("access_token", token)).body; strings.Contains(body, "777") {
		t.Errorf("the list is %s", body)
	}
	if body := w.get("/v26.0/777", params("fields", "access_token", "access_token", token)).body; !strings.Contains(body, `"access_token"`) {
		t.Errorf("by its id it answers %s", body)
	}
	if body := w.get("/v26.0/me/accounts", params("access_token", w.token(pageScope+",business_management"))).body; !strings.Contains(body, "777") {
		t.Errorf("with business_management the list is %s", body)
	}
}
