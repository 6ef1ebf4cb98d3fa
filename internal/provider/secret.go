package provider

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// WithEither makes a call with the client's secret and, where the server refuses
// the client, with the other one. A secret is reset at the provider without notice:
// while both are known, no call fails for it.
func WithEither[T any](ctx context.Context, c oauth.Client, call func(oauth.Client) (T, error)) (T, error) {
	answer, err := call(c)
	if c.OtherSecret.IsZero() || !RefusesClient(err) {
		return answer, err
	}
	other := c
	other.Secret, other.OtherSecret = c.OtherSecret, c.Secret
	second, otherErr := call(other)
	if RefusesClient(otherErr) {
		return answer, err
	}
	// An error that passes says nothing of the secret.
	if class := ClassOf(otherErr); c.Accepted != nil && (otherErr == nil || class != Transient && class != Throttled) {
		c.Accepted(ctx, other.Secret)
	}
	return second, otherErr
}

// RefusesClient reports whether another secret may fare better.
func RefusesClient(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Class == Misconfigured && !errors.Is(e, ErrRedirectMismatch)
}
