package refresh_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// expiring returns an engine whose installation is a system user's token of 60
// days, each of which is revoked by itself.
func expiring(t *testing.T, o authpipetest.Options) *enginetest.Engine {
	t.Helper()
	e := enginetest.Business(t, o, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
	e.Install()
	return e
}

// promised reads the installation's token, and until when its reader stays away.
func promised(e *enginetest.Engine) (token string, until time.Time) {
	e.T.Helper()
	c := e.Read("creds/" + enginetest.Installation)
	return c["access_token"].(string), e.Clock.Now().Add(time.Duration(c["ttl"].(int64)) * time.Second)
}

// again trades the installation's token, which Facebook extends once a day, for
// a fresh one.
func again(e *enginetest.Engine) string {
	e.T.Helper()
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
	return e.Token(enginetest.Installation)
}

func TestReplacedTokenLivesForTheTTLItsReadersWereGiven(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := promised(e)
	if until.Sub(e.Clock.Now()) < 20*enginetest.Day {
		t.Fatalf("it was promised until %v", until)
	}
	e.Clock.Advance(20 * time.Second)
	second := again(e)
	_, untilSecond := promised(e)
	e.Clock.Advance(20 * time.Second)
	third := again(e)
	if first == second || second == third {
		t.Fatal("a refresh brought no other token")
	}
	e.SweepUntil(until.Add(-time.Minute))
	if !e.Facebook.Valid(first) || !e.Facebook.Valid(second) {
		t.Errorf("within what was promised, the first lives: %v, the second: %v", e.Facebook.Valid(first), e.Facebook.Valid(second))
	}
	e.SweepUntil(untilSecond.Add(10 * time.Minute))
	if e.Facebook.Valid(first) || e.Facebook.Valid(second) || e.Token(enginetest.Installation) == "" {
		t.Errorf("after it, the first lives: %v, the second: %v", e.Facebook.Valid(first), e.Facebook.Valid(second))
	}
	e.CheckInvariants("at the end")
}

func TestReplacedTokenIsRevokedSoonAfterAPlannedRefresh(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := promised(e)
	e.SweepUntil(until)
	if e.Token(enginetest.Installation) == first {
		t.Fatal("it was not refreshed")
	}
	e.SweepUntil(until.Add(10 * time.Minute))
	if e.Facebook.Valid(first) {
		t.Error("it was not revoked")
	}
}

// TestReplacedTokenKeepsAnEarlierPlan has a plan moved to an earlier time after
// it was read: a refresh brought no more life.
func TestReplacedTokenKeepsAnEarlierPlan(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := promised(e)
	expires := e.Read("creds/" + enginetest.Installation)["expires_at"].(string)
	clear := e.Facebook.InspectAs(fmt.Sprintf(`{"app_id":"123","type":"SYSTEM_USER","is_valid":true,"user_id":"%s","expires_at":%d,"scopes":["business_management"]}`,
		e.Read("creds/" + enginetest.Installation)["provider_user_id"], e.Clock.Now().Add(10*enginetest.Day).Unix()))
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Installation+"/check", nil)
	clear()
	if _, now := promised(e); !now.Before(until) {
		t.Fatalf("it expires sooner than %s, and is planned for %v", expires, now)
	}
	if again(e) == first {
		t.Fatal("a refresh brought no other token")
	}
	e.Restart()
	e.SweepUntil(until.Add(-time.Minute))
	if !e.Facebook.Valid(first) {
		t.Error("it was revoked within what its first reader was promised")
	}
}

func TestReplacedTokenIsRevokedWhenTheProviderIsBack(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := promised(e)
	e.Clock.Advance(time.Minute)
	again(e)
	e.SweepUntil(until.Add(-time.Hour))
	repair := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevokeToken, Status: 500})
	e.SweepUntil(until.Add(3 * time.Hour))
	if !e.Facebook.Valid(first) {
		t.Fatal("it was revoked by a call that failed")
	}
	repair()
	e.SweepUntil(until.Add(10 * time.Hour))
	if e.Facebook.Valid(first) {
		t.Error("it was not revoked afterwards")
	}
	e.CheckInvariants("at the end")
}

func TestReplacedTokenLivesAsLongAsItsPages(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := promised(e)
	e.Read("creds/" + enginetest.Page777)
	e.Clock.Advance(time.Minute)
	again(e)
	e.SweepUntil(until.Add(enginetest.Day))
	if !e.Facebook.Valid(first) {
		t.Error("it was revoked while readers use tokens of its pages")
	}
	e.SweepUntil(e.Clock.Now().Add(60 * enginetest.Day))
	if e.Facebook.Valid(first) {
		t.Error("it outlives its expiry")
	}
	for _, r := range e.Facebook.Requests() {
		if r.Endpoint == authpipetest.EndpointRevokeToken && r.Query.Get("revoke_token") == first {
			t.Error("it was revoked when it had expired")
		}
	}
}

func TestReplacedTokensAreRevokedWithTheirCredential(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	tokens := []string{e.Token(enginetest.Installation)}
	for range 3 {
		e.Clock.Advance(20 * time.Second)
		tokens = append(tokens, again(e))
	}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.FinishRemoval()
	for i, token := range tokens {
		if e.Facebook.Valid(token) {
			t.Errorf("token %d lives on", i)
		}
	}
}

func TestReplacedTokensAreBounded(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	var tokens []string
	for range 60 {
		tokens = append(tokens, e.Token(enginetest.Installation))
		e.Clock.Advance(time.Minute)
		again(e)
	}
	e.After(5 * time.Minute)
	living := 0
	for _, token := range tokens {
		if e.Facebook.Valid(token) {
			living++
		}
	}
	if living != 50 || e.Facebook.Valid(tokens[0]) || !e.Facebook.Valid(tokens[59]) {
		t.Errorf("%d live, the first: %v, the last: %v", living, e.Facebook.Valid(tokens[0]), e.Facebook.Valid(tokens[59]))
	}
	if n := len(e.Storage.Raw("cred/" + enginetest.Installation)); n > 32<<10 {
		t.Errorf("the record has %d bytes", n)
	}
}

// TestReplacedTokenOfASecondHolderIsLeftAlone has another tenant import the very
// token that a refresh replaces.
func TestReplacedTokenOfASecondHolderIsLeftAlone(t *testing.T) {
	e := expiring(t, authpipetest.Options{})
	first, until := promised(e)
	e.Must(logical.UpdateOperation, "creds/"+enginetest.Globex, map[string]any{"access_token": first})
	c := e.Read("creds/" + enginetest.Globex)
	untilOther := e.Clock.Now().Add(time.Duration(c["ttl"].(int64)) * time.Second)
	e.Clock.Advance(time.Minute)
	again(e)
	e.Must(logical.UpdateOperation, "connections/"+enginetest.Globex+"/refresh", nil)
	if untilOther.Before(until) {
		until, untilOther = untilOther, until
	}
	e.SweepUntil(untilOther.Add(-time.Minute))
	if !e.Facebook.Valid(first) {
		t.Errorf("one of two holders revoked it, at %v, and the other promised it until %v", until, untilOther)
	}
	e.SweepUntil(untilOther.Add(10 * time.Minute))
	if e.Facebook.Valid(first) {
		t.Error("the last of two holders did not revoke it")
	}
}

func TestRevocationOfReplacedTokenSurvivesCrash(t *testing.T) {
	var first string
	var until time.Time
	setup := func() *enginetest.Engine {
		e := expiring(t, authpipetest.Options{})
		first, until = promised(e)
		e.Clock.Advance(time.Minute)
		again(e)
		e.SweepUntil(until.Add(-5 * time.Minute))
		e.Clock.Set(until.Add(time.Minute))
		return e
	}
	sweep := func(e *enginetest.Engine) error { return e.SweepRecovering(t.Context()) }
	enginetest.EachCrash(setup, sweep, func(e *enginetest.Engine, f enginetest.Failure) {
		e.SweepUntil(until.Add(3 * time.Hour))
		if e.Facebook.Valid(first) {
			t.Errorf("%s, it lives on", f)
		}
		e.Token(enginetest.Installation)
		e.CheckInvariants(f.String())
	})
}

// TestSupersededRefreshRevokesItsToken: the credential is deleted, or
// connected again, while a refresh is on its way, and no record has what it brings.
func TestSupersededRefreshRevokesItsToken(t *testing.T) {
	for name, overtake := range map[string]func(*enginetest.Engine){
		"by a delete":    func(e *enginetest.Engine) { e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil) },
		"by a reconnect": func(e *enginetest.Engine) { e.Install() },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{ExpiresIn60Days: true})
			e.Install()
			e.Clock.Advance(10 * enginetest.Day)
			before := map[string]bool{}
			for _, r := range e.Facebook.Tokens() {
				before[r] = true
			}
			clear := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, AfterEffect: true, Hang: true, Times: 1})
			n := e.Facebook.Count(authpipetest.EndpointExchangeToken)
			done := make(chan bool)
			go func() {
				e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/refresh", nil)
				close(done)
			}()
			e.Facebook.AwaitCalls(authpipetest.EndpointExchangeToken, n+1)
			overtake(e)
			clear()
			<-done
			known := map[string]bool{}
			if resp, err := e.Do(logical.ReadOperation, "creds/"+enginetest.Installation, nil); err == nil && resp != nil {
				known[resp.Data["access_token"].(string)] = true
			}
			for _, token := range e.Facebook.Tokens() {
				if seen, _ := e.Facebook.Inspect(token); seen.Valid && !before[token] && !known[token] && seen.Kind != authpipetest.KindApp && seen.Kind != authpipetest.KindPage {
					t.Errorf("a token lives that no record has: %+v", seen)
				}
			}
		})
	}
}

// TestStoredTokenIsNotRevokedByCallUnderWay: with revoke=false the token may live on
// in another cluster. A check answers with that very token.
func TestStoredTokenIsNotRevokedByCallUnderWay(t *testing.T) {
	request := func(name string) func(e *enginetest.Engine) {
		return func(e *enginetest.Engine) {
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Installation+"/"+name, nil)
		}
	}
	for name, act := range map[string]func(e *enginetest.Engine){
		"check": request("check"), "refresh": request("refresh"), "sweep": func(e *enginetest.Engine) { e.Clock.Advance(25 * time.Hour); e.MustSweep() },
	} {
		t.Run(name, func(t *testing.T) {
			e := enginetest.Business(t, authpipetest.Options{}, authpipetest.Business{}, authpipetest.Configuration{})
			e.Install()
			token := e.Token(enginetest.Installation)
			e.Facebook.During(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Times: 1},
				func() { act(e) },
				func() {
					e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"revoke": false})
				})
			if n := e.Facebook.Count(authpipetest.EndpointRevokeToken); n > 0 || !e.Facebook.Valid(token) {
				t.Errorf("%d calls revoke; the token lives: %v", n, e.Facebook.Valid(token))
			}
		})
	}
}
