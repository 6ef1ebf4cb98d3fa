package breaker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// TestUnknownProviderIsNotProbed has a configuration with two secrets, which a probe tells
// apart, of a provider that this build does not know.
func TestUnknownProviderIsNotProbed(t *testing.T) {
	s := store.New(store.Options{Storage: storagetest.New(), Now: time.Now})
	overlap := time.Hour
	err := s.Mount.UpdateConfig(t.Context(), "unknown", func(store.Config) (store.Config, error) {
		return store.Config{ClientID: "123", FormerSecret: oauth.NewSecret("former"), FormerSecretUntil: time.Now().Add(overlap), ClientSecretOverlap: &overlap}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	b := breaker.New(breaker.Options{
		Store: s, Now: time.Now, Log: hclog.New(&hclog.LoggerOptions{Output: &log}), Writable: func() bool { return true }, Context: t.Context(),
	})
	b.Reset(t.Context(), "unknown")
	if log.Len() > 0 {
		t.Errorf("the log says %s", log.String())
	}
}
