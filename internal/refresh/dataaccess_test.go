package refresh_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// authType begins a session for ref and returns the auth_type of its dialog.
func authType(e *enginetest.Engine, ref string, data map[string]any) string {
	e.T.Helper()
	u, err := url.Parse(e.Begin(ref, data).URL)
	if err != nil {
		e.T.Fatal(err)
	}
	return u.Query().Get("auth_type")
}

// away lets the person be away from the app for longer than Facebook lets an app
// use their data, while the token is kept alive.
func away(e *enginetest.Engine) {
	for range 95 {
		e.After(enginetest.Day)
	}
}

// TestDataAccessEndShowsOnlyWhereItApplies: the 90 days do not apply to the
// permissions of pages, ads and businesses (C4).
func TestDataAccessEndShowsOnlyWhereItApplies(t *testing.T) {
	rows := map[string]struct {
		scopes string
		told   bool
	}{
		"pages":                {"public_profile,pages_show_list,pages_manage_posts,pages_messaging,read_insights", false},
		"ads_and_business":     {"ads_read,ads_management,business_management", false},
		"e-mail":               {"public_profile,email", true},
		"pages_and_user_scope": {"pages_show_list,user_posts", true},
		"instagram":            {"pages_show_list,instagram_basic", true},
		"leads":                {"pages_show_list,leads_retrieval", true},
	}
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for name, row := range rows {
		e.Facebook.AddUser(authpipetest.User{ID: name})
		e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": row.scopes})
		e.Connect("org_acme/facebook/users/"+name, name, authpipetest.Consent{User: name})
	}
	away(e)
	happened, _ := e.Events(0)
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			ref := "org_acme/facebook/users/" + name
			resp, err := e.Do(logical.ReadOperation, "creds/"+ref, nil)
			if err != nil {
				t.Fatal(err)
			}
			if warned := strings.Contains(strings.Join(resp.Warnings, "\n"), "access to the person's data"); warned != row.told {
				t.Errorf("warnings are %v", resp.Warnings)
			}
			if shown := e.Read("connections/" + ref)["data_access_expires_at"] != nil; shown != row.told {
				t.Errorf("the end is shown: %v", shown)
			}
			if expiring := slices.Contains(happened, "connection.expiring "+ref); expiring != row.told {
				t.Errorf("events are %v", happened)
			}
		})
	}
}

// TestConnectRenewsDataAccessThatEnds (C5).
func TestConnectRenewsDataAccessThatEnds(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	if got := authType(e, enginetest.Uma, nil); got != "" {
		t.Errorf("the first connect sends auth_type=%s", got)
	}
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	if got := authType(e, enginetest.Uma, nil); got != "" {
		t.Errorf("while data access lasts, auth_type=%s is sent", got)
	}
	for range 8 {
		e.After(10 * enginetest.Day)
	}
	e.After(4 * enginetest.Day) // it is the 84th
	if got := authType(e, enginetest.Uma, nil); got != "reauthorize" {
		t.Errorf("six days before the end auth_type is %q", got)
	}
	e.After(10 * enginetest.Day)
	if got := authType(e, enginetest.Uma, nil); got != "reauthorize" {
		t.Errorf("after the end auth_type is %q", got)
	}
	if got := authType(e, enginetest.Uma, map[string]any{"reauthorize": true}); got != "rerequest,reauthorize" {
		t.Errorf("where it is asked for, auth_type is %q", got)
	}
	e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
	if got := authType(e, enginetest.Uma, nil); got != "" {
		t.Errorf("connected again, auth_type is %q", got)
	}
}

// TestPersonUnusedForNinetyDaysIsServedWithAWarning: extend and /me answer
// 190/493, while debug_token says that the token is valid (F22).
func TestPersonUnusedForNinetyDaysIsServedWithAWarning(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	inactive := &authpipetest.GraphError{Code: 190, Subcode: 493, Message: "Error validating access token: The user has not used the app in the last 90 days."}
	for _, endpoint := range []string{authpipetest.EndpointExchangeToken, authpipetest.EndpointMe} {
		defer e.Facebook.Fail(authpipetest.Fault{Endpoint: endpoint, Error: inactive})()
	}
	_, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
	if err == nil {
		t.Fatal("refreshed")
	}
	e.CheckStatus("active", enginetest.Uma)
	resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Uma, nil)
	if err != nil || !strings.Contains(strings.Join(resp.Warnings, "\n"), "access to the person's data expired") {
		t.Errorf("read: %v, %v", resp, err)
	}
	if got := authType(e, enginetest.Uma, nil); got != "reauthorize" {
		t.Errorf("auth_type is %q", got)
	}
	e.After(time.Hour)
	e.CheckStatus("active", enginetest.Uma)
}

// TestDialogOfAConfigurationOverridesTheResponseType (C18, F24).
func TestDialogOfAConfigurationOverridesTheResponseType(t *testing.T) {
	e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
	u, err := url.Parse(e.Begin(enginetest.Installation, map[string]any{"actor": "admin"}).URL)
	if err != nil {
		t.Fatal(err)
	}
	if q := u.Query(); q.Get("config_id") == "" || q.Get("override_default_response_type") != "true" || q.Get("response_type") != "code" {
		t.Errorf("the dialog is %s", u)
	}
}
