package store_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// TestReadsFormerTokenOfEarlierVersion opens what an earlier version sealed,
// which kept one former token and no time.
func TestReadsFormerTokenOfEarlierVersion(t *testing.T) {
	got, err := store.OpenedFormers(`{"access_token":"EAAnew","former_token":"EAAold"}`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Former{{AccessToken: oauth.NewSecret("EAAold")}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestFormerTokensAreSealedWithTheirTimes(t *testing.T) {
	s, storage, clock := newStore()
	c := credential()
	at := clock.Now().Add(time.Hour).UTC()
	c.Formers = []store.Former{
		{AccessToken: oauth.NewSecret("EAAone"), RevokeAt: at, ExpiresAt: at.Add(time.Hour)},
		{AccessToken: oauth.NewSecret("EAAtwo")},
	}
	put(t, s, uma, c)
	cold := store.New(store.Options{Storage: storage, Now: clock.Now})
	got, err := cold.Credentials.Read(t.Context(), uma)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(c.Formers, got.Formers); diff != "" {
		t.Error(diff)
	}
	if !got.NextDue().Equal(at) {
		t.Errorf("it is due at %v", got.NextDue())
	}
}
