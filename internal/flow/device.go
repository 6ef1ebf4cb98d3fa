package flow

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// beginDevice starts a session without a browser (RFC 8628). It parks the device code at
// once; completing the session polls.
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
	if err := f.sessions.begin(ctx, s); err != nil {
		return Begun{}, err
	}
	return Begun{Device: &code, SessionID: s.ID, ExpiresAt: s.ExpiresAt, Completion: s.Completion}, nil
}

// mayPoll returns an error if it is too early for another poll.
func mayPoll(s store.Session, now time.Time) error {
	if s.Device && s.Status == store.SessionPending && !expired(s, now) && now.Before(s.PollAt) {
		return provider.Refusal(&provider.Error{Class: provider.Transient, Err: provider.ErrPending})
	}
	return nil
}

// poll asks the provider once whether the person has approved.
func poll(ctx context.Context, p provider.Provider, c oauth.Client, code oauth.Secret) (oauth.Token, error) {
	device, ok := p.(provider.DeviceFlow)
	if !ok {
		return oauth.Token{}, oauth.Errorf(oauth.Misconfigured, "the provider has no device login")
	}
	return device.PollDevice(ctx, c, code)
}

// slowDown lengthens the interval after a poll that came too early (RFC 8628, section
// 3.5).
const slowDown = 5 * time.Second

// pollAgain plans the next poll of a device's session, after one that ended in cause.
func pollAgain(s *store.Session, cause error, now time.Time) {
	if errors.Is(cause, provider.ErrSlowDown) {
		s.Interval += slowDown
	}
	s.Status, s.PollAt = store.SessionPending, now.UTC().Add(s.Interval)
}
