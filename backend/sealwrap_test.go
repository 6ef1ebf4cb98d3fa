package backend_test

import (
	"slices"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestSealWrapPathsAreDeclared(t *testing.T) {
	special := enginetest.New(t, authpipetest.Options{}).SpecialPaths()
	if got := special.SealWrapStorage; !slices.Equal(got, []string{"keyring/", "config/"}) {
		t.Errorf("it is told %v", got)
	}
	if got := special.Unauthenticated; !slices.Equal(got, []string{"callback/+", "webhooks/+/deauthorize", "webhooks/+/data-deletion"}) {
		t.Errorf("without a token it serves %v", got)
	}
}
