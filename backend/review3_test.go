package backend_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A page whose first check fails is refused; the next read must say the same.
func TestReview3ALostRoleIsToldTheSameTwice(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	dead := `{"data":{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":492,"message":"No role"}}}`
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: dead})()
	for i := range 3 {
		resp, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
		if err == nil {
			t.Logf("read %d: served, warnings %v", i, resp.Warnings)
		} else {
			t.Logf("read %d: %v", i, err)
		}
		if i > 0 && err == nil {
			t.Errorf("read %d is served what read 0 was refused", i)
		}
	}
}

// A page's dead token must not cost two calls a read.
func TestReview3ADeadPageTokenIsNotAskedForAtEachRead(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.read("creds/" + page777)
	dead := `{"data":{"app_id":"123","type":"PAGE","is_valid":false,"scopes":[],"error":{"code":190,"subcode":460,"message":"changed"}}}`
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: dead})()
	e.do(logical.UpdateOperation, "connections/"+page777+"/check", nil)
	n := e.fb.Count("")
	var errs []string
	for range 20 {
		_, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
		errs = append(errs, fmt.Sprint(err))
	}
	if got := e.fb.Count("") - n; got > 4 {
		t.Errorf("20 reads made %d calls (%s)", got, errs[19])
	}
}

// A page's token is fetched, never exchanged.
func TestReview3APageTokenIsNotExchanged(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	expires := e.clock.Now().Add(2 * time.Hour).Unix()
	body := fmt.Sprintf(`{"data":{"app_id":"123","type":"PAGE","is_valid":true,"user_id":"9","profile_id":"777","expires_at":%d,"scopes":[]}}`, expires)
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: body})
	c := e.read("creds/" + page777)
	clear()
	t.Logf("expires_at %v", c["expires_at"])
	before := c["access_token"].(string)
	n := e.fb.Count(authpipetest.EndpointExchangeToken)
	resp, err := e.do(logical.ReadOperation, "creds/"+page777, map[string]any{"min_ttl": "24h"})
	if got := e.fb.Count(authpipetest.EndpointExchangeToken) - n; got != 0 {
		t.Errorf("a read with min_ttl exchanged the page's token %d times: %v", got, err)
	}
	if err == nil && resp.Data["access_token"] != before {
		known, _ := e.fb.Inspect(resp.Data["access_token"].(string))
		t.Logf("served now is %+v", known)
	}
}

// A page whose token expires while it stands alone is fetched anew, by the read.
func TestReview3AnExpiredPageTokenIsFetchedAnew(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	expires := e.clock.Now().Add(2 * time.Hour).Unix()
	body := fmt.Sprintf(`{"data":{"app_id":"123","type":"PAGE","is_valid":true,"user_id":"9","profile_id":"777","expires_at":%d,"scopes":[]}}`, expires)
	clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Body: body})
	c := e.read("creds/" + page777)
	clear()
	e.fb.ExpireToken(c["access_token"].(string))
	e.clock.Advance(3 * time.Hour)
	n := e.fb.Count(authpipetest.EndpointExchangeToken)
	_, err := e.do(logical.ReadOperation, "creds/"+page777, nil)
	if got := e.fb.Count(authpipetest.EndpointExchangeToken) - n; got != 0 || err != nil {
		t.Errorf("an expired page token: %d exchanges, %v", got, err)
	}
}

func TestReview3TheSecretOfAnotherClientIsNotKept(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_id": "124", "force": true})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	if got := e.read("config/facebook")["former_secret_until"]; got != nil {
		t.Errorf("the secret of app 123 is kept for app 124, and served in proofs, until %v", got)
	}
}

// The same, together and in one write, while an overlap runs.
func TestReview3TheSecretOfAnotherClientIsNotKeptInOneWrite(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	for _, change := range []map[string]any{
		{"client_id": "124", "force": true},
		{"client_id": "125", "force": true, "client_secret": newSecret + "x"},
	} {
		e.must(logical.UpdateOperation, "config/facebook", change)
		if got := e.read("config/facebook")["former_secret_until"]; got != nil {
			t.Errorf("%v: kept until %v", change, got)
		}
	}
}

func TestReview3TheWarningIsRepeated(t *testing.T) {
	e := business(t, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	s := e.begin("org_globex/facebook/installation", map[string]any{"actor": "admin"})
	code := e.callback(e.consent(s, authpipetest.Consent{User: "ada"})).code(t)
	for i := range 2 {
		resp, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		if err != nil || len(resp.Warnings) != 1 {
			t.Errorf("completion %d: %v, %v", i+1, resp.Warnings, err)
		}
	}
}

// With completion=callback nobody but the later complete can be told.
func TestReview3TheWarningIsToldAfterACallbackThatRedeems(t *testing.T) {
	e := business(t, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"completion": "callback"})
	s := e.begin("org_globex/facebook/installation", map[string]any{"actor": "admin"})
	back := e.consent(s, authpipetest.Consent{User: "ada"})
	e.callback(back)
	resp, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "state": back.Query().Get("state"), "code": back.Query().Get("code")})
	if err != nil || len(resp.Warnings) != 1 {
		t.Errorf("%v, %v", resp, err)
	}
}

// In the overlap, Facebook accepts one of the two; that is as it should be.
func TestReview3AnOverlapIsNoTrouble(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	if ok, found := e.findings(); !ok {
		t.Errorf("before the dashboard has it: %v", found)
	}
	e.fb.SetAppSecret(appID, newSecret)
	if ok, found := e.findings(); !ok {
		t.Errorf("after: %v", found)
	}
}

// A proof is made with the secret last accepted: what verify has just found out counts.
func TestReview3VerifyRemembersWhichSecretIsAccepted(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
	e.fb.SetAppSecret(appID, newSecret)
	e.findings()
	if !e.proves() {
		t.Error("verify saw the new secret accepted and the former refused, and proofs are made with the former")
	}
}

// A secret that the provider never accepted is not "last accepted".
func TestReview3AWrongSecretIsNotTakenForAccepted(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": "wrong-secret-0123456789", "client_secret_overlap": "1h"})
	e.clock.Advance(2 * time.Hour) // the good one is forgotten
	e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": appSecret})
	if !e.proves() {
		t.Error("mended, and proofs are still made with the secret that Facebook refused")
	}
}

func TestReview3AnUnknownVersionIsNoRiddle(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v97.0"})
	for _, path := range []string{"check", "refresh"} {
		text := e.refused("misconfigured", 424, logical.UpdateOperation, "connections/"+uma+"/"+path, nil)
		t.Log(text)
		if !strings.Contains(text, "v97.0") {
			t.Errorf("%s: the version is not named: %s", path, text)
		}
	}
	// Older than Facebook serves: told by whoever asks for it, not by verify alone?
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"graph_version": "v18.0"})
	resp, err := e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	t.Logf("v18.0: %v %v", resp != nil, err)
}

// Tokens that a refresh replaced live on at a business: deleting must end them.
func TestReview3ARefreshedBusinessTokenLeavesNoneBehind(t *testing.T) {
	e := business(t, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.install()
	old := e.read("creds/" + installation)["access_token"].(string)
	e.clock.Advance(10 * 24 * time.Hour)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	if known, _ := e.fb.Inspect(old); known.Valid {
		t.Errorf("disconnected, and a token from before the refresh works until %v", known.ExpiresAt)
	}
}

// After a day of failures as unknown debug_token decides, also where the failure is of class caller.
func TestReview3ADeviceThatIsDenied(t *testing.T) {
	for _, g := range []authpipetest.GraphError{{Code: 200, Message: "denied"}, {Code: 100, Subcode: 1349999, Message: "User denied"}, {Code: 987654, Message: "?"}} {
		e := newEngine(t, authpipetest.Options{DeviceDenied: &g})
		e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, ClientToken: "CT-0123456789", RedirectURIs: []string{mountURL + "/callback/facebook"}})
		e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_token": "CT-0123456789"})
		begun := e.must(logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "grant": "device"})
		path := "sessions/org_acme/" + begun["session_id"].(string)
		if err := e.fb.ApproveDevice(begun["user_code"].(string), authpipetest.Consent{User: "ada", Cancel: true}); err != nil {
			t.Fatal(err)
		}
		e.clock.Advance(10 * time.Second)
		_, err := e.do(logical.UpdateOperation, path+"/complete", map[string]any{"actor": "admin"})
		t.Logf("%d: %v; session %v %v", g.Code, err, e.read(path)["status"], e.read(path)["error"])
	}
}

// A page stays what it is where the list is not one.
func TestReview3PagesSurviveAnAnswerThatIsNoList(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.read("creds/" + page777)
	e.clock.Advance(20 * 24 * time.Hour)
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointAccounts, Body: `{}`})()
	if _, err := e.do(logical.ReadOperation, "creds/"+page777, nil); err != nil {
		t.Errorf("an answer without a list costs the page: %v", err)
	}
}

// Every Graph call with a token carries a proof.
func TestReview3EveryCallIsProven(t *testing.T) {
	e := business(t, authpipetest.Business{}, authpipetest.Configuration{})
	e.install()
	e.read("creds/" + page777)
	e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
	e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
	e.must(logical.DeleteOperation, "creds/"+uma, nil)
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.after(2 * time.Minute)
	for _, r := range e.fb.Requests() {
		if strings.Contains(r.Path, "oauth/access_token") || strings.Contains(r.Path, "dialog") || strings.Contains(r.Path, "/feed") {
			continue
		}
		if !r.Query.Has("appsecret_proof") && !r.Form.Has("appsecret_proof") {
			t.Logf("no proof: %s %s", r.Method, r.Path)
		}
	}
	_ = url.Values{}
	_ = http.MethodGet
}

// Each kind of call meets a secret that was reset just before it.
func TestReview3EachCallSurvivesAResetSecret(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{"": {}, "oauth proof error": {ProofErrorOAuth: true}, "posts not understood": {NoMethodOverride: true}} {
		steps := map[string]func(e *engine) func(){
			"install": func(e *engine) func() { return func() { e.install() } },
			"pages":   func(e *engine) func() { e.install(); return func() { e.read("creds/" + page777) } },
			"delete business": func(e *engine) func() {
				e.install()
				return func() { e.must(logical.DeleteOperation, "creds/"+installation, nil) }
			},
			"delete user": func(e *engine) func() {
				e.install()
				e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
				return func() { e.must(logical.DeleteOperation, "creds/"+uma, nil) }
			},
			"import": func(e *engine) func() {
				token := e.obtained("ada")
				return func() { e.must(logical.UpdateOperation, "creds/"+installation, map[string]any{"access_token": token}) }
			},
			"pkce always": func(e *engine) func() {
				e.install()
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"pkce": "always"})
				return func() { e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) }
			},
			"openid": func(e *engine) func() {
				e.install()
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,email"})
				return func() { e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) }
			},
		}
		for step, prepare := range steps {
			t.Run(name+"/"+step, func(t *testing.T) {
				clockless := newEngine(t, o)
				e := clockless
				e.fb.AddApp(authpipetest.App{ID: appID, Secret: appSecret, RequireAppSecret: true, RedirectURIs: []string{mountURL + "/callback/facebook", "https://app.example.com/oauth"}})
				e.fb.AddBusiness(authpipetest.Business{ID: businessID, Name: "B", Admins: []string{"ada"}, Pages: []string{"777"}})
				e.fb.AddConfiguration(authpipetest.Configuration{ID: configID, App: appID, Permissions: []string{"pages_show_list", "pages_manage_posts"}})
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"installation_config_id": configID})
				act := prepare(e)
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": newSecret})
				e.fb.SetAppSecret(appID, newSecret)
				act()
			})
		}
	}
}

// The pages of the lost role: Facebook lists the page no more, yet its credential stays until somebody fetches.
func TestReview3DataAccess(t *testing.T) {
	e := both(t, authpipetest.Options{ReexchangeNeverExtends: false})
	c := e.read("creds/" + uma)
	if c["data_access_expires_at"] == nil {
		t.Error("data_access_expires_at is not told")
	}
	for range 4 {
		e.clock.Advance(25 * 24 * time.Hour)
		e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	}
	resp, err := e.do(logical.ReadOperation, "creds/"+uma, nil)
	if err != nil || len(resp.Warnings) == 0 {
		t.Errorf("data access is over (%v): %v, %v", resp.Data["data_access_expires_at"], resp.Warnings, err)
	}
}

// A throttle's until-when is honoured by the plan.
func TestReview3AThrottleIsLetPass(t *testing.T) {
	e := both(t, authpipetest.Options{})
	e.fb.Fail(authpipetest.Fault{Error: &authpipetest.GraphError{Code: 80001}, Header: http.Header{"X-Business-Use-Case-Usage": {`{"1":[{"estimated_time_to_regain_access":300}]}`}}})
	e.clock.Advance(40 * 24 * time.Hour)
	e.sweep()
	n := e.fb.Count("")
	for range 9 {
		e.clock.Advance(30 * time.Minute)
		e.sweep()
	}
	if got := e.fb.Count("") - n; got != 0 {
		t.Errorf("asked %d times before the time that Facebook named", got)
	}
}

func TestReview3NegativeExpiresIn(t *testing.T) {
	e := both(t, authpipetest.Options{})
	before := e.read("creds/" + uma)
	e.clock.Advance(10 * 24 * time.Hour)
	token := before["access_token"].(string)
	defer e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Body: `{"access_token":"` + token + `","expires_in":-5}`})()
	e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
	if after := e.read("creds/" + uma); after["expires_at"] != before["expires_at"] {
		t.Errorf("expires_at was %v, is %v", before["expires_at"], after["expires_at"])
	}
}

// The engine works whichever way Facebook decides.
func TestReview3EitherWay(t *testing.T) {
	for name, o := range map[string]authpipetest.Options{
		"repeat omits":         {RepeatOmitsExpiresIn: true},
		"mismatch consumes":    {MismatchConsumesCode: true},
		"proof error":          {ProofErrorOAuth: true},
		"token error 401":      {TokenErrorStatus: 401},
		"throttle 429":         {ThrottleStatus: 429},
		"page omits issued_at": {PageTokenOmitsIssuedAt: true},
		"no override":          {NoMethodOverride: true},
		"pkce bound always":    {PKCE: authpipetest.PKCEAlways},
		"short":                {CodeTokenLife: authpipetest.ShortLife, CodeOmitsExpiresIn: true},
		"permission 400":       {PermissionErrorStatus: 400},
		"connected beside":     {ConnectedVerbBeside: true},
	} {
		for _, pkce := range []string{"auto", "always", "never"} {
			t.Run(name+" "+pkce, func(t *testing.T) {
				e := newEngine(t, o)
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"pkce": pkce})
				e.install()
				e.read("creds/" + page777)
				e.must(logical.UpdateOperation, "config/facebook", map[string]any{"user_scopes": "openid,email"})
				e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
				e.must(logical.UpdateOperation, "connections/"+uma+"/refresh", nil)
				e.must(logical.UpdateOperation, "connections/"+uma+"/check", nil)
				stop := e.fb.Throttle(authpipetest.Throttle{CallCount: 100})
				e.refused("throttled", 429, logical.UpdateOperation, "connections/"+uma+"/check", nil)
				stop()
				e.clock.Advance(time.Hour) // for so long the provider is left alone
				e.must(logical.DeleteOperation, "creds/"+uma, nil)
				e.must(logical.DeleteOperation, "creds/"+installation, nil)
			})
		}
	}
}
