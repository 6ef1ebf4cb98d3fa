package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var hook = tenant.Ref{Tenant: "org_acme", Provider: "facebook", Name: "webhook"}

func staticCredential() store.Credential {
	return store.Credential{
		Birth: "birth", Generation: 3, Revision: 4, Status: store.Active,
		Static:      &store.Static{Type: store.WebhookSecret, Value: oauth.NewSecret("whsec_<&>")},
		ConnectedAt: noon, ConnectedBy: store.Caller{Actor: "uma", EntityID: "e", DisplayName: "d"},
		History: []store.Outcome{{At: noon, Event: "imported"}},
	}
}

// TestStaticCredentialAtRest reads one from the bytes of the first
// release that had them.
func TestStaticCredentialAtRest(t *testing.T) {
	const golden = "testdata/v1-static.json"
	if *update {
		s, storage, _ := newStore()
		put(t, s, hook, staticCredential())
		writeGolden(t, storage, golden)
	}
	s := store.New(store.Options{Storage: readGolden(t, golden), Now: authpipetest.NewClock(noon).Now})
	c, err := s.Credentials.Read(t.Context(), hook)
	if diff := cmp.Diff(staticCredential(), c); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if c.Static.Value.Reveal() != "whsec_<&>" {
		t.Error("the credential is another")
	}
}

func TestReadRefusesOtherKindOfCredential(t *testing.T) {
	s, _, _ := newStore()
	put(t, s, hook, credential())
	put(t, s, uma, staticCredential())
	for _, ref := range []tenant.Ref{hook, uma} {
		if c, err := s.Credentials.Read(t.Context(), ref); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", ref, c, err)
		}
	}
}
