package paths_test

import (
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestInfoNamesBuild(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	info := e.Read("info")
	for field, want := range map[string]any{"version": "v1.2.3", "commit": "c0ffee", "build_date": "2026-12-01T08:00:00Z", "go_version": "go1.99"} {
		if info[field] != want {
			t.Errorf("%s is %v, want %v", field, info[field], want)
		}
	}
	supported := func() string {
		return strings.Join(e.Read("info")["supported_api_versions"].(map[string][]string)["facebook"], " ")
	}
	if got := supported(); got != "v21.0 v22.0 v23.0 v24.0 v25.0 v26.0 v27.0" {
		t.Errorf("in November 2026 the API has the versions %s", got)
	}
	e.Clock.Advance(100 * enginetest.Day)
	if got := supported(); got != "v22.0 v23.0 v24.0 v25.0 v26.0 v27.0" {
		t.Errorf("after v21.0 has ended it has %s", got)
	}
	if got := e.PluginVersion().Version; got != "v1.2.3" {
		t.Errorf("Vault is told of version %s", got)
	}
}
