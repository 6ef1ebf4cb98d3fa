package backend_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A system is a system view whose node changes its role, and that counts who
// asks for it.
type system struct {
	logical.StaticSystemView
	standby atomic.Bool
	asked   atomic.Int64
}

func (s *system) ReplicationState() consts.ReplicationState {
	s.asked.Add(1)
	if s.standby.Load() {
		return consts.ReplicationPerformanceStandby
	}
	return consts.ReplicationPerformancePrimary
}

func TestVaultIsAskedForTheRoleOnceASecond(t *testing.T) {
	e := both(t, authpipetest.Options{})
	s := &system{}
	e.restartOn(s)
	for range 100 {
		e.read("creds/" + uma)
	}
	if n := s.asked.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	s.standby.Store(true)
	e.clock.Advance(time.Second)
	if _, err := e.do(logical.UpdateOperation, "connections/"+uma+"/refresh", nil); err != logical.ErrReadOnly {
		t.Errorf("a second after it became a standby it answers %v", err)
	}
	s.standby.Store(false)
	e.clock.Advance(-time.Hour)
	if _, err := e.do(logical.UpdateOperation, "connections/"+uma+"/check", nil); err != nil {
		t.Errorf("an hour earlier, nobody knows how old its role is: %v", err)
	}
}
