package facebook

import (
	"context"
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// withEither makes a call with the client's secret and, where Facebook refuses
// the client, with the other one. A secret is reset in the app dashboard, which
// tells nobody: while both are known, no call fails for it.
func withEither[T any](ctx context.Context, c oauth.Client, call func(oauth.Client) (T, error)) (T, error) {
	answer, err := call(c)
	if c.OtherSecret.IsZero() || !refusesClient(err) {
		return answer, err
	}
	other := c
	other.Secret, other.OtherSecret = c.OtherSecret, c.Secret
	second, otherErr := call(other)
	if refusesClient(otherErr) {
		return answer, err
	}
	// An error that passes says nothing of the secret.
	if class := provider.ClassOf(otherErr); c.Accepted != nil && (otherErr == nil || class != provider.Transient && class != provider.Throttled) {
		c.Accepted(ctx, other.Secret)
	}
	return second, otherErr
}

// refusesClient reports whether another secret may fare better.
func refusesClient(err error) bool {
	var e *provider.Error
	return errors.As(err, &e) && e.Class == provider.Misconfigured && !errors.Is(e, provider.ErrRedirectMismatch)
}
