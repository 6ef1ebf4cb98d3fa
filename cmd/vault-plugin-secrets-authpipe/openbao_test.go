package main_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// isOpenBao reports whether the server under test is an OpenBao. It runs the program, because its file may have either name. The tests
// differ only by the server's own behavior; the plugin is the same.
func isOpenBao(tb testing.TB, bin string) bool {
	tb.Helper()
	said, err := exec.Command(bin, "version").Output()
	if err != nil {
		tb.Fatalf("running %s version: %v", bin, err)
	}
	return strings.HasPrefix(string(said), "OpenBao ")
}

// auditStanza returns the audit log's part of a server's configuration. It is empty for a Vault, whose audit devices are enabled by its
// API; an OpenBao takes them only from its configuration.
func (s *vaultServer) auditStanza() string {
	if !s.bao {
		return ""
	}
	return fmt.Sprintf("audit \"file\" \"canaries\" {\n  options = {\n    file_path = %q\n  }\n}\n", s.auditLog())
}
