package vaulttest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

func TestAwaitReturnsLastError(t *testing.T) {
	gone := make(chan struct{})
	close(gone)
	never := func() error { return errors.New("the status is 503") }
	for name, err := range map[string]error{
		"in time":             vaulttest.Await("a leader", time.Nanosecond, nil, never),
		"of an ended process": vaulttest.Await("a leader", time.Minute, gone, never),
	} {
		if err == nil || !strings.Contains(err.Error(), "a leader") || !strings.Contains(err.Error(), "the status is 503") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestAwaitReturnsWhenTheCheckPasses(t *testing.T) {
	checks := 0
	err := vaulttest.Await("the third check", vaulttest.Patience, nil, func() error {
		if checks++; checks < 3 {
			return errors.New("not yet")
		}
		return nil
	})
	if err != nil || checks != 3 {
		t.Errorf("after %d checks: %v", checks, err)
	}
}
