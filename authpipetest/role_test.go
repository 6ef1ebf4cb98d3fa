package authpipetest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

const noAppropriateRole = "Error validating access token: User associated with the Page access token does not have an appropriate role on the Page."

func TestPageRoleIsTakenAndGivenBack(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	page := w.pageToken(user)
	me := func(token string) reply { return w.get("/me", params("access_token", token, "fields", "id")) }
	w.RemovePageRole("777", "ada")
	me(page).refusedSub(190, 492, noAppropriateRole)
	if got := w.byID("777", user).shape(); got != pageAbsent {
		t.Errorf("without the role: %s", got)
	}
	w.SetPageRole("777", "ada", nil)
	me(w.pageToken(user)).is(http.StatusOK, `{"id":"777"}`)
	if body := w.get("/me/accounts", params("access_token", user)).body; !strings.Contains(body, `"777"`) {
		t.Errorf("with the role again: %s", body)
	}
}

func TestPageRoleHasTasks(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.token(pageScope)
	page := w.pageToken(user)
	tasks := func() reply { return w.get("/777", params("fields", "tasks", "access_token", user)) }
	post := func() int {
		return w.send(http.MethodPost, "/777/feed", params("message", "m", "access_token", page), "", "").status
	}
	w.SetPageRole("777", "ada", []string{"ANALYZE"})
	tasks().is(http.StatusOK, `{"tasks":["ANALYZE"],"id":"777"}`)
	if status := post(); status != http.StatusForbidden {
		t.Errorf("a post without the task: status %d", status)
	}
	w.get("/me", params("fields", "tasks", "access_token", page)).is(http.StatusOK, `{"tasks":["ANALYZE"],"id":"777"}`)
	w.SetPageRole("777", "ada", nil)
	tasks().is(http.StatusOK, `{"tasks":["ANALYZE","ADVERTISE","MODERATE","CREATE_CONTENT","MANAGE"],"id":"777"}`)
	if status := post(); status != http.StatusOK {
		t.Errorf("a post with the task: status %d", status)
	}
	w.SetPageRole("777", "nobody", nil) // neither has an effect
	w.SetPageRole("4711", "ada", nil)
}

func TestPageRoleWithoutRightsGivesNoToken(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	user := w.tokenAs(authpipetest.Consent{User: "ada", Pages: []string{"777"}}, pageScope)
	page := w.pageToken(user)
	w.SetPageRole("777", "ada", []string{})
	w.get("/me/accounts", params("fields", "id,tasks,access_token", "access_token", user)).is(http.StatusOK,
		`{"data":[{"id":"777","tasks":[]}],"paging":{"cursors":{"before":"Nzc3","after":"Nzc3"}}}`)
	if got := w.byID("777", user).shape(); got != "200: id name tasks" {
		t.Errorf("by its id: %s", got)
	}
	w.get("/me", params("access_token", page)).refusedSub(190, 492, noAppropriateRole)
	w.AddUser(authpipetest.User{ID: "eve", Name: "Eve", Pages: []string{"888"}, Tasks: map[string][]string{"888": {}}})
	if got := w.byID("888", w.tokenAs(authpipetest.Consent{User: "eve"}, pageScope)).shape(); got != "200: id name tasks" {
		t.Errorf("a role that is without rights from the start: %s", got)
	}
}

func TestRenamedPageUserAndBusinessAnswerNewNames(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.AddSystemUser(authpipetest.SystemUser{ID: "61", Name: "Robot", Business: businessID})
	user := w.token(pageScope + ",business_management")
	for id, name := range map[string]string{"777": "New Page", "ada": "Ada Baker", businessID: "New Bakery Ltd", "61": "New Robot", "4711": "x"} {
		w.Rename(id, name)
	}
	for path, want := range map[string]string{"777": "New Page", "me": "Ada Baker", businessID: "New Bakery Ltd"} {
		if r := w.get("/"+path, params("fields", "id,name", "access_token", user)); !strings.Contains(r.body, `"name":"`+want+`"`) {
			t.Errorf("%s: %s", path, r.body)
		}
	}
}

func TestBusinessNameNeedsPermission(t *testing.T) {
	w := newBusiness(t, authpipetest.Options{})
	w.AddPage(authpipetest.Page{ID: "777", Name: "Page A", Portfolio: businessID})
	w.AddUser(authpipetest.User{ID: "uma", Name: "Uma User", Pages: []string{"777"}})
	name := func(token string) string {
		return w.get("/"+businessID, params("fields", "name", "access_token", token)).shape()
	}
	for _, step := range []struct{ name, got, want string }{
		{"without business_management", name(w.token(pageScope)), pageAbsent},
		{"an admin", name(w.token("business_management")), pagePublic},
		{"an employee", name(w.tokenAs(authpipetest.Consent{User: "uma"}, "business_management")), pagePublic},
		{"not selected", name(w.tokenAs(authpipetest.Consent{User: "uma", Businesses: []string{}}, "business_management")), pageAbsent},
		{"its system user", name(w.connect(authpipetest.Consent{})), pagePublic},
	} {
		if step.got != step.want {
			t.Errorf("%s: %s, want %s", step.name, step.got, step.want)
		}
	}
}
