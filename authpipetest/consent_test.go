package authpipetest_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// click posts the consent page's form.
func (w world) click(dialog string, form url.Values) reply {
	w.t.Helper()
	r := must(http.NewRequest(http.MethodPost, dialog, strings.NewReader(form.Encode())))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return w.round(r)
}

func (w world) open(pageURL string) reply {
	w.t.Helper()
	return w.round(must(http.NewRequest(http.MethodGet, pageURL, nil)))
}

func TestDialogAsksInBrowser(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	dialog := w.dialog("scope", pageScope)
	people := w.open(dialog)
	for _, want := range []string{"Log in to Demo", "Ada Admin", "Uma User", `href="?_as=ada&amp;client_id=123`, "?_as=uma"} {
		if !strings.Contains(people.body, want) {
			t.Errorf("the page of people lacks %q:\n%s", want, people.body)
		}
	}
	consent := w.open(dialog + "&_as=ada")
	for _, want := range []string{
		"Demo asks for access", "Continue as Ada Admin", "sent to e.", "Page A", "Page B",
		`name="allow" value="email" checked`, `checked disabled> public_profile`,
	} {
		if !strings.Contains(consent.body, want) {
			t.Errorf("the page of permissions lacks %q:\n%s", want, consent.body)
		}
	}
	redirected := w.click(dialog, url.Values{
		"user": {"ada"}, "action": {"continue"}, "allow": {"pages_show_list", "email"}, "pages": {"asked"}, "page": {"888"},
	})
	back := must(url.Parse(redirected.header.Get("Location")))
	token := w.exchange("code", back.Query().Get("code")).accessToken()
	seen, _ := w.Inspect(token)
	if diff := cmp.Diff([]string{"email", "pages_show_list", "public_profile"}, seen.Scopes); diff != "" {
		t.Errorf("scopes (-want +got):\n%s", diff)
	}
	w.get("/me/accounts", params("fields", "id", "access_token", token)).is(http.StatusOK,
		`{"data":[{"id":"888"}],"paging":{"cursors":{"before":"ODg4","after":"ODg4"}}}`)
	if again := w.open(dialog + "&_as=ada"); !strings.Contains(again.body, "Allowed before: email, pages_show_list, public_profile.") {
		t.Errorf("the page does not show what was granted before:\n%s", again.body)
	}
}

func TestDialogCancelRedirectsWithAccessDenied(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	got := w.click(w.dialog(), url.Values{"action": {"cancel"}}).header.Get("Location")
	if !strings.Contains(got, "error_reason=user_denied&state=s#_=_") {
		t.Errorf("Location %q", got)
	}
}

func TestDialogPagesEscapeAndLoadNothing(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	const nasty = `<script>alert("1")</script>`
	w.AddApp(authpipetest.App{ID: appID, Name: nasty, RedirectURIs: []string{callback}})
	w.AddUser(authpipetest.User{ID: "ada", Name: nasty, Pages: []string{"777"}})
	w.AddPage(authpipetest.Page{ID: "777", Name: nasty})
	dialog := w.dialog("scope", "pages_show_list,"+nasty, "state", nasty)
	for _, page := range []string{dialog, dialog + "&_as=ada", w.base + "/", w.dialog("_user", nasty)} {
		r := w.open(page)
		if strings.Contains(r.body, "<script") || strings.Contains(r.body, "src=") || strings.Contains(r.body, "@import") {
			t.Errorf("%s:\n%s", page, r.body)
		}
		if got := r.header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'") {
			t.Errorf("%s: Content-Security-Policy %q", page, got)
		}
	}
}

func TestDialogSkipsChoiceOfOnlyPerson(t *testing.T) {
	fb := authpipetest.NewFacebook(authpipetest.Options{})
	fb.AddApp(authpipetest.App{ID: appID, RedirectURIs: []string{callback}})
	fb.AddUser(authpipetest.User{ID: "uma", Name: "Uma User"})
	w := world{fb, t, nil, fb.Start(t)}
	if r := w.open(w.dialog()); !strings.Contains(r.body, "Continue as Uma User") {
		t.Error(r.body)
	}
}

func TestIndexListsAppsAndPeople(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	r := w.open(w.base + "/")
	for _, want := range []string{"client_id <code>123</code>", callback, "Ada Admin", "X-Simulator-User", "/debug_token"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("the index lacks %q:\n%s", want, r.body)
		}
	}
	if strings.Contains(r.body, appSecret) {
		t.Error("the index shows the app secret")
	}
}

func TestSDKCodeHasNoRedirectURI(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	login := func() string {
		t.Helper()
		return must(w.LoginBySDK(appID, url.Values{"scope": {"email"}}, authpipetest.Consent{}))
	}
	w.exchange("code", login(), "redirect_uri", "").accessToken()
	code := login()
	w.exchange("code", code).refusedSub(100, 36008, mismatch)
	w.exchange("code", code, "redirect_uri", "").accessToken()
	// A code of the dialog is bound to the redirect URI of the dialog.
	w.exchange("code", w.login(), "redirect_uri", "").refused(http.StatusBadRequest, 191, "Missing redirect_uri parameter.")
}

func TestSDKLoginReturnsErrorIfCancelled(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	if code, err := w.LoginBySDK(appID, nil, authpipetest.Consent{Cancel: true}); err == nil {
		t.Errorf("the code is %q", code)
	}
}
