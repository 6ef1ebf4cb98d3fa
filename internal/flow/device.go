package flow

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// beginDevice starts a session without a browser (RFC 8628). The device code
// is parked at once; completing the session polls.
func (f *Flow) beginDevice(ctx context.Context, p provider.Provider, config store.Config, s store.Session) (Begun, error) {
	device, ok := p.(provider.DeviceFlow)
	if !ok {
		return Begun{}, oauth.Invalid("grant", "must be code: the provider has no device login")
	}
	calls, cancel := provider.Budget(ctx)
	defer cancel()
	var code provider.DeviceCode
	err := f.Breaker.Call(ctx, s.Ref.Provider, "device", func() (err error) {
		code, err = device.BeginDevice(calls, config.Client(), s.Scopes)
		return err
	})
	if err != nil {
		return Begun{}, provider.Refusal(err)
	}
	s.Device, s.Code, s.Interval = true, code.Code, code.Interval
	s.PollAt = s.CreatedAt.Add(code.Interval)
	s.ExpiresAt = s.CreatedAt.Add(code.ExpiresIn)
	s.RedirectURI = ""
	if err := f.newSession(ctx, s); err != nil {
		return Begun{}, err
	}
	return Begun{Device: &code, SessionID: s.ID, ExpiresAt: s.ExpiresAt, Completion: s.Completion}, nil
}

// mayPoll returns an error if it is too early to ask the provider again.
func (f *Flow) mayPoll(s store.Session) error {
	if s.Device && s.Status == store.SessionPending && !expired(s, f.Now()) && f.Now().Before(s.PollAt) {
		return provider.Refusal(&provider.Error{Class: provider.Transient, Err: provider.ErrPending})
	}
	return nil
}

// poll asks once whether the person has approved.
func (f *Flow) poll(ctx context.Context, p provider.Provider, c oauth.Client, code oauth.Secret) (oauth.Token, error) {
	device, ok := p.(provider.DeviceFlow)
	if !ok {
		return oauth.Token{}, oauth.Errorf(oauth.Misconfigured, "the provider has no device login")
	}
	return device.PollDevice(ctx, c, code)
}

// slowDown is how much longer to wait after polling too often (RFC 8628,
// section 3.5).
const slowDown = 5 * time.Second

// waitOn puts a device's session back to where it is polled again, after a
// poll that ended in cause.
func (f *Flow) waitOn(s *store.Session, cause error) {
	if errors.Is(cause, provider.ErrSlowDown) {
		s.Interval += slowDown
	}
	s.Status, s.PollAt = store.SessionPending, f.Now().UTC().Add(s.Interval)
}
