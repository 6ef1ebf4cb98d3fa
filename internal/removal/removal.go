// Package removal ends credentials: it revokes grants and deletes credentials,
// installations with everything under them, accounts, tenants, and the data of people that
// requested it at the provider.
package removal

import (
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// Options are what a Remover needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Revoker   *revoke.Revoker
	// Calls checks credentials. Notifications verifies a person's request for deletion, and
	// applies it to their credentials.
	Calls         *call.Calls
	Notifications *notification.Receiver
	Now           func() time.Time
	Log           hclog.Logger
	// Writable reports whether this node may write. Where it may not, the request is
	// forwarded to the active node.
	Writable func() bool
	// Budget limits the calls of background work.
	Budget *rate.Limiter
}

// A Remover deletes credentials, installations and tenants. It is safe for concurrent use.
type Remover struct {
	Options
	// endings are the last steps of removals, each shared by concurrent callers.
	endings singleflight.Group
}

// New returns a Remover.
func New(o Options) *Remover { return &Remover{Options: o} }

// errSuperseded is returned if the credential has changed since the removal began.
var errSuperseded = errors.New("the credential has changed since its removal began")
