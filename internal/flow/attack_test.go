package flow_test

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// The tests of this file are attacks: those of RFC 9700, of its update on
// cross-user session fixation, and what else docs/threat-model.md names.

func TestProofIsBoundToItsSession(t *testing.T) {
	e, first, back, code := enginetest.Authorized(t)
	second := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	secondBack := e.Consent(second, authpipetest.Consent{User: "udo"})
	e.Callback(secondBack)
	for name, data := range map[string]map[string]any{
		"another session's connect code":               {"connect_code": code},
		"another session's answer":                     {"state": back.Query().Get("state"), "code": back.Query().Get("code")},
		"another session's denial":                     {"state": back.Query().Get("state"), "error": "access_denied"},
		"another session's id as the state":            {"state": first.ID, "code": secondBack.Query().Get("code")},
		"a connect code beside the answer":             {"connect_code": code, "state": secondBack.Query().Get("state"), "code": secondBack.Query().Get("code")},
		"the answer's code without its state":          {"code": secondBack.Query().Get("code")},
		"the authorization code for a connect code":    {"connect_code": secondBack.Query().Get("code")},
		"the hash of nothing where there is no answer": {"connect_code": " - "},
	} {
		data["actor"] = "admin"
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, second.Path+"/complete", data)
		if strings.Contains(text, "tries left: 0") {
			t.Fatalf("%s was one try too many", name)
		}
	}
	e.CheckSession(first, "authorized")
	e.CheckSession(second, "authorized")
	if n := e.Facebook.Count(""); n != e.Facebook.Count(authpipetest.EndpointDialog) {
		t.Errorf("the provider was called %d times", n)
	}
	// The code of one session brought with the state of another: neither can be
	// trusted any more.
	e.Refused("session_used", 409, logical.UpdateOperation, second.Path+"/complete",
		map[string]any{"actor": "admin", "state": secondBack.Query().Get("state"), "code": back.Query().Get("code")})
	failedFor(e, first, "session_used")
	failedFor(e, second, "session_used")
}

func TestSessionIsBoundToItsTenant(t *testing.T) {
	e, s, back, code := enginetest.Authorized(t)
	e.Connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
	for _, tenant := range []string{"org_globex", "org_acm", "org_acme2", "ORG_ACME"} {
		path := strings.Replace(s.Path, "org_acme", tenant, 1)
		e.Refused("not_found", 404, logical.ReadOperation, path, nil)
		e.Refused("not_found", 404, logical.DeleteOperation, path, nil)
		for name, proof := range map[string]map[string]any{
			"the connect code": {"connect_code": code},
			"the answer":       {"state": back.Query().Get("state"), "code": back.Query().Get("code")},
			"a wrong code":     {"connect_code": "AAAA-BBBB-CCCC-DDDD"},
			"another actor":    {"connect_code": code, "actor": "mallory"},
		} {
			data := map[string]any{"actor": "admin"}
			for k, v := range proof {
				data[k] = v
			}
			if text := e.Refused("not_found", 404, logical.UpdateOperation, path+"/complete", data); strings.Contains(text, "org_acme/") {
				t.Errorf("%s through %s is told whose the session is: %s", name, tenant, text)
			}
		}
	}
	e.CheckSession(s, "authorized")
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestSessionIsBoundToItsMountAndProvider(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	other := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
	back := e.Consent(s, authpipetest.Consent{User: "ada"})
	other.Storage.Reset()
	if p := other.Callback(back); p.Status != 400 {
		t.Errorf("another mount shows %d\n%s", p.Status, p.HTML)
	}
	if writes := other.Storage.Writes(); len(writes) > 0 {
		t.Errorf("another mount writes %v", writes)
	}
	for _, provider := range []string{"google", "Facebook", "facebook ", "..", "%66acebook"} {
		e.Storage.Reset()
		resp, err := e.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "callback/" + provider, Storage: e.Storage,
			Unauthenticated: true, Data: map[string]any{"state": back.Query().Get("state"), "code": back.Query().Get("code")}})
		if err != nil || resp.Data[logical.HTTPStatusCode] != 400 || len(e.Storage.Operations()) > 0 {
			t.Errorf("the callback of %q answers %v, %v", provider, resp, err)
		}
	}
	e.CheckSession(s, "pending")
	if n := e.Facebook.Count(authpipetest.EndpointAccessToken) + other.Facebook.Count(""); n != 0 {
		t.Errorf("the providers were called %d times", n)
	}
}

// TestStolenCodeIsRefused injects the code that was meant for a victim's session into
// the attacker's own (RFC 9700, section 4.5).
func TestStolenCodeIsRefused(t *testing.T) {
	steal := func(e *enginetest.Engine, victim, attacker map[string]any) (enginetest.Session, map[string]any) {
		t.Helper()
		e.Install()
		victim["actor"], attacker["actor"] = "uma", "udo"
		theirs, own := e.Begin(enginetest.Uma, victim), e.Begin(enginetest.Udo, attacker)
		stolen := e.Consent(theirs, authpipetest.Consent{User: "uma"}).Query().Get("code")
		state := e.Consent(own, authpipetest.Consent{User: "udo"}).Query().Get("state")
		return own, map[string]any{"actor": "udo", "state": state, "code": stolen}
	}
	t.Run("is refused where PKCE and the nonce bind it", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		scopes := []string{"openid", "public_profile"}
		own, proof := steal(e, map[string]any{"scopes": scopes}, map[string]any{"scopes": scopes})
		if _, err := e.Do(logical.UpdateOperation, own.Path+"/complete", proof); err == nil {
			t.Error("the code is taken")
		}
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Udo, nil)
		e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) // and no other person is held up
	})
	t.Run("is refused where the challenge was taken out of the victim's URL", func(t *testing.T) {
		// A PKCE downgrade (RFC 9700, section 4.8). The engine sends no verifier
		// where the provider says that there was no challenge; the nonce still binds.
		e := enginetest.New(t, authpipetest.Options{})
		e.Install()
		data := map[string]any{"scopes": []string{"openid", "public_profile"}}
		theirs, own := e.Begin(enginetest.Uma, data), e.Begin(enginetest.Udo, data)
		u, err := url.Parse(theirs.URL)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Del("code_challenge")
		q.Del("code_challenge_method")
		for _, nonce := range []string{q.Get("nonce"), ""} {
			if q.Set("nonce", nonce); nonce == "" {
				q.Del("nonce")
				own = e.Begin(enginetest.Udo, data)
			}
			u.RawQuery = q.Encode()
			stolen := e.Consent(enginetest.Session{URL: u.String()}, authpipetest.Consent{User: "uma"}).Query().Get("code")
			proof := map[string]any{"actor": "udo", "state": enginetest.StateOf(t, own), "code": stolen}
			e.Refused("invalid_request", 400, logical.UpdateOperation, own.Path+"/complete", proof)
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Udo, nil)
		}
	})
	t.Run("is refused where it was issued for another redirect URI", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		own, proof := steal(e, map[string]any{}, map[string]any{"redirect_uri": enginetest.RelayURI})
		e.Refused("misconfigured", 424, logical.UpdateOperation, own.Path+"/complete", proof)
		e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Udo, nil)
		// A mismatch is the provider's word for a wrong client, too. One attacker
		// must not have the client taken for one, by anybody.
		for range 10 {
			own := e.Begin(enginetest.Udo, map[string]any{"redirect_uri": enginetest.RelayURI})
			state := e.Consent(own, authpipetest.Consent{User: "udo"}).Query().Get("state")
			stolen := e.Consent(e.Begin(enginetest.Uma, nil), authpipetest.Consent{User: "uma"}).Query().Get("code")
			e.Refused("misconfigured", 424, logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": "udo", "state": state, "code": stolen})
		}
		e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"})
		if got := e.Read("health"); fmt.Sprint(got["providers"]) == "" || strings.Contains(fmt.Sprint(got["providers"]), "misconfigured") {
			t.Errorf("the provider is said to be %v", got["providers"])
		}
	})
	t.Run("is taken where nothing binds it, as the threat model admits", func(t *testing.T) {
		e := enginetest.New(t, authpipetest.Options{})
		own, proof := steal(e, map[string]any{}, map[string]any{})
		e.Must(logical.UpdateOperation, own.Path+"/complete", proof)
	})
}

// TestLinkFollowedByAnotherPersonConnectsNothing is cross-user session
// fixation: whichever browser does what in between, one of the two ends names
// another actor.
func TestLinkFollowedByAnotherPersonConnectsNothing(t *testing.T) {
	for name, a := range map[string]struct{ began, consented, completed string }{
		"mallory begins, alice consents and lands in the application":            {"mallory", "uma", "alice"},
		"mallory begins and consents, alice's browser is sent to the return URL": {"mallory", "udo", "alice"},
		"alice begins, mallory consents and takes her session over":              {"alice", "udo", "mallory"},
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.New(t, authpipetest.Options{})
			s := e.Begin(enginetest.Installation, map[string]any{"actor": a.began, "return_url": enginetest.ReturnURL})
			back := e.Callback(e.Consent(s, authpipetest.Consent{User: a.consented})).Returned(t)
			proof := map[string]any{"actor": a.completed, "connect_code": back.Query().Get("connect_code")}
			e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", proof)
			proof["actor"] = a.began
			e.Refused("actor_mismatch", 409, logical.UpdateOperation, s.Path+"/complete", proof)
			e.Refused("not_found", 404, logical.ReadOperation, "creds/"+enginetest.Installation, nil)
			if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 0 {
				t.Errorf("the code was sent to the provider %d times", n)
			}
		})
	}
	t.Run("an actor is taken to the letter", func(t *testing.T) {
		for _, other := range []string{"Admin", "admin ", " admin", "admi", "admin2", "\u0430dmin", "admin\u200b", "admin\x00"} {
			e, s, _, code := enginetest.Authorized(t)
			if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": other, "connect_code": code}); err == nil {
				t.Errorf("%q completes the session of admin", other)
			}
		}
	})
}

func TestConcurrentCallbacksConnectOnce(t *testing.T) {
	for i := range 20 {
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": enginetest.RelayURI})
		q := e.Consent(s, authpipetest.Consent{User: "ada"}).Query()
		proof := map[string]any{"actor": "admin", "state": q.Get("state"), "code": q.Get("code")}
		forged := map[string]any{"actor": "admin", "state": q.Get("state"), "code": "AQforged"}
		var at, completed, injected sync.WaitGroup
		var done, taken atomic.Int32
		at.Add(1)
		for range 3 {
			completed.Go(func() {
				at.Wait()
				if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", proof); err == nil {
					done.Add(1)
				}
			})
			completed.Go(func() {
				at.Wait()
				if p, err := e.TryCallback(&url.URL{RawQuery: q.Encode()}); err != nil || p.Status == 200 && p.ConnectCode(t) == "" {
					t.Errorf("the callback answers %v, %v", p, err)
				}
			})
		}
		injected.Go(func() {
			at.Wait()
			if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", forged); err == nil {
				taken.Add(1)
			}
		})
		at.Done()
		completed.Wait()
		injected.Wait()
		if n := e.Facebook.Count(authpipetest.EndpointAccessToken); n != 1 {
			t.Errorf("run %d: codes were sent to the provider %d times", i, n)
		}
		// The state lets a caller spoil the session, and no more.
		if done := done.Load(); done != 0 && done != 3 || taken.Load() != 0 {
			t.Errorf("run %d: %d completions with the code, %d with the forged one", i, done, taken.Load())
		}
		if _, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Installation, nil); (err == nil) != (done.Load() == 3) {
			t.Errorf("run %d: after %d completions the credential reads %v", i, done.Load(), err)
		}
	}
}

func TestConcurrentActorNeverWins(t *testing.T) {
	for i := range 20 {
		e, s, _, code := enginetest.Authorized(t)
		var both sync.WaitGroup
		var theirs, own error
		both.Go(func() {
			_, theirs = e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
		})
		both.Go(func() {
			_, own = e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		})
		both.Wait()
		enginetest.CheckCode(t, theirs, "actor_mismatch", 409)
		if got := e.Read(s.Path)["status"]; own == nil && got != "completed" || own != nil && got != "failed" {
			t.Errorf("run %d: the session is %v, its actor was told %v", i, got, own)
		}
	}
}

func TestConcurrentGuessesAreCountedEach(t *testing.T) {
	e, s, _, code := enginetest.Authorized(t)
	var all sync.WaitGroup
	var told atomic.Int32
	for i := range 64 {
		all.Go(func() {
			guess := fmt.Sprintf("AAAA-BBBB-CCCC-%04d", i)
			if _, err := e.Do(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": guess}); err == nil {
				t.Errorf("%s is taken for %s", guess, code)
			} else if strings.HasPrefix(err.Error(), "invalid_request") {
				told.Add(1)
			}
		})
	}
	all.Wait()
	if told.Load() != 4 {
		t.Errorf("%d guesses were told that they may go on", told.Load())
	}
	e.Refused("access_denied", 409, logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestConnectCodesAreIndependent(t *testing.T) {
	form := regexp.MustCompile(`^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$`) // 80 bits
	seen := map[string]bool{}
	for range 50 {
		// The same code each time: what is random is the session's own. One engine
		// takes a code for one session only.
		e := enginetest.New(t, authpipetest.Options{})
		s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin"})
		code := e.Callback(&url.URL{RawQuery: "code=AQsame&state=" + enginetest.StateOf(t, s)}).ConnectCode(t)
		if !form.MatchString(code) || seen[code] {
			t.Errorf("the connect code is %s", code)
		}
		seen[code] = true
	}
}

// TestBrowserReturnsToConfiguredURLOnly tries, for a return URL that is
// configured, all that a reader might take for it.
func TestBrowserReturnsToConfiguredURLOnly(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, u := range []string{
		"https://evil.example/", "//evil.example/", "/connected", "\\\\evil.example", "javascript:alert(1)", "data:text/html,x",
		enginetest.ReturnURL + "&x=y", enginetest.ReturnURL + "#x", enginetest.ReturnURL + "/", " " + enginetest.ReturnURL, enginetest.ReturnURL + " ", enginetest.ReturnURL + "\n", enginetest.ReturnURL + "\x00", enginetest.ReturnURL + "%00",
		"HTTPS" + enginetest.ReturnURL[5:], "http" + enginetest.ReturnURL[5:],
		strings.Replace(enginetest.ReturnURL, "app.", "APP.", 1), strings.Replace(enginetest.ReturnURL, ".com", ".com.", 1), strings.Replace(enginetest.ReturnURL, ".com", ".com:443", 1),
		strings.Replace(enginetest.ReturnURL, ".com", ".com.evil.example", 1), strings.Replace(enginetest.ReturnURL, ".com/", ".com@evil.example/", 1), strings.Replace(enginetest.ReturnURL, "//", "//evil.example\\@", 1),
		strings.Replace(enginetest.ReturnURL, "//", "//user@", 1), strings.Replace(enginetest.ReturnURL, "//", "///", 1), strings.Replace(enginetest.ReturnURL, "://", ":", 1), strings.Replace(enginetest.ReturnURL, "://", ":/", 1),
		strings.Replace(enginetest.ReturnURL, "/connected", "/x/../connected", 1), strings.Replace(enginetest.ReturnURL, "/connected", "/%63onnected", 1), strings.Replace(enginetest.ReturnURL, "/connected", "//connected", 1),
		strings.Replace(enginetest.ReturnURL, "?", "%3f", 1), strings.Replace(enginetest.ReturnURL, "?", "?return_url=https://evil.example&", 1), strings.Replace(enginetest.ReturnURL, "app", "\u0430pp", 1),
	} {
		text := e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "return_url": u})
		if !strings.Contains(text, `"return_url"`) || strings.Contains(text, "evil") {
			t.Errorf("%q is answered %s", u, text)
		}
	}
	for _, u := range []string{"https://evil.example/", enginetest.RelayURI + "/", enginetest.RelayURI + "?x", strings.ToUpper(enginetest.RelayURI), enginetest.MountURL + "/callback/facebook/../google"} {
		e.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+enginetest.Installation, map[string]any{"actor": "admin", "redirect_uri": u})
	}
	// What the browser brings has no say in where it goes on to.
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	back := e.Consent(s, authpipetest.Consent{User: "ada"})
	q := back.Query()
	for _, name := range []string{"return_url", "redirect_uri", "next", "session_id", "connect_code"} {
		q.Set(name, "https://evil.example/")
	}
	to := e.Callback(&url.URL{RawQuery: q.Encode()}).Returned(t)
	want := url.Values{"from": {"authpipe"}, "session_id": {s.ID}, "connect_code": to.Query()["connect_code"]}
	if diff := cmp.Diff(want, to.Query()); diff != "" || !strings.HasPrefix(to.String(), enginetest.ReturnURL+"&") {
		t.Errorf("the browser is returned to %s: %s", to, diff)
	}
}

// TestAmbiguousURLIsNotConfigured is about the operator's own
// mistakes, which are an attacker's chances.
func TestAmbiguousURLIsNotConfigured(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	for _, u := range []string{
		"https://app.example%E3%80%82com/", "https://app.example.com%2f.evil.example/", "https://app.example.com%40evil.example/", "https://%61pp.example.com/", "https://app.example.com:/", "https://:443/",
		"https://app.example.com:80:80/", "https://app.example.com:http/", "https://[::1/", "https://::1/", "https://[::1]evil.example/", "https://@app.example.com/", "https://:@app.example.com/",
		"https://app.example.com:99999999/", "https://.example.com/", "https://app..example.com/",
		"http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0.0.0.0/", "http://localhost.:80/", "http://localhost:80@evil.example/", "http://[::ffff:8.8.8.8]/", "http://LOCALHOST.evil.example/",
		"https://app.example.com/\u202e", "https://app.example.com/'><img>", "https://app.example.com:0/", "https://[fe80::1%25eth0]/", "https://app.example.com./", "hTTps:/\\app.example.com/", "https://app.example.com/%", "https://app.example.com/\\evil.example",
	} {
		if _, err := e.Do(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{u}}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
}

// TestWithdrawnReturnURLGetsNoConnectCode: it was withdrawn, perhaps,
// because it is in somebody else's hands.
func TestWithdrawnReturnURLGetsNoConnectCode(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	s := e.Begin(enginetest.Installation, map[string]any{"actor": "admin", "return_url": enginetest.ReturnURL})
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": "https://app.example.com/elsewhere"})
	p := e.Callback(e.Consent(s, authpipetest.Consent{User: "ada"}))
	if strings.Contains(p.HTML, "/connected") {
		t.Error("the browser is sent to where none may go any more")
	}
	e.Must(logical.UpdateOperation, s.Path+"/complete", map[string]any{"actor": "admin", "connect_code": p.ConnectCode(t)})
}
