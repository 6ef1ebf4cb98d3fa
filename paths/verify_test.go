package paths_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestVerifyChecksConfig(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	if ok, found := e.Findings(); !ok || len(found) != 5 || !strings.Contains(found["app_mode"]["detail"].(string), "does not tell") {
		t.Errorf("all is well, and found is %v", found)
	}
	for check, row := range map[string]struct {
		trouble func(*enginetest.Engine)
		says    string
	}{
		"client_secret": {func(e *enginetest.Engine) { e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret) }, "client secret"},
		"former_client_secret": {func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
			e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
		}, "client secret"},
		"graph_version": {func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v97.0"})
		}, "not known"},
		"redirect_uri": {func(e *enginetest.Engine) {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"redirect_uris": enginetest.MountURL + "/callback/facebook," + enginetest.MountURL + "/callback/facebook/"})
		}, enginetest.MountURL + "/callback/facebook/ is not registered"},
		"clock_skew": {func(e *enginetest.Engine) {
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Status: 400, Error: &authpipetest.GraphError{Code: 2500, Message: "An active access token must be used"},
				Header: map[string][]string{"Date": {"Mon, 23 Nov 2026 11:50:00 GMT"}}})
		}, "10m"},
	} {
		e := enginetest.New(t, authpipetest.Options{})
		row.trouble(e)
		ok, found := e.Findings()
		// Of two secrets one is not accepted: that is as it should be.
		if ok != (check == "former_client_secret") || found[check]["ok"] != false || !strings.Contains(found[check]["detail"].(string), row.says) {
			t.Errorf("%s: found is %v", check, found)
		}
		for other, f := range found {
			if other == "redirect_uri" && check == "client_secret" && strings.Contains(f["detail"].(string), "cannot be told") {
				continue
			}
			if other != check && f["ok"] != true {
				t.Errorf("with trouble in %s, %s is %v", check, other, f)
			}
			if detail := f["detail"].(string); strings.Contains(detail, enginetest.AppSecret) || strings.Contains(detail, enginetest.NewSecret) {
				t.Errorf("%s shows a secret: %s", other, detail)
			}
		}
	}
}

func TestVerifyNamesEndOfVersion(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v22.0"})
	if _, found := e.Findings(); found["graph_version"]["ok"] != true || !strings.Contains(found["graph_version"]["detail"].(string), "2027-05-20") {
		t.Errorf("found is %v", found["graph_version"])
	}
	e.Clock.Set(time.Date(2027, time.June, 1, 0, 0, 0, 0, time.UTC))
	if _, found := e.Findings(); found["graph_version"]["ok"] != false || !strings.Contains(found["graph_version"]["detail"].(string), "has ended") {
		t.Errorf("after its end, found is %v", found["graph_version"])
	}
	clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointMe, Status: 200, Body: "{}", Header: map[string][]string{"Facebook-Api-Version": {""}}})
	if _, found := e.Findings(); found["graph_version"]["ok"] != false || !strings.Contains(found["graph_version"]["detail"].(string), "graph_url") {
		t.Errorf("with an answer of nobody knows whom, found is %v", found["graph_version"])
	}
	clear()
	e.Facebook.Fail(authpipetest.Fault{Reset: true})
	if ok, found := e.Findings(); ok || found["graph_version"]["ok"] != false || found["client_secret"]["ok"] != false {
		t.Errorf("with the provider down, found is %v", found)
	}
	e.Refused("not_found", 404, logical.UpdateOperation, "config/google/verify", nil)
}

// TestVerifySelectsAcceptedSecretDuringOverlap looks at a client with two secrets, of which the
// provider accepts one: which one, is what verifying finds out and remembers.
func TestVerifySelectsAcceptedSecretDuringOverlap(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
	found := func(ok, fresh, former bool) {
		t.Helper()
		got, found := e.Findings()
		if got != ok || found["client_secret"]["ok"] != fresh || found["former_client_secret"]["ok"] != former {
			t.Errorf("ok is %v, and found is %v", got, found)
		}
	}
	found(true, false, true)
	if !proves(e) {
		t.Error("before the provider knows the new secret, a proof is made with it")
	}
	e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
	found(true, true, false)
	if !proves(e) {
		t.Error("verifying saw the former secret refused, and proofs are still made with it")
	}
	e.Facebook.SetAppSecret(enginetest.AppID, "none of them")
	found(false, false, false)
}

func TestUnknownVersionIsNamedInErrors(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v97.0"})
	for _, question := range []string{"check", "refresh"} {
		if text := e.Refused("misconfigured", 424, logical.UpdateOperation, "connections/"+enginetest.Uma+"/"+question, nil); !strings.Contains(text, "graph_version v97.0") {
			t.Errorf("a %s does not name the version: %s", question, text)
		}
	}
	e.CheckHealthy([]string{enginetest.Uma})
	// A version that has ended is served by another, which only verifying shows.
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v18.0"})
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
	if ok, found := e.Findings(); ok || !strings.Contains(found["graph_version"]["detail"].(string), "has ended") {
		t.Errorf("found is %v", found["graph_version"])
	}
}

// redirects returns what verify finds of redirect URIs, by what is configured.
func redirects(e *enginetest.Engine, uris ...string) map[string]map[string]any {
	e.T.Helper()
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"redirect_uris": uris})
	found, i := map[string]map[string]any{}, 0
	for _, f := range e.Must(logical.UpdateOperation, "config/facebook/verify", nil)["findings"].([]map[string]any) {
		if f["check"] == "redirect_uri" {
			found[uris[i]] = f
			i++
		}
	}
	if i != len(uris) {
		e.T.Errorf("%d of %d redirect URIs are looked at", i, len(uris))
	}
	return found
}

func TestVerifyListsRegisteredRedirectURIs(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	const (
		registered = enginetest.MountURL + "/callback/facebook"
		other      = "https://elsewhere.example.com/callback/facebook"
		loopback   = "http://127.0.0.1:8200/v1/authpipe/callback/facebook"
	)
	var events []string
	events, _ = e.Events(0)
	found := redirects(e, registered, other, loopback)
	for uri, want := range map[string]struct {
		ok   bool
		says string
	}{registered: {true, "is registered"}, other: {false, "Valid OAuth Redirect URIs"}, loopback: {true, "development"}} {
		detail := found[uri]["detail"].(string)
		if found[uri]["ok"] != want.ok || !strings.Contains(detail, want.says) || !strings.Contains(detail, uri) {
			t.Errorf("of %s it says %v", uri, found[uri])
		}
	}
	// Nothing but the answer says so: no credential and no provider has a failure.
	e.CheckHealthy([]string{enginetest.Installation, enginetest.Uma})
	if after, _ := e.Events(0); len(after) != len(events) {
		t.Errorf("events: %v", after[len(events):])
	}
	if state := e.Read("health")["providers"].(map[string]any)["facebook"].(map[string]any)["state"]; state != "ok" {
		t.Errorf("the provider is %v", state)
	}
}

func TestVerifyReadsEachAnswerAboutARedirectURI(t *testing.T) {
	const uri = enginetest.MountURL + "/callback/facebook"
	for name, row := range map[string]struct {
		fault authpipetest.Fault
		ok    bool
		says  string
	}{
		"the code is refused":                   {authpipetest.Fault{Error: &authpipetest.GraphError{Code: 100, Subcode: 36009, Message: "Invalid verification code"}}, true, "is registered"},
		"the domain is not the app's":           {authpipetest.Fault{Error: &authpipetest.GraphError{Code: 191, Message: "Can't Load URL"}}, false, "is not registered"},
		"it is another one than at the dialog":  {authpipetest.Fault{Error: &authpipetest.GraphError{Code: 100, Subcode: 36008, Message: "Error validating verification code."}}, false, "is not registered"},
		"the same in words":                     {authpipetest.Fault{Error: &authpipetest.GraphError{Code: 100, Message: "Please make sure your redirect_uri is identical to the one you used"}}, false, "is not registered"},
		"Facebook is down":                      {authpipetest.Fault{Status: 500, Error: &authpipetest.GraphError{Code: 2, Message: "Service temporarily unavailable"}}, false, "cannot be told"},
		"Facebook has enough calls":             {authpipetest.Fault{Error: &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}}, false, "cannot be told"},
		"the connection is cut":                 {authpipetest.Fault{Reset: true}, false, "cannot be told"},
		"the code is taken by who knows whom":   {authpipetest.Fault{Status: 200, Body: `{"access_token":"EAAnobodys"}`}, false, "graph_url"},
		"the answer is a page of somebody else": {authpipetest.Fault{Status: 200, Body: `<html>`}, false, "cannot be told"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Connected(t, authpipetest.Options{})
			row.fault.Endpoint = authpipetest.EndpointAccessToken
			e.Facebook.Fail(row.fault)
			found := redirects(e, uri)[uri]
			if found["ok"] != row.ok || !strings.Contains(found["detail"].(string), row.says) || strings.Contains(found["detail"].(string), "EAAnobodys") {
				t.Errorf("it finds %v", found)
			}
			e.CheckHealthy([]string{enginetest.Installation, enginetest.Uma})
		})
	}
}
