package authpipetest_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

func TestDialogRedirectsWithCode(t *testing.T) {
	w := newWorld(t, authpipetest.Options{AutoApprove: true})
	for _, path := range []string{"/v26.0/dialog/oauth", "/dialog/oauth"} {
		r := w.get(path, params("client_id", appID, "redirect_uri", callback, "state", "s", "scope", "email,pages_show_list"))
		location := r.header.Get("Location")
		if r.status != http.StatusFound || !regexp.MustCompile(`^https://e/cb\?code=AQ[A-Za-z0-9_-]{300}&state=s#_=_$`).MatchString(location) {
			t.Errorf("%s: status %d, Location %q", path, r.status, location)
		}
	}
}

func TestDialogEchoesState(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	const state = "a b&c=d#e/ü"
	if got := w.authorize(authpipetest.Consent{}, "state", state).Query().Get("state"); got != state {
		t.Errorf("state %q, want %q", got, state)
	}
	if back := w.authorize(authpipetest.Consent{}, "state", ""); back.Query().Has("state") {
		t.Errorf("a state out of nowhere: %s", back)
	}
}

func TestDialogBlocksUnregisteredRedirects(t *testing.T) {
	w := newWorld(t, authpipetest.Options{AutoApprove: true})
	w.AddApp(authpipetest.App{ID: "789", RedirectURIs: []string{
		"https://e/cb?a=1&b=2", "http://example.com/cb", "http://127.0.0.1:8250/cb", "http://localhost/cb",
	}})
	const blocked, insecure = "URL Blocked", "Insecure Login Blocked"
	for _, test := range []struct {
		name, uri, title string
	}{
		{"to the letter, query included", "https://e/cb?a=1&b=2", ""},
		{"a state parameter of its own is no difference", "https://e/cb?a=1&state=x&b=2", ""},
		{"loopback needs no https", "http://127.0.0.1:8250/cb", ""},
		{"localhost needs no https", "http://localhost/cb", ""},
		{"a trailing slash is a difference", "https://e/cb/?a=1&b=2", blocked},
		{"a parameter more is a difference", "https://e/cb?a=1&b=2&c=3", blocked},
		{"another order is a difference", "https://e/cb?b=2&a=1", blocked},
		{"another port is a difference", "https://e:443/cb?a=1&b=2", blocked},
		{"another host", "https://evil/cb?a=1&b=2", blocked},
		{"plain http elsewhere", "http://example.com/cb", insecure},
		{"none", "", "The parameter redirect_uri is required"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := w.in(t).get("/v26.0/dialog/oauth", params("client_id", "789", "redirect_uri", test.uri))
			switch location := r.header.Get("Location"); {
			case test.title == "" && r.status != http.StatusFound:
				t.Errorf("status %d: %s", r.status, r.body)
			case test.title != "" && (location != "" || r.status != http.StatusBadRequest || !strings.Contains(r.body, test.title)):
				t.Errorf("status %d, Location %q: %s", r.status, location, r.body)
			}
		})
	}
}

func TestDialogShowsErrorPages(t *testing.T) {
	w := newWorld(t, authpipetest.Options{AutoApprove: true, BlockedStatus: http.StatusOK})
	for _, test := range []struct{ name, url, text string }{
		{"an unknown app", w.dialog("client_id", "1"), "does not look like a valid app ID"},
		{"an unknown version", w.base + "/v99.0" + strings.TrimPrefix(w.dialog(), w.base+"/v26.0"), "something went wrong"},
		{"an unknown person", w.dialog("_user", "<nobody>"), "there is no user &#34;&lt;nobody&gt;&#34;"},
		{"a configuration", w.dialog("config_id", "5"), "is no configuration of this app"},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := w.in(t).round(must(http.NewRequest(http.MethodGet, test.url, nil)))
			if r.status != http.StatusOK || !strings.Contains(r.body, test.text) {
				t.Errorf("status %d: %s", r.status, r.body)
			}
			if _, err := w.Authorize(test.url, authpipetest.Consent{User: "<nobody>"}); err == nil {
				t.Error("Authorize returned no error")
			}
		})
	}
}

func TestDialogRedirectParameters(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	w.AddApp(authpipetest.App{ID: "789", RedirectURIs: []string{"https://e/cb?keep=this%20one"}})
	for _, test := range []struct {
		name    string
		consent authpipetest.Consent
		pairs   []string
		want    string
	}{
		{
			"denial", authpipetest.Consent{Cancel: true}, nil,
			"https://e/cb?error=access_denied&error_code=200&error_description=Permissions+error&error_reason=user_denied&state=s#_=_",
		},
		{
			"denial keeps the query of redirect_uri", authpipetest.Consent{Cancel: true},
			[]string{"client_id", "789", "redirect_uri", "https://e/cb?keep=this%20one"},
			"https://e/cb?keep=this%20one&error=access_denied&error_code=200&error_description=Permissions+error&error_reason=user_denied&state=s#_=_",
		},
		{
			"an error of the platform has no error parameter",
			authpipetest.Consent{ErrorCode: 901, ErrorMessage: "This app is in sandbox mode"}, nil,
			"https://e/cb?error_code=901&error_message=This+app+is+in+sandbox+mode&state=s#_=_",
		},
		{
			"scopes are listed on request", authpipetest.Consent{User: "uma", Decline: []string{"user_likes"}},
			[]string{"scope", "email user_likes", "return_scopes", "true"},
			"https://e/cb?code=AQ&denied_scopes=user_likes&granted_scopes=email%2Cpublic_profile&state=s#_=_",
		},
		{
			"granted scopes are a response type", authpipetest.Consent{User: "ada"},
			[]string{"scope", "email", "response_type", "code granted_scopes"},
			"https://e/cb?code=AQ&granted_scopes=email%2Cpublic_profile&state=s#_=_",
		},
		{
			"a token comes in the fragment", authpipetest.Consent{}, []string{"response_type", "token"},
			"https://e/cb#access_token=EAA&data_access_expiration_time=1802592000&expires_in=5399&state=s",
		},
		{
			"a code beside a token too", authpipetest.Consent{}, []string{"response_type", "code token"},
			"https://e/cb#access_token=EAA&code=AQ&data_access_expiration_time=1802592000&expires_in=5399&state=s",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			back := w.in(t).authorize(test.consent, test.pairs...)
			got := regexp.MustCompile(`=(AQ|EAA)[A-Za-z0-9_-]+`).ReplaceAllString(back.String(), "=$1")
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestPlatformErrorMayOmitState(t *testing.T) {
	w := newWorld(t, authpipetest.Options{PlatformErrorOmitsState: true})
	got := w.authorize(authpipetest.Consent{ErrorCode: 1349048, ErrorMessage: "no"}).String()
	if want := "https://e/cb?error_code=1349048&error_message=no#_=_"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestDeclinedPermissionIsOfferedOnRerequestOnly(t *testing.T) {
	w := newWorld(t, authpipetest.Options{})
	scopes := func(consent authpipetest.Consent, pairs ...string) string {
		q := w.authorize(consent, append([]string{"scope", "email,user_likes", "return_scopes", "true"}, pairs...)...).Query()
		return q.Get("granted_scopes") + " but not " + q.Get("denied_scopes")
	}
	for _, step := range []struct{ name, got, want string }{
		{
			"declined at first, but for public_profile, which cannot be",
			scopes(authpipetest.Consent{Decline: []string{"email", "public_profile"}}), "public_profile,user_likes but not email",
		},
		{"not asked again", scopes(authpipetest.Consent{}), "public_profile,user_likes but not email"},
		{
			"asked again", scopes(authpipetest.Consent{}, "auth_type", "reauthenticate,rerequest"),
			"email,public_profile,user_likes but not ",
		},
		{
			"what is granted is not up for a decision", scopes(authpipetest.Consent{Decline: []string{"email"}}),
			"email,public_profile,user_likes but not ",
		},
	} {
		if step.got != step.want {
			t.Errorf("%s: %s, want %s", step.name, step.got, step.want)
		}
	}
}

func TestDialogParametersForScripts(t *testing.T) {
	for _, auto := range []bool{false, true} {
		w := newWorld(t, authpipetest.Options{AutoApprove: auto, AutoApproveUser: "ada"})
		steer := func(header string, pairs ...string) string {
			r := must(http.NewRequest(http.MethodGet, w.dialog(append(pairs, "scope", pageScope)...), nil))
			if header != "" {
				r.Header.Set("X-Simulator-User", header)
			}
			return w.round(r).header.Get("Location")
		}
		seen := func(location string) authpipetest.Inspection {
			back := must(url.Parse(location))
			seen, _ := w.Inspect(w.exchange("code", back.Query().Get("code")).accessToken())
			return seen
		}
		if got := seen(steer("uma")).User; got != "uma" {
			t.Errorf("auto-approve %v: the header logs %q in", auto, got)
		}
		declined := seen(steer("", "_user", "ada", "_decline", "email,pages_manage_posts", "_pages", "888"))
		if diff := cmp.Diff([]string{"pages_read_engagement", "pages_show_list", "public_profile"}, declined.Scopes); declined.User != "ada" || diff != "" {
			t.Errorf("auto-approve %v: as %s (-want +got):\n%s", auto, declined.User, diff)
		}
		for steered, want := range map[string]string{
			steer("", "_cancel", "1"):                               "error_reason=user_denied",
			steer("", "_error_code", "9", "_error_message", "oops"): "?error_code=9&error_message=oops&state=s#_=_",
		} {
			if !strings.Contains(steered, want) {
				t.Errorf("auto-approve %v: %s, want %s", auto, steered, want)
			}
		}
	}
}

func FuzzDialogRedirectsOnlyToRegisteredURIs(f *testing.F) {
	f.Add("client_id=123&redirect_uri=https%3A%2F%2Fe%2Fcb&state=s&scope=email")
	f.Add("client_id=123&redirect_uri=https%3A%2F%2Fe%2Fcb%3Fstate%3Dx&_cancel=1")
	f.Add("client_id=123&redirect_uri=https%3A%2F%2Fe%2Fcb%40evil&response_type=token&_user=ada")
	f.Add("client_id=123&redirect_uri=https%3A%2F%2Fe%2Fcb&_error_message=%0d%0aSet-Cookie:x&return_scopes=true")
	f.Fuzz(func(t *testing.T, query string) {
		fb := authpipetest.NewFacebook(authpipetest.Options{AutoApprove: true})
		fb.AddApp(authpipetest.App{ID: appID, RedirectURIs: []string{callback}})
		fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin"})
		r := &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/dialog/oauth", RawQuery: query}, Header: http.Header{}}
		recorder := httptest.NewRecorder()
		fb.ServeHTTP(recorder, r)
		location := recorder.Header().Get("Location")
		if location == "" {
			return
		}
		back, err := url.Parse(location)
		if err != nil {
			t.Fatalf("Location %q: %v", location, err)
		}
		if back.Scheme != "https" || back.Host != "e" || back.Path != "/cb" || strings.ContainsAny(location, "\r\n") {
			t.Errorf("Location %q", location)
		}
	})
}
