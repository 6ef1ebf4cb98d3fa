package provider

import (
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// ErrUnverified is returned if what claims to come from a provider was not
// signed with the client's secret, is too old, or is not meant for the engine.
var ErrUnverified = errors.New("it is not from the provider, or not for the engine")

// A Word is what a provider says by itself about one account. It is true of the
// time at which it was said: it may come late, twice, and after a later one.
type Word struct {
	// Account is the provider's id of who granted what the word is about. Empty:
	// it is about the grant of Business.
	Account, Business string
	// Gone says that the grant has ended. Else something about it has changed.
	Gone bool
	// At is when, to the second. Zero: the provider did not say.
	At time.Time
	// Reason says what happened, for those who read a credential's history.
	Reason string
}

// SignedRequests is a [Provider] that posts words to the client one by one,
// each of them a string that it has signed.
type SignedRequests interface {
	// OpenSignedRequest returns the word that signed, which anybody may have sent,
	// holds. Its errors wrap [ErrUnverified]. It calls nobody. Secret and
	// OtherSecret of c are worth the same.
	OpenSignedRequest(c oauth.Client, signed string) (Word, error)
}

// A Notifier is a [Provider] that delivers words to a webhook, in batches.
type Notifier interface {
	// OpenDelivery returns the words of a delivery: the bytes of a request's body,
	// and the signature from its header. What they tell of other things than
	// grants is passed over. Its errors are as those of OpenSignedRequest.
	OpenDelivery(c oauth.Client, body []byte, signature string) ([]Word, error)
}
