// Package removal is how a credential ends: it revokes grants and deletes credentials,
// installations with all that stands under them, accounts, tenants, and what people asked
// the provider to have deleted.
package removal

import (
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// Options are what a Remover needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Revoker   *revoke.Revoker
	// Refresh checks credentials, Notifications verifies and applies what a person's
	// request to be deleted says.
	Refresh       *refresh.Refresher
	Notifications *notification.Receiver
	Now           func() time.Time
	Log           hclog.Logger
	// Writable reports whether this node may write. Where it may not, the request is
	// forwarded to the active node.
	Writable func() bool
	// Budget limits the calls of background work.
	Budget *rate.Limiter
}

// A Remover removes credentials and what they rest on. It is safe for concurrent use.
type Remover struct {
	Options
	// joint does work once for concurrent callers.
	joint singleflight.Group
}

// New returns a Remover.
func New(o Options) *Remover { return &Remover{Options: o} }

// errSuperseded is returned if the credential has changed since the removal began.
var errSuperseded = errors.New("the credential has changed since its removal began")
