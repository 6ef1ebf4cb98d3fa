package backend_test

import (
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestMain(m *testing.M) { enginetest.Main(m) }
