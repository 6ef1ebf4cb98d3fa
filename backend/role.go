package backend

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
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

// refusal is what a request is answered with that failed with err.
//
// A node that may not write is behind the one that does, if only by
// milliseconds: an application whose user has just connected may read through it. So it
// serves what it has, but refuses nothing by itself. That a credential is not
// there, dead, suspended or unreadable, the node that wrote last shall say.
// What is wrong with the request alone is refused by any.
func (b *Backend) refusal(err error) error {
	code := oauth.CodeOf(err)
	doubtful := code != "" && code != oauth.InvalidRequest || errors.Is(err, store.ErrCorrupt)
	if doubtful && !b.WriteSafeReplicationState() {
		return logical.ErrReadOnly
	}
	return err
}
