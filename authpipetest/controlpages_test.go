package authpipetest_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// press clicks a button of the control page.
func (w world) press(form url.Values) int {
	w.t.Helper()
	return w.control(controlRequest(http.MethodPost, form)).Code
}

func (w world) desk() []input {
	w.t.Helper()
	return inputs(w.t, w.control(controlRequest(http.MethodGet, nil)).Body.String())
}

func TestControlChangesRoles(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	tasks := func() string { return w.byID("777", user).body }
	role := func(action string, tasks ...string) {
		form := params("action", action, "page", "777", "user", "ada", "tasks", "asked")
		form["task"] = tasks
		if code := w.press(form); code != http.StatusSeeOther {
			t.Errorf("%s: status %d", action, code)
		}
	}
	role("give-role", "ANALYZE", "MODERATE")
	if got := tasks(); !strings.Contains(got, `"tasks":["ANALYZE","MODERATE"]`) {
		t.Errorf("other tasks: %s", got)
	}
	on := slices.DeleteFunc(choices(w.desk(), "task"), func(s string) bool {
		return !strings.HasPrefix(s, "Page A 777 / Ada Admin / ") || !strings.HasSuffix(s, ": on")
	})
	if diff := cmp.Diff([]string{"Page A 777 / Ada Admin / ANALYZE: on", "Page A 777 / Ada Admin / MODERATE: on"}, on); diff != "" {
		t.Errorf("tasks shown (-want +got):\n%s", diff)
	}
	role("give-role")
	if got := w.byID("777", user).shape(); got != "200: id name tasks" {
		t.Errorf("no task at all: %s", got)
	}
	role("take-role")
	if got := w.byID("777", user).shape(); got != pageAbsent {
		t.Errorf("no role: %s", got)
	}
	role("give-role", "MANAGE")
	if got := w.byID("777", user).shape(); got != pageOwn {
		t.Errorf("a role again: %s", got)
	}
}

func TestControlMovesPagesIntoPortfolios(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	user := w.token(pageScope)
	move := func(business string, pairs ...string) string {
		form := params("action", "portfolio", "page", "777", "business", business)
		for name, values := range params(pairs...) {
			form[name] = values
		}
		if code := w.press(form); code != http.StatusSeeOther {
			t.Errorf("into %q: status %d", business, code)
		}
		listed := "listed"
		if !strings.Contains(w.get("/me/accounts", params("access_token", user)).body, `"777"`) {
			listed = "not listed"
		}
		return listed + ", " + w.byID("777", user).shape()
	}
	for _, step := range []struct{ got, want string }{
		{move(businessID), "not listed, " + pageOwn},
		{move(businessID, "strict", "1"), "not listed, " + pagePublic},
		{move(""), "listed, " + pageOwn},
	} {
		if step.got != step.want {
			t.Errorf("%s, want %s", step.got, step.want)
		}
	}
}

func TestControlRenames(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	for id, name := range map[string]string{"777": "New Page", "ada": "New Ada", businessID: "New Business"} {
		if code := w.press(params("action", "rename", "object", id, "name", name)); code != http.StatusSeeOther {
			t.Errorf("%s: status %d", id, code)
		}
		if !slices.ContainsFunc(w.desk(), func(at input) bool { return at.Name == "name" && at.Value == name }) {
			t.Errorf("the page does not show %s", name)
		}
	}
}

func TestControlChangesPageLists(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	token := w.token(pageScope)
	read := func() string { return w.get("/me/accounts", params("limit", "30", "access_token", token)).body }
	answers := func(pairs ...string) {
		if code := w.press(params(append(pairs, "action", "page-list")...)); code != http.StatusSeeOther {
			t.Errorf("%v: status %d", pairs, code)
		}
	}
	answers("user", "ada", "empty", "1", "limit", "0")
	if body := w.control(controlRequest(http.MethodGet, nil)).Body.String(); !strings.Contains(body, "<p>Ada Admin: the next 1 empty.</p>") {
		t.Errorf("the page: %s", body)
	}
	if got := read(); got != `{"data":[]}` {
		t.Errorf("the next list: %s", got)
	}
	if got := read(); !strings.Contains(got, `"777"`) || strings.Contains(got, `"next"`) {
		t.Errorf("the one after: %s", got)
	}
	answers("user", "", "empty", "-1", "limit", "40", "endless", "1")
	if body := w.control(controlRequest(http.MethodGet, nil)).Body.String(); !strings.Contains(body, "<p>Everyone else: always empty, at most 40 at once, without an end.</p>") ||
		strings.Contains(body, "<p>Ada Admin:") {
		t.Errorf("the page: %s", body)
	}
	answers("user", "", "limit", "20")
	if got := read(); !strings.Contains(got, "Please reduce the amount of data") {
		t.Errorf("beyond the limit: %s", got)
	}
}

func TestControlRefusesUnknownPagesAndPeople(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	for _, pairs := range [][]string{
		{"action", "take-role", "page", "777", "user", "uma"},
		{"action", "give-role", "page", "777", "user", "nobody"},
		{"action", "give-role", "page", "4711", "user", "ada"},
		{"action", "portfolio", "page", "4711"},
		{"action", "rename", "object", "4711", "name", "x"},
		{"action", "rename", "object", "777"},
		{"action", "page-list", "user", "nobody"},
		{"action", "page-list", "empty", "many"},
		{"action", "page-list", "limit", "-1"},
	} {
		if code := w.press(params(pairs...)); code != http.StatusBadRequest {
			t.Errorf("%v: status %d", pairs, code)
		}
	}
}

func TestControlNamesItsControls(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.SetPortfolio("888", "42") // a business that was not added
	if len(w.desk()) == 0 {
		t.Error("the page has no controls")
	}
}
