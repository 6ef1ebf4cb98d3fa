// Package event stores what has happened, for applications to follow: the newest events of
// a mount, in a ring of pages.
package event

import "time"

// A Type names what happened.
type Type string

// The types of events.
const (
	ConnectionCreated       Type = "connection.created"
	ConnectionReconnected   Type = "connection.reconnected"
	ConnectionRefreshed     Type = "connection.refreshed"
	ConnectionRefreshFailed Type = "connection.refresh_failed"
	ConnectionExpiring      Type = "connection.expiring" // the token or its data access ends in 7 days, in 1 day
	ConnectionFailed        Type = "connection.failed"   // its token has expired while refreshing failed
	ConnectionNeedsReauth   Type = "connection.needs_reauth"
	ConnectionRecovered     Type = "connection.recovered"
	ConnectionRevoked       Type = "connection.revoked"
	ConnectionDeleted       Type = "connection.deleted"
	// ConnectionUnrevoked is of a credential that was deleted by force, or whose provider
	// has no revocation: the grant stands at the provider.
	ConnectionUnrevoked Type = "connection.unrevoked"
	ScopesChanged       Type = "scopes.changed"
	// SessionCodeReused is of a code that was presented in two sessions: one event for the
	// ref of each.
	SessionCodeReused     Type = "session.code_reused"
	TenantSuspended       Type = "tenant.suspended"
	TenantResumed         Type = "tenant.resumed" // its suspension was lifted
	TenantKeyRotated      Type = "tenant.key_rotated"
	TenantDeleted         Type = "tenant.deleted"
	ProviderMisconfigured Type = "provider.misconfigured"
	ProviderThrottled     Type = "provider.throttled"
	ProviderUnavailable   Type = "provider.unavailable"
	ProviderRecovered     Type = "provider.recovered"
)

// An Event is something that happened. It holds no secret.
type Event struct {
	// ID is greater than those of all events before. Some numbers are of no event.
	ID   int64     `json:"id"`
	At   time.Time `json:"at"`
	Type Type      `json:"type"`
	// Ref is the credential, provider or tenant that it happened to. "": that was deleted
	// since, see [Ring.Redact].
	Ref    string `json:"ref,omitempty"`
	Reason string `json:"reason,omitempty"`
}
