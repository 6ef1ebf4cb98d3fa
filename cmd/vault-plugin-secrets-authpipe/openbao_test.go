package main_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

// isOpenBao reports whether the server that is tested in is an OpenBao. It asks the program and not its name: either may be
// called the other's. What follows from the answer is about the server; the plugin is the same and asks nobody.
func isOpenBao(tb testing.TB, bin string) bool {
	tb.Helper()
	said, err := exec.Command(bin, "version").Output()
	if err != nil {
		tb.Fatalf("asking %s for its version: %v", bin, err)
	}
	return strings.HasPrefix(string(said), "OpenBao ")
}

// auditStanza is what a server's configuration says of its audit log: nothing to a Vault, which is told by its API, where an
// OpenBao takes it from nowhere else.
func (s *vaultServer) auditStanza() string {
	if !s.bao {
		return ""
	}
	return fmt.Sprintf("audit \"file\" \"canaries\" {\n  options = {\n    file_path = %q\n  }\n}\n", s.auditLog())
}
