package backend_test

import (
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

func TestRoleIsReadOnceASecond(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	s := &enginetest.System{}
	e.RestartOn(s)
	for range 100 {
		e.Read("creds/" + enginetest.Uma)
	}
	if n := s.Asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.Standby.Store(true)
	e.Clock.Advance(time.Second)
	if _, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil); err != logical.ErrReadOnly {
		t.Errorf("a second after it became a standby it answers %v", err)
	}
	s.Standby.Store(false)
	e.Clock.Advance(-time.Hour)
	if _, err := e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil); err != nil {
		t.Errorf("an hour earlier, nobody knows how old its role is: %v", err)
	}
}
