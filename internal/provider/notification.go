package provider

import (
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// ErrUnverified is returned if a notification was not signed with the client's secret,
// is too old, or is not meant for the engine.
var ErrUnverified = errors.New("it is not from the provider, or not for the engine")

// A Notification is what a provider posts by itself about one account. It is true of the
// time at which it was signed: it may come late, twice, and after a later one.
type Notification struct {
	// Account is the provider's id of the account that the notification is about. Empty:
	// it is about the grant of Business.
	Account, Business string
	// Gone says that the grant has ended. Otherwise something about it has changed.
	Gone bool
	// At is when that happened, to the second. Zero: the provider did not say.
	At time.Time
	// Reason says what happened, for a credential's history.
	Reason string
}

// SignedRequests is a [Provider] that posts notifications to the client one by one, each
// of them a string that it has signed.
type SignedRequests interface {
	// OpenSignedRequest returns the notification in signed, which anybody may have sent.
	// Its errors wrap [ErrUnverified]. It makes no call. Secret and OtherSecret of c are
	// worth the same.
	OpenSignedRequest(c oauth.Client, signed string) (Notification, error)
}

// A Notifier is a [Provider] that delivers notifications to a webhook, in batches.
type Notifier interface {
	// OpenDelivery returns the notifications of a delivery: the bytes of a request's body,
	// and the signature from its header. Those that are not about grants are skipped. Its
	// errors are as those of OpenSignedRequest.
	OpenDelivery(c oauth.Client, body []byte, signature string) ([]Notification, error)
}
