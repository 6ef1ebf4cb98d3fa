package judges

import (
	"strings"
	"testing"

	"github.com/markbates/goth/providers/facebook"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// Goth requests email, first_name, last_name, link, about, id, name, picture and location, and always sends a proof.
func TestGothLogsInWithItsDefaults(t *testing.T) {
	fb := newSimulator(t, authpipetest.Options{})
	fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RedirectURIs: []string{callback}, RequireAppSecret: true})
	provider := facebook.New(appID, appSecret, callback, "user_location")
	provider.HTTPClient = fb.client
	begun, err := provider.BeginAuth("state-1")
	if err != nil {
		t.Fatal(err)
	}
	// the form in which an application keeps it in the browser's session
	kept, err := provider.UnmarshalSession(begun.Marshal())
	if err != nil {
		t.Fatal(err)
	}
	authURL, err := kept.GetAuthURL()
	if err != nil {
		t.Fatal(err)
	}
	token, err := kept.Authorize(provider, fb.login(authURL, "state-1"))
	if err != nil {
		t.Fatal(err)
	}
	user, err := provider.FetchUser(kept)
	if err != nil {
		t.Fatal(err)
	}
	if user.AccessToken != token || user.UserID != fb.ScopedID(appID, "ada") || user.Name != "Ada Admin" || user.FirstName != "Ada" ||
		user.LastName != "Admin" || user.Email != "ada@example.com" || user.Location != "Zurich" || user.ExpiresAt.IsZero() {
		t.Errorf("user %+v", user)
	}
	if !strings.Contains(user.AvatarURL, "/platform/profilepic/") || user.RawData["about"] != nil || user.RawData["link"] != nil {
		t.Errorf("picture %s, raw %v", user.AvatarURL, user.RawData)
	}
}

func TestGothReadsExpandedFields(t *testing.T) {
	fb := newSimulator(t, authpipetest.Options{})
	provider := facebook.New(appID, appSecret, callback, "pages_show_list").SetCustomFields(
		[]string{"id", "short_name", "picture.type(large)", "accounts.limit(1){id,name,link,username}"})
	provider.HTTPClient = fb.client
	session, err := provider.BeginAuth("s")
	if err != nil {
		t.Fatal(err)
	}
	authURL, err := session.GetAuthURL()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := session.Authorize(provider, fb.login(authURL, "s")); err != nil {
		t.Fatal(err)
	}
	user, err := provider.FetchUser(session)
	if err != nil {
		t.Fatal(err)
	}
	pages, _ := user.RawData["accounts"].(map[string]any)["data"].([]any)
	if len(pages) != 1 || pages[0].(map[string]any)["name"] != "Ada's Bakery" || user.RawData["short_name"] != "Ada" ||
		!strings.Contains(user.AvatarURL, "width=200") {
		t.Errorf("user %+v", user)
	}
}
