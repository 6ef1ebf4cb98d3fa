package backend_test

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
)

// The tests of this file are attacks: those of RFC 9700, of its update on
// cross-user session fixation, and what else docs/threat-model.md names.

// relayURI is a redirect URI that the application hosts by itself.
const relayURI = "https://app.example.com/oauth"

// unharmed checks that a session waits as if nothing had happened.
func (e *engine) unharmed(s session, status string) {
	e.t.Helper()
	if got := e.read(s.path); got["status"] != status {
		e.t.Errorf("the session that was attacked reads %v", got)
	}
}

func TestTheProofOfOneSessionIsNoneForAnother(t *testing.T) {
	e, first, back, code := authorized(t)
	second := e.begin(installation, map[string]any{"actor": "admin"})
	secondBack := e.consent(second, authpipetest.Consent{User: "udo"})
	e.callback(secondBack)
	for name, data := range map[string]map[string]any{
		"another session's connect code":               {"connect_code": code},
		"another session's answer":                     {"state": back.Query().Get("state"), "code": back.Query().Get("code")},
		"another session's denial":                     {"state": back.Query().Get("state"), "error": "access_denied"},
		"another session's id as the state":            {"state": first.id, "code": secondBack.Query().Get("code")},
		"a connect code beside the answer":             {"connect_code": code, "state": secondBack.Query().Get("state"), "code": secondBack.Query().Get("code")},
		"the answer's code without its state":          {"code": secondBack.Query().Get("code")},
		"the authorization code for a connect code":    {"connect_code": secondBack.Query().Get("code")},
		"the hash of nothing where there is no answer": {"connect_code": " - "},
	} {
		data["actor"] = "admin"
		text := e.refused("invalid_request", 400, logical.UpdateOperation, second.path+"/complete", data)
		if strings.Contains(text, "tries left: 0") {
			t.Fatalf("%s was one try too many", name)
		}
	}
	e.unharmed(first, "authorized")
	e.unharmed(second, "authorized")
	if n := e.fb.Count(""); n != e.fb.Count(authpipetest.EndpointDialog) {
		t.Errorf("the provider was called %d times", n)
	}
	// The code of one session brought with the state of another: neither can be
	// trusted any more.
	e.refused("session_used", 409, logical.UpdateOperation, second.path+"/complete",
		map[string]any{"actor": "admin", "state": secondBack.Query().Get("state"), "code": back.Query().Get("code")})
	e.failedFor(first, "session_used")
	e.failedFor(second, "session_used")
}

func TestASessionIsSwappedBetweenNoTenants(t *testing.T) {
	e, s, back, code := authorized(t)
	e.connect("org_globex/facebook/installation", "boss", authpipetest.Consent{User: "udo"})
	for _, tenant := range []string{"org_globex", "org_acm", "org_acme2", "ORG_ACME"} {
		path := strings.Replace(s.path, "org_acme", tenant, 1)
		e.refused("not_found", 404, logical.ReadOperation, path, nil)
		e.refused("not_found", 404, logical.DeleteOperation, path, nil)
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
			if text := e.refused("not_found", 404, logical.UpdateOperation, path+"/complete", data); strings.Contains(text, "org_acme/") {
				t.Errorf("%s through %s is told whose the session is: %s", name, tenant, text)
			}
		}
	}
	e.unharmed(s, "authorized")
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestASessionIsSwappedBetweenNoMountsAndNoProviders(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	other := newEngine(t, authpipetest.Options{})
	s := e.begin(installation, map[string]any{"actor": "admin"})
	back := e.consent(s, authpipetest.Consent{User: "ada"})
	other.storage.Reset()
	if p := other.callback(back); p.status != 400 {
		t.Errorf("another mount shows %d\n%s", p.status, p.html)
	}
	if writes := other.storage.Writes(); len(writes) > 0 {
		t.Errorf("another mount writes %v", writes)
	}
	for _, provider := range []string{"google", "Facebook", "facebook ", "..", "%66acebook"} {
		e.storage.Reset()
		resp, err := e.HandleRequest(t.Context(), &logical.Request{Operation: logical.ReadOperation, Path: "callback/" + provider, Storage: e.storage,
			Unauthenticated: true, Data: map[string]any{"state": back.Query().Get("state"), "code": back.Query().Get("code")}})
		if err != nil || resp.Data[logical.HTTPStatusCode] != 400 || len(e.storage.Operations()) > 0 {
			t.Errorf("the callback of %q answers %v, %v", provider, resp, err)
		}
	}
	e.unharmed(s, "pending")
	if n := e.fb.Count(authpipetest.EndpointAccessToken) + other.fb.Count(""); n != 0 {
		t.Errorf("the providers were called %d times", n)
	}
}

// TestAStolenCode injects the code that was meant for a victim's session into
// the attacker's own (RFC 9700, section 4.5).
func TestAStolenCode(t *testing.T) {
	steal := func(e *engine, victim, attacker map[string]any) (session, map[string]any) {
		t.Helper()
		e.install()
		victim["actor"], attacker["actor"] = "uma", "udo"
		theirs, own := e.begin(uma, victim), e.begin(udo, attacker)
		stolen := e.consent(theirs, authpipetest.Consent{User: "uma"}).Query().Get("code")
		state := e.consent(own, authpipetest.Consent{User: "udo"}).Query().Get("state")
		return own, map[string]any{"actor": "udo", "state": state, "code": stolen}
	}
	t.Run("is refused where PKCE and the nonce bind it", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		scopes := []string{"openid", "public_profile"}
		own, proof := steal(e, map[string]any{"scopes": scopes}, map[string]any{"scopes": scopes})
		if _, err := e.do(logical.UpdateOperation, own.path+"/complete", proof); err == nil {
			t.Error("the code is taken")
		}
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+udo, nil)
		e.connect(uma, "uma", authpipetest.Consent{User: "uma"}) // and nobody else is held up
	})
	t.Run("is refused where the challenge was taken out of the victim's URL", func(t *testing.T) {
		// A PKCE downgrade (RFC 9700, section 4.8). The engine sends no verifier
		// where the provider says that there was no challenge; the nonce still binds.
		e := newEngine(t, authpipetest.Options{})
		e.install()
		data := map[string]any{"scopes": []string{"openid", "public_profile"}}
		theirs, own := e.begin(uma, data), e.begin(udo, data)
		u, err := url.Parse(theirs.url)
		if err != nil {
			t.Fatal(err)
		}
		q := u.Query()
		q.Del("code_challenge")
		q.Del("code_challenge_method")
		for _, nonce := range []string{q.Get("nonce"), ""} {
			if q.Set("nonce", nonce); nonce == "" {
				q.Del("nonce")
				own = e.begin(udo, data)
			}
			u.RawQuery = q.Encode()
			stolen := e.consent(session{url: u.String()}, authpipetest.Consent{User: "uma"}).Query().Get("code")
			proof := map[string]any{"actor": "udo", "state": stateOf(t, own), "code": stolen}
			e.refused("invalid_request", 400, logical.UpdateOperation, own.path+"/complete", proof)
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+udo, nil)
		}
	})
	t.Run("is refused where it was issued for another redirect URI", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		own, proof := steal(e, map[string]any{}, map[string]any{"redirect_uri": relayURI})
		e.refused("misconfigured", 424, logical.UpdateOperation, own.path+"/complete", proof)
		e.refused("not_found", 404, logical.ReadOperation, "creds/"+udo, nil)
		// A mismatch is the provider's word for a wrong client, too. One attacker
		// must not have the client taken for one, by anybody.
		for range 10 {
			own := e.begin(udo, map[string]any{"redirect_uri": relayURI})
			state := e.consent(own, authpipetest.Consent{User: "udo"}).Query().Get("state")
			stolen := e.consent(e.begin(uma, nil), authpipetest.Consent{User: "uma"}).Query().Get("code")
			e.refused("misconfigured", 424, logical.UpdateOperation, own.path+"/complete", map[string]any{"actor": "udo", "state": state, "code": stolen})
		}
		e.connect(uma, "uma", authpipetest.Consent{User: "uma"})
		if got := e.read("health"); fmt.Sprint(got["providers"]) == "" || strings.Contains(fmt.Sprint(got["providers"]), "misconfigured") {
			t.Errorf("the provider is said to be %v", got["providers"])
		}
	})
	t.Run("is taken where nothing binds it, as the threat model admits", func(t *testing.T) {
		e := newEngine(t, authpipetest.Options{})
		own, proof := steal(e, map[string]any{}, map[string]any{})
		e.must(logical.UpdateOperation, own.path+"/complete", proof)
	})
}

// TestALinkThatSomebodyElseFollowsConnectsNothing is cross-user session
// fixation: whoever's browser does what in between, one of the two ends names
// another actor.
func TestALinkThatSomebodyElseFollowsConnectsNothing(t *testing.T) {
	for name, a := range map[string]struct{ began, consented, completed string }{
		"mallory begins, alice consents and lands in the application":            {"mallory", "uma", "alice"},
		"mallory begins and consents, alice's browser is sent to the return URL": {"mallory", "udo", "alice"},
		"alice begins, mallory consents and takes her session over":              {"alice", "udo", "mallory"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEngine(t, authpipetest.Options{})
			s := e.begin(installation, map[string]any{"actor": a.began, "return_url": returnURL})
			back := e.callback(e.consent(s, authpipetest.Consent{User: a.consented})).returned(t)
			proof := map[string]any{"actor": a.completed, "connect_code": back.Query().Get("connect_code")}
			e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", proof)
			proof["actor"] = a.began
			e.refused("actor_mismatch", 409, logical.UpdateOperation, s.path+"/complete", proof)
			e.refused("not_found", 404, logical.ReadOperation, "creds/"+installation, nil)
			if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 0 {
				t.Errorf("the code was sent to the provider %d times", n)
			}
		})
	}
	t.Run("an actor is taken to the letter", func(t *testing.T) {
		for _, other := range []string{"Admin", "admin ", " admin", "admi", "admin2", "\u0430dmin", "admin\u200b", "admin\x00"} {
			e, s, _, code := authorized(t)
			if _, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": other, "connect_code": code}); err == nil {
				t.Errorf("%q completes the session of admin", other)
			}
		}
	})
}

func TestAnAnswerThatComesTwiceAtOnceConnectsOnce(t *testing.T) {
	for i := range 20 {
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin", "redirect_uri": relayURI})
		q := e.consent(s, authpipetest.Consent{User: "ada"}).Query()
		proof := map[string]any{"actor": "admin", "state": q.Get("state"), "code": q.Get("code")}
		forged := map[string]any{"actor": "admin", "state": q.Get("state"), "code": "AQforged"}
		var at, completed, injected sync.WaitGroup
		var done, taken atomic.Int32
		at.Add(1)
		for range 3 {
			completed.Go(func() {
				at.Wait()
				if _, err := e.do(logical.UpdateOperation, s.path+"/complete", proof); err == nil {
					done.Add(1)
				}
			})
			completed.Go(func() {
				at.Wait()
				if p, err := e.tryCallback(&url.URL{RawQuery: q.Encode()}); err != nil || p.status == 200 && p.code(t) == "" {
					t.Errorf("the callback answers %v, %v", p, err)
				}
			})
		}
		injected.Go(func() {
			at.Wait()
			if _, err := e.do(logical.UpdateOperation, s.path+"/complete", forged); err == nil {
				taken.Add(1)
			}
		})
		at.Done()
		completed.Wait()
		injected.Wait()
		if n := e.fb.Count(authpipetest.EndpointAccessToken); n != 1 {
			t.Errorf("run %d: codes were sent to the provider %d times", i, n)
		}
		// Who has the state may spoil the session, and no more.
		if done := done.Load(); done != 0 && done != 3 || taken.Load() != 0 {
			t.Errorf("run %d: %d completions with the code, %d with the forged one", i, done, taken.Load())
		}
		if _, err := e.do(logical.ReadOperation, "creds/"+installation, nil); (err == nil) != (done.Load() == 3) {
			t.Errorf("run %d: after %d completions the credential reads %v", i, done.Load(), err)
		}
	}
}

func TestAnotherActorAtOnceNeverWins(t *testing.T) {
	for i := range 20 {
		e, s, _, code := authorized(t)
		var both sync.WaitGroup
		var theirs, own error
		both.Go(func() {
			_, theirs = e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "mallory", "connect_code": code})
		})
		both.Go(func() {
			_, own = e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
		})
		both.Wait()
		checkCode(t, theirs, "actor_mismatch", 409)
		if got := e.read(s.path)["status"]; own == nil && got != "completed" || own != nil && got != "failed" {
			t.Errorf("run %d: the session is %v, its actor was told %v", i, got, own)
		}
	}
}

func TestGuessesAtOnceAreCountedEach(t *testing.T) {
	e, s, _, code := authorized(t)
	var all sync.WaitGroup
	var told atomic.Int32
	for i := range 64 {
		all.Go(func() {
			guess := fmt.Sprintf("AAAA-BBBB-CCCC-%04d", i)
			if _, err := e.do(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": guess}); err == nil {
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
	e.refused("access_denied", 409, logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": code})
}

func TestAConnectCodeTellsNothingOfAnother(t *testing.T) {
	form := regexp.MustCompile(`^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$`) // 80 bits
	seen := map[string]bool{}
	for range 50 {
		// The same code each time: what is random is the session's own. One engine
		// takes a code for one session only.
		e := newEngine(t, authpipetest.Options{})
		s := e.begin(installation, map[string]any{"actor": "admin"})
		code := e.callback(&url.URL{RawQuery: "code=AQsame&state=" + stateOf(t, s)}).code(t)
		if !form.MatchString(code) || seen[code] {
			t.Errorf("the connect code is %s", code)
		}
		seen[code] = true
	}
}

func stateOf(t *testing.T, s session) string {
	t.Helper()
	u, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("state")
}

// TestTheBrowserIsReturnedNowhereElse tries, for a return URL that is
// configured, all that a reader might take for it.
func TestTheBrowserIsReturnedNowhereElse(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for _, u := range []string{
		"https://evil.example/", "//evil.example/", "/connected", "\\\\evil.example", "javascript:alert(1)", "data:text/html,x",
		returnURL + "&x=y", returnURL + "#x", returnURL + "/", " " + returnURL, returnURL + " ", returnURL + "\n", returnURL + "\x00", returnURL + "%00",
		"HTTPS" + returnURL[5:], "http" + returnURL[5:],
		strings.Replace(returnURL, "app.", "APP.", 1), strings.Replace(returnURL, ".com", ".com.", 1), strings.Replace(returnURL, ".com", ".com:443", 1),
		strings.Replace(returnURL, ".com", ".com.evil.example", 1), strings.Replace(returnURL, ".com/", ".com@evil.example/", 1), strings.Replace(returnURL, "//", "//evil.example\\@", 1),
		strings.Replace(returnURL, "//", "//user@", 1), strings.Replace(returnURL, "//", "///", 1), strings.Replace(returnURL, "://", ":", 1), strings.Replace(returnURL, "://", ":/", 1),
		strings.Replace(returnURL, "/connected", "/x/../connected", 1), strings.Replace(returnURL, "/connected", "/%63onnected", 1), strings.Replace(returnURL, "/connected", "//connected", 1),
		strings.Replace(returnURL, "?", "%3f", 1), strings.Replace(returnURL, "?", "?return_url=https://evil.example&", 1), strings.Replace(returnURL, "app", "\u0430pp", 1),
	} {
		text := e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "return_url": u})
		if !strings.Contains(text, `"return_url"`) || strings.Contains(text, "evil") {
			t.Errorf("%q is answered %s", u, text)
		}
	}
	for _, u := range []string{"https://evil.example/", relayURI + "/", relayURI + "?x", strings.ToUpper(relayURI), mountURL + "/callback/facebook/../google"} {
		e.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+installation, map[string]any{"actor": "admin", "redirect_uri": u})
	}
	// What the browser brings has no say in where it goes on to.
	s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
	back := e.consent(s, authpipetest.Consent{User: "ada"})
	q := back.Query()
	for _, name := range []string{"return_url", "redirect_uri", "next", "session_id", "connect_code"} {
		q.Set(name, "https://evil.example/")
	}
	to := e.callback(&url.URL{RawQuery: q.Encode()}).returned(t)
	want := url.Values{"from": {"authpipe"}, "session_id": {s.id}, "connect_code": to.Query()["connect_code"]}
	if diff := cmp.Diff(want, to.Query()); diff != "" || !strings.HasPrefix(to.String(), returnURL+"&") {
		t.Errorf("the browser is returned to %s: %s", to, diff)
	}
}

// TestAURLThatIsReadInTwoWaysIsNotConfigured is about the operator's own
// mistakes, which are an attacker's chances.
func TestAURLThatIsReadInTwoWaysIsNotConfigured(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	for _, u := range []string{
		"https://app.example%E3%80%82com/", "https://app.example.com%2f.evil.example/", "https://app.example.com%40evil.example/", "https://%61pp.example.com/", "https://app.example.com:/", "https://:443/",
		"https://app.example.com:80:80/", "https://app.example.com:http/", "https://[::1/", "https://::1/", "https://[::1]evil.example/", "https://@app.example.com/", "https://:@app.example.com/",
		"https://app.example.com:99999999/", "https://.example.com/", "https://app..example.com/",
		"http://127.1/", "http://2130706433/", "http://0x7f000001/", "http://0.0.0.0/", "http://localhost.:80/", "http://localhost:80@evil.example/", "http://[::ffff:8.8.8.8]/", "http://LOCALHOST.evil.example/",
		"https://app.example.com/\u202e", "https://app.example.com/'><img>", "https://app.example.com:0/", "https://[fe80::1%25eth0]/", "https://app.example.com./", "hTTps:/\\app.example.com/", "https://app.example.com/%", "https://app.example.com/\\evil.example",
	} {
		if _, err := e.do(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": []string{u}}); err == nil {
			t.Errorf("%q is taken", u)
		}
	}
}

// TestAnAddressThatWasWithdrawnGetsNoConnectCode: it was withdrawn, perhaps,
// because it is in somebody else's hands.
func TestAnAddressThatWasWithdrawnGetsNoConnectCode(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	s := e.begin(installation, map[string]any{"actor": "admin", "return_url": returnURL})
	e.must(logical.UpdateOperation, "config/facebook", map[string]any{"return_urls": "https://app.example.com/elsewhere"})
	p := e.callback(e.consent(s, authpipetest.Consent{User: "ada"}))
	if strings.Contains(p.html, "/connected") {
		t.Error("the browser is sent to where none may go any more")
	}
	e.must(logical.UpdateOperation, s.path+"/complete", map[string]any{"actor": "admin", "connect_code": p.code(t)})
}
