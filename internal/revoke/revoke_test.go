package revoke_test

import (
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var start = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func newRevoker(t *testing.T) (*revoke.Revoker, *store.Store, *authpipetest.Clock) {
	t.Helper()
	clock := authpipetest.NewClock(start)
	s := store.New(store.Options{Storage: storagetest.New(), Now: clock.Now})
	log := hclog.NewNullLogger()
	b := breaker.New(breaker.Options{Store: s, Now: clock.Now, Log: log, Writable: func() bool { return true }, Context: t.Context()})
	return revoke.New(revoke.Options{Store: s, Breaker: b, Now: clock.Now, Log: log}), s, clock
}

func TestSinceRemembersRevocationsForTwoHours(t *testing.T) {
	r, _, clock := newRevoker(t)
	r.Revoked("facebook", "42")
	if !r.Since("facebook", "42", start.Add(-time.Minute)) || !r.Since("facebook", "42", start) {
		t.Error("a session that was begun before the revocation does not see it")
	}
	if r.Since("facebook", "42", start.Add(time.Second)) || r.Since("facebook", "43", start) || r.Since("github", "42", start) {
		t.Error("a later session sees it, or another account's or provider's")
	}
	clock.Advance(2 * time.Hour)
	r.Revoked("facebook", "43")
	if !r.Since("facebook", "42", start) {
		t.Error("after two hours it is not remembered")
	}
	clock.Advance(2 * time.Minute)
	if r.Revoked("facebook", "44"); r.Since("facebook", "42", start) {
		t.Error("after more than two hours it is still remembered")
	}
}

func TestCheckOthersPlansChecksOfTheAccountsActiveCredentials(t *testing.T) {
	r, s, _ := newRevoker(t)
	ref := func(user string) tenant.Ref { return tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: user} }
	later := start.Add(time.Hour)
	for user, c := range map[string]store.Credential{
		"revoked": {Status: store.Active, Token: oauth.Token{Account: "42"}},
		"other":   {Status: store.Active, Token: oauth.Token{Account: "42"}},
		"dead":    {Status: store.NeedsReauth, Token: oauth.Token{Account: "42"}},
		"foreign": {Status: store.Active, Token: oauth.Token{Account: "43"}},
	} {
		c.Birth, c.Generation, c.NextCheck, c.Token.AccessToken = "first", 1, later, oauth.NewSecret(user)
		if _, err := s.Credentials.Update(t.Context(), ref(user), func(*store.Credential) (store.Credential, error) { return c, nil }); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.CheckOthers(t.Context(), "facebook", ref("revoked"), "42"); err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string]time.Time{"revoked": later, "other": start, "dead": later, "foreign": later} {
		if c, err := s.Credentials.Read(t.Context(), ref(user)); err != nil || !c.NextCheck.Equal(want) {
			t.Errorf("%s is checked at %v, %v", user, c.NextCheck, err)
		}
	}
}
