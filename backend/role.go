package backend

import (
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
)

// roleKept is for how long it is remembered what Vault said of this node's
// role. For a plugin each question is a call back to Vault, and the framework
// asks at every request.
const roleKept = time.Second

// A roleView is a system view that remembers the node's role for a moment.
type roleView struct {
	logical.SystemView
	now  func() time.Time
	last atomic.Pointer[role]
}

type role struct {
	state consts.ReplicationState
	local bool
	at    time.Time
}

func (v *roleView) role() *role {
	now := v.now()
	if r := v.last.Load(); r != nil {
		if age := now.Sub(r.at); 0 <= age && age < roleKept {
			return r
		}
	}
	r := &role{v.SystemView.ReplicationState(), v.SystemView.LocalMount(), now}
	v.last.Store(r)
	return r
}

// ReplicationState implements [logical.SystemView].
func (v *roleView) ReplicationState() consts.ReplicationState { return v.role().state }

// LocalMount implements [logical.SystemView].
func (v *roleView) LocalMount() bool { return v.role().local }
