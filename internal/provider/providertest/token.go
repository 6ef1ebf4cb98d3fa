package providertest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

func testRefreshing(t *testing.T, w world) {
	token := w.token("ada")
	for range 3 {
		w.ripen(token)
		fresh, err := w.Provider.Refresh(t.Context(), w.Client, token)
		if err != nil {
			t.Fatal(err)
		}
		if !fresh.Live(w.Now()) || fresh.ExpiryUnknown || fresh.Account != token.Account || fresh.Refreshable() != token.Refreshable() {
			t.Errorf("the fresh token is %+v, of %+v", fresh, token)
		}
		for _, scope := range w.Scopes {
			if !slices.Contains(fresh.Scopes, scope) {
				t.Errorf("scope %s is missing among %v", scope, fresh.Scopes)
			}
		}
		if _, err := w.Provider.Inspect(t.Context(), w.Client, fresh); err != nil {
			t.Errorf("inspecting the fresh token: %v", err)
		}
		token = fresh
	}
}

func testRotation(t *testing.T, w world) {
	token := w.token("ada")
	fresh, err := w.Provider.Refresh(t.Context(), w.Client, token)
	if err != nil || fresh.RefreshToken == token.RefreshToken {
		t.Fatalf("the refresh token stays (%v)", err)
	}

	w.ripen(fresh)

	// The answer is lost, and the old refresh token is all there is.
	w.wire.Inject(lost)
	again, err := w.Provider.Refresh(t.Context(), w.Client, fresh)
	if err == nil || provider.ClassOf(err) != provider.Transient {
		t.Fatalf("with lost answers: %v, %v", again, err)
	}
	w.wire.Inject(nil)
	if again, err = w.Provider.Refresh(t.Context(), w.Client, fresh); err != nil {
		t.Fatalf("after a lost answer: %v", err)
	}

	w.ripen(again)

	// Once the server has answered, the token is not lost to a later failure.
	var once sync.Once
	w.wire.Inject(func(r *http.Request, server http.RoundTripper) (resp *http.Response, err error) {
		err = context.DeadlineExceeded
		once.Do(func() { resp, err = server.RoundTrip(r) })
		return resp, err
	})
	if _, err = w.Provider.Refresh(t.Context(), w.Client, again); err != nil {
		t.Errorf("a token that was received is lost: %v", err)
	}
}

func dead(err error) bool {
	class := provider.ClassOf(err)
	return err != nil && (class == provider.NeedsReauth || class == provider.Revoked)
}

func testDeadGrant(t *testing.T, w world) {
	ada, uma := w.token("ada"), w.token("uma")
	w.End("ada")
	for op, call := range map[string]func(context.Context, oauth.Client, oauth.Token) (oauth.Token, error){
		"refresh": w.Provider.Refresh, "inspect": w.Provider.Inspect, "settle": w.Provider.Settle,
	} {
		_, err := call(t.Context(), w.Client, ada)
		var e *provider.Error
		switch {
		case !dead(err), !errors.As(err, &e):
			t.Errorf("%s of a dead grant: %v", op, err)
		case e.Owner() == provider.ConcernsApp, e.Help() != provider.RemedyPerson:
			t.Errorf("%s of a dead grant concerns %s, and %s helps", op, e.Owner(), e.Help())
		}
		if _, err := call(t.Context(), w.Client, uma); err != nil {
			t.Errorf("%s of another's: %v", op, err)
		}
	}
}

func testExpiredToken(t *testing.T, w world) {
	token := w.token("ada")
	if token.ExpiresAt.IsZero() {
		t.Fatal("the server's tokens do not expire: say so in the fixture")
	}
	w.Advance(token.ExpiresAt.Sub(w.Now()) + time.Minute)
	known, err := w.Provider.Inspect(t.Context(), w.Client, token)
	if !token.Refreshable() {
		if _, refreshErr := w.Provider.Refresh(t.Context(), w.Client, token); !dead(err) || !dead(refreshErr) {
			t.Errorf("inspecting and refreshing an expired token: %v, %v", err, refreshErr)
		}
		return
	}
	if err != nil || known.Live(w.Now()) || known.RefreshToken != token.RefreshToken {
		t.Fatalf("a token whose refresh token lives: %+v, %v", known, err)
	}
	if fresh, err := w.Provider.Refresh(t.Context(), w.Client, known); err != nil || !fresh.Live(w.Now()) {
		t.Errorf("refreshing it: %+v, %v", fresh, err)
	}
}

func testForeignToken(t *testing.T, w world) {
	if _, err := w.Provider.Settle(t.Context(), w.Client, w.Foreign(t)); err == nil || provider.ClassOf(err) != provider.Caller {
		t.Errorf("another client's token: %v", err)
	}
	const madeUp = "a-token-that-was-never-issued-0123456789"
	_, err := w.Provider.Settle(t.Context(), w.Client, oauth.Token{AccessToken: oauth.NewSecret(madeUp), Type: "bearer", ExpiryUnknown: true})
	var e *provider.Error
	if !errors.As(err, &e) || e.Class == provider.Transient || e.Class == provider.Misconfigured {
		t.Fatalf("a made-up token: %v", err)
	}
	if why := w.Provider.ExplainImport(e, oauth.NewSecret(madeUp)); strings.Contains(why.Text, madeUp) {
		t.Errorf("the explanation shows the token: %s", why.Text)
	}
}

func testRevocation(t *testing.T, w world) {
	revoker := w.Provider.(provider.Revoker)
	token, other, uma := w.token("ada"), w.token("ada"), w.token("uma")
	for _, when := range []string{"a living grant", "a grant that is gone"} {
		if err := revoker.Revoke(t.Context(), w.Client, token); err != nil {
			t.Errorf("revoking %s: %v", when, err)
		}
	}
	if _, err := w.Provider.Inspect(t.Context(), w.Client, token); !dead(err) {
		t.Errorf("the token lives on: %v", err)
	}
	if _, err := w.Provider.Refresh(t.Context(), w.Client, token); !dead(err) {
		t.Errorf("it can be refreshed: %v", err)
	}
	if _, err := w.Provider.Inspect(t.Context(), w.Client, other); dead(err) == revoker.RevokesAlone(token) {
		t.Errorf("RevokesAlone is %v, and the account's other grant: %v", revoker.RevokesAlone(token), err)
	}
	if _, err := w.Provider.Inspect(t.Context(), w.Client, uma); err != nil {
		t.Errorf("another account's grant: %v", err)
	}
	w.End("uma")
	if err := revoker.Revoke(t.Context(), w.Client, uma); err != nil {
		t.Errorf("revoking a grant that its owner has ended: %v", err)
	}
}

func testBatch(t *testing.T, w world) {
	batch := w.Provider.(provider.BatchInspector)
	ada, uma := w.token("ada"), w.token("uma")
	madeUp := ada
	madeUp.AccessToken = oauth.NewSecret("a-token-that-was-never-issued-0123456789")
	tokens := []oauth.Token{uma, madeUp, ada, uma, ada}
	if len(tokens) > batch.BatchLimit() {
		t.Fatalf("a batch has room for %d", batch.BatchLimit())
	}
	answers := batch.InspectAll(t.Context(), w.Client, tokens)
	if len(answers) != len(tokens) {
		t.Fatalf("%d answers of %d tokens", len(answers), len(tokens))
	}
	for i, token := range tokens {
		if token.AccessToken == madeUp.AccessToken {
			if answers[i].Err == nil || provider.ClassOf(answers[i].Err) == provider.Transient {
				t.Errorf("answer %d, of a token that was never issued: %v", i, answers[i].Err)
			}
		} else if answers[i].Err != nil || answers[i].Token.Account != token.Account || answers[i].Token.AccessToken != token.AccessToken {
			t.Errorf("answer %d: %v, %v", i, answers[i].Token, answers[i].Err)
		}
	}
	w.wire.Inject(unanswered(context.DeadlineExceeded))
	for i, answer := range batch.InspectAll(t.Context(), w.Client, tokens) {
		if answer.Err == nil || provider.ClassOf(answer.Err) != provider.Transient {
			t.Errorf("answer %d of a batch that was not answered: %v", i, answer.Err)
		}
	}
	if len(batch.InspectAll(t.Context(), w.Client, nil)) != 0 {
		t.Error("no tokens have answers")
	}
}
