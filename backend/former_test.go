package backend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// expiring returns an engine whose installation is a system user's token of 60
// days, each of which is revoked by itself.
func expiring(t *testing.T, o authpipetest.Options) *engine {
	t.Helper()
	e := business(t, o, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.install()
	return e
}

// promised reads the installation's token, and until when its reader stays away.
func (e *engine) promised() (token string, until time.Time) {
	e.t.Helper()
	c := e.read("creds/" + installation)
	return c["access_token"].(string), e.clock.Now().Add(time.Duration(c["ttl"].(int64)) * time.Second)
}

// passes sweeps through the time until end, an hour at a time.
func (e *engine) passes(end time.Time) {
	e.t.Helper()
	for e.clock.Now().Before(end) {
		e.after(min(time.Hour, end.Sub(e.clock.Now())))
	}
}

// again trades the installation's token, which Facebook extends once a day, for
// a fresh one.
func (e *engine) again() string {
	e.t.Helper()
	e.must(logical.UpdateOperation, "connections/"+installation+"/refresh", nil)
	return e.served(installation)
}

func TestReplacedTokenLivesForTheTTLItsReadersWereGiven(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := e.promised()
	if until.Sub(e.clock.Now()) < 20*day {
		t.Fatalf("it was promised until %v", until)
	}
	e.clock.Advance(20 * time.Second)
	second := e.again()
	_, untilSecond := e.promised()
	e.clock.Advance(20 * time.Second)
	third := e.again()
	if first == second || second == third {
		t.Fatal("a refresh brought no other token")
	}
	e.passes(until.Add(-time.Minute))
	if !e.valid(first) || !e.valid(second) {
		t.Errorf("within what was promised, the first lives: %v, the second: %v", e.valid(first), e.valid(second))
	}
	e.passes(untilSecond.Add(10 * time.Minute))
	if e.valid(first) || e.valid(second) || e.served(installation) == "" {
		t.Errorf("after it, the first lives: %v, the second: %v", e.valid(first), e.valid(second))
	}
	e.checkInvariants("at the end")
}

func TestReplacedTokenIsRevokedSoonAfterAPlannedRefresh(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := e.promised()
	e.passes(until)
	if e.served(installation) == first {
		t.Fatal("it was not refreshed")
	}
	e.passes(until.Add(10 * time.Minute))
	if e.valid(first) {
		t.Error("it was not revoked")
	}
}

// TestReplacedTokenKeepsAnEarlierPlan has a plan moved to an earlier time after
// it was read: a refresh brought no more life.
func TestReplacedTokenKeepsAnEarlierPlan(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := e.promised()
	expires := e.read("creds/" + installation)["expires_at"].(string)
	clear := e.inspectedAs(fmt.Sprintf(`{"app_id":"123","type":"SYSTEM_USER","is_valid":true,"user_id":"%s","expires_at":%d,"scopes":["business_management"]}`,
		e.read("creds/" + installation)["provider_user_id"], e.clock.Now().Add(10*day).Unix()))
	e.must(logical.UpdateOperation, "connections/"+installation+"/check", nil)
	clear()
	if _, now := e.promised(); !now.Before(until) {
		t.Fatalf("it expires sooner than %s, and is planned for %v", expires, now)
	}
	if e.again() == first {
		t.Fatal("a refresh brought no other token")
	}
	e.restart()
	e.passes(until.Add(-time.Minute))
	if !e.valid(first) {
		t.Error("it was revoked within what its first reader was promised")
	}
}

func TestReplacedTokenIsRevokedWhenTheProviderIsBack(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := e.promised()
	e.clock.Advance(time.Minute)
	e.again()
	e.passes(until.Add(-time.Hour))
	repair := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevokeToken, Status: 500})
	e.passes(until.Add(3 * time.Hour))
	if !e.valid(first) {
		t.Fatal("it was revoked by a call that failed")
	}
	repair()
	e.passes(until.Add(10 * time.Hour))
	if e.valid(first) {
		t.Error("it was not revoked afterwards")
	}
	e.checkInvariants("at the end")
}

func TestReplacedTokenLivesAsLongAsItsPages(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := e.promised()
	e.read("creds/" + page777)
	e.clock.Advance(time.Minute)
	e.again()
	e.passes(until.Add(day))
	if !e.valid(first) {
		t.Error("it was revoked while readers use tokens of its pages")
	}
	e.passes(e.clock.Now().Add(60 * day))
	if e.valid(first) {
		t.Error("it outlives its expiry")
	}
	for _, r := range e.fb.Requests() {
		if r.Endpoint == authpipetest.EndpointRevokeToken && r.Query.Get("revoke_token") == first {
			t.Error("it was revoked when it had expired")
		}
	}
}

func TestReplacedTokensAreRevokedWithTheirCredential(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	tokens := []string{e.served(installation)}
	for range 3 {
		e.clock.Advance(20 * time.Second)
		tokens = append(tokens, e.again())
	}
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.settled()
	for i, token := range tokens {
		if e.valid(token) {
			t.Errorf("token %d lives on", i)
		}
	}
}

func TestReplacedTokensAreBounded(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	var tokens []string
	for range 60 {
		tokens = append(tokens, e.served(installation))
		e.clock.Advance(time.Minute)
		e.again()
	}
	e.after(5 * time.Minute)
	living := 0
	for _, token := range tokens {
		if e.valid(token) {
			living++
		}
	}
	if living != 50 || e.valid(tokens[0]) || !e.valid(tokens[59]) {
		t.Errorf("%d live, the first: %v, the last: %v", living, e.valid(tokens[0]), e.valid(tokens[59]))
	}
	if n := len(e.raw("cred/" + installation)); n > 32<<10 {
		t.Errorf("the record has %d bytes", n)
	}
}

// TestReplacedTokenOfASecondHolderIsLeftAlone has another tenant import the very
// token that a refresh replaces.
func TestReplacedTokenOfASecondHolderIsLeftAlone(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := e.promised()
	e.must(logical.UpdateOperation, "creds/"+globex, map[string]any{"access_token": first})
	c := e.read("creds/" + globex)
	untilOther := e.clock.Now().Add(time.Duration(c["ttl"].(int64)) * time.Second)
	e.clock.Advance(time.Minute)
	e.again()
	e.must(logical.UpdateOperation, "connections/"+globex+"/refresh", nil)
	if untilOther.Before(until) {
		until, untilOther = untilOther, until
	}
	e.passes(untilOther.Add(-time.Minute))
	if !e.valid(first) {
		t.Errorf("one of two holders revoked it, at %v, and the other promised it until %v", until, untilOther)
	}
	e.passes(untilOther.Add(10 * time.Minute))
	if e.valid(first) {
		t.Error("the last of two holders did not revoke it")
	}
}

func TestRevokingAReplacedTokenMayDieAtAnyStorageOperation(t *testing.T) {
	for c := range eachCrash() {
		e := expiring(t, authpipetest.Options{})
		first, until := e.promised()
		e.clock.Advance(time.Minute)
		e.again()
		e.passes(until.Add(-5 * time.Minute))
		e.clock.Set(until.Add(time.Minute))
		e.storage.DieAt(c.operation, c.afterEffect)
		e.sweeps(t.Context())
		if c.misses(e) {
			continue
		}
		e.restart()
		e.passes(until.Add(3 * time.Hour))
		if e.valid(first) {
			t.Errorf("%s, it lives on", c)
		}
		e.served(installation)
		e.checkInvariants(c.String())
	}
}

// TestRefreshThatIsOvertakenLeavesNoTokenBehind: the credential is deleted, or
// connected again, while a refresh is on its way, and no record has what it brings.
func TestRefreshThatIsOvertakenLeavesNoTokenBehind(t *testing.T) {
	for name, overtake := range map[string]func(*engine){
		"by a delete":    func(e *engine) { e.must(logical.DeleteOperation, "creds/"+installation, nil) },
		"by a reconnect": func(e *engine) { e.install() },
	} {
		t.Run(name, func(t *testing.T) {
			e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
			e.install()
			e.clock.Advance(10 * day)
			before := map[string]bool{}
			for _, r := range e.fb.Tokens() {
				before[r] = true
			}
			clear := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, AfterEffect: true, Hang: true, Times: 1})
			n := e.fb.Count(authpipetest.EndpointExchangeToken)
			done := make(chan bool)
			go func() { e.do(logical.UpdateOperation, "connections/"+installation+"/refresh", nil); close(done) }()
			e.awaitCalls(authpipetest.EndpointExchangeToken, n+1)
			overtake(e)
			clear()
			<-done
			known := map[string]bool{}
			if resp, err := e.do(logical.ReadOperation, "creds/"+installation, nil); err == nil && resp != nil {
				known[resp.Data["access_token"].(string)] = true
			}
			for _, token := range e.fb.Tokens() {
				if seen, _ := e.fb.Inspect(token); seen.Valid && !before[token] && !known[token] && seen.Kind != authpipetest.KindApp && seen.Kind != authpipetest.KindPage {
					t.Errorf("a token lives that no record has: %+v", seen)
				}
			}
		})
	}
}

// TestTokenThatWasKeptIsNotRevokedByACallUnderWay: with revoke=false the token may live on
// in another cluster. A check answers with that very token.
func TestTokenThatWasKeptIsNotRevokedByACallUnderWay(t *testing.T) {
	request := func(name string) func(e *engine) {
		return func(e *engine) { e.do(logical.UpdateOperation, "connections/"+installation+"/"+name, nil) }
	}
	for name, act := range map[string]func(e *engine){
		"check": request("check"), "refresh": request("refresh"), "sweep": func(e *engine) { e.clock.Advance(25 * time.Hour); e.sweep() },
	} {
		t.Run(name, func(t *testing.T) {
			e := business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.install()
			token := e.served(installation)
			e.during(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1},
				func() { act(e) },
				func() { e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"revoke": false}) })
			if n := e.fb.Count(authpipetest.EndpointRevokeToken); n > 0 || !e.valid(token) {
				t.Errorf("%d calls revoke; the token lives: %v", n, e.valid(token))
			}
		})
	}
}
