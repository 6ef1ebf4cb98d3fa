// Package notification applies what a provider posts by itself: that a person took their
// grant away, or that something about it has changed.
package notification

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// errUnverified is the error of every notification that is not the provider's, whatever
// is wrong with it.
var errUnverified = oauth.Errorf(oauth.InvalidRequest, "this was not sent by the provider, or not for this mount; nothing was changed")

// errUnchanged is returned by a change of a credential that there is no need to store.
var errUnchanged = errors.New("nothing changes")

// Believed is for how long a notification counts although a check has found the token alive
// since: the provider's own servers take a while to agree. The engine does not check before.
const Believed = time.Minute

// Options are what a Receiver needs.
type Options struct {
	Store   *store.Store
	Breaker *breaker.Breaker
	Revoker *revoke.Revoker
	Now     func() time.Time
	Log     hclog.Logger
	// Writable reports whether this node may write. Where it may not, the request is
	// forwarded to the active node.
	Writable func() bool
}

// A Receiver verifies notifications and applies them to the credentials that they are
// about. It is safe for concurrent use.
type Receiver struct{ Options }

// New returns a Receiver.
func New(o Options) *Receiver { return &Receiver{o} }

// Deauthorize applies what the provider posts when a person takes their grant away. The
// credentials that rest on it are out of service when it returns, and are checked soon:
// those that live become active again.
func (r *Receiver) Deauthorize(ctx context.Context, name, signed string) error {
	n, err := r.Open(ctx, name, signed)
	if err != nil {
		return err
	}
	_, err = r.Apply(ctx, name, n)
	return err
}

// Open returns the notification in a signed request, which anybody may have sent. It costs
// no storage call once the configuration is known.
func (r *Receiver) Open(ctx context.Context, name, signed string) (provider.Notification, error) {
	if !r.Writable() {
		return provider.Notification{}, store.ErrReadOnly
	}
	p, config, err := r.Breaker.Client(ctx, name)
	opener, ok := p.(provider.SignedRequests)
	switch {
	case err != nil && provider.ClassOf(err) != provider.Misconfigured:
		return provider.Notification{}, err // an error of storage
	case err != nil, !ok:
		return provider.Notification{}, errUnverified
	}
	n, err := opener.OpenSignedRequest(config.Client(), signed)
	return n, verified(err)
}

// Deliver applies a delivery to the application's webhook: the bytes of the body, and
// their signature. It returns how many credentials were changed: taken out of service, or
// planned to be checked at once.
func (r *Receiver) Deliver(ctx context.Context, name string, body []byte, signature string) (changed int, err error) {
	if !r.Writable() {
		return 0, store.ErrReadOnly
	}
	p, config, err := r.Breaker.Client(ctx, name)
	if err != nil {
		return 0, err
	}
	opener, ok := p.(provider.Notifier)
	if !ok {
		return 0, errUnverified
	}
	notifications, err := opener.OpenDelivery(config.Client(), body, signature)
	if err := verified(err); err != nil {
		return 0, err
	}
	return r.Apply(ctx, name, notifications...)
}

func verified(err error) error {
	if errors.Is(err, provider.ErrUnverified) {
		return errUnverified
	}
	return err
}

// Apply applies verified notifications, and returns how many credentials were changed. It
// goes on when the request is cancelled.
func (r *Receiver) Apply(ctx context.Context, name string, notifications ...provider.Notification) (changed int, err error) {
	ctx = context.WithoutCancel(ctx)
	counts := make([]int, len(notifications))
	err = sweep.InParallel(ctx, sweep.Parallel, len(notifications), func(i int) (err error) {
		counts[i], err = r.applyOne(ctx, name, notifications[i])
		return err
	})
	for _, n := range counts {
		changed += n
	}
	return changed, err
}

// applyOne applies a notification to each credential that it is about, also after a failure
// at one of them.
func (r *Receiver) applyOne(ctx context.Context, name string, n provider.Notification) (changed int, err error) {
	holders, err := r.concerned(ctx, name, n)
	errs := []error{err}
	for _, holder := range holders {
		ok, err := r.applyTo(ctx, holder.Ref, n)
		if ok {
			changed++
		}
		errs = append(errs, err)
	}
	return changed, errors.Join(errs...)
}

// concerned returns the credentials that n is about. The account's lock makes sure that a
// credential that is being stored is among them, or is checked when it is stored.
func (r *Receiver) concerned(ctx context.Context, name string, n provider.Notification) ([]store.Holder, error) {
	account := n.Account
	if account == "" {
		account = store.BusinessAccount(n.Business)
	}
	defer r.Store.Credentials.LockAccount(name, account)()
	if n.Gone {
		r.Revoker.Revoked(name, account)
	}
	return r.Store.Credentials.Holders(ctx, name, account)
}

// applyTo applies n to one credential, and reports whether that changed it.
func (r *Receiver) applyTo(ctx context.Context, ref tenant.Ref, n provider.Notification) (bool, error) {
	var c store.Credential
	_, err := r.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil {
			return store.Credential{}, errUnchanged
		}
		c = *old
		return c, apply(&c, n, r.Now().UTC())
	})
	switch {
	case errors.Is(err, errUnchanged), store.Gone(err):
		return false, nil
	case errors.Is(err, store.ErrCorrupt):
		// It is not served, and will not open at the next notification either.
		r.Log.Warn("skipped a record that does not open", "ref", ref.String(), "error", err)
		return false, nil
	case err != nil:
		return false, err
	case n.Gone:
		r.Log.Info("the provider reports an ended grant", "ref", ref.String(), "status", c.Status)
	}
	return true, nil
}

// apply applies n, or returns errUnchanged. A notification that is older than the
// connection is about a former one, and one from the moments in which the token was
// obtained may be. In doubt, the token is checked.
func apply(c *store.Credential, n provider.Notification, now time.Time) error {
	known := n.At.Add(Believed).Before(c.CheckedAt)
	switch {
	case c.Status == store.Revoked, !n.Gone && (c.Status != store.Active || known && !n.At.IsZero()):
		return errUnchanged
	case n.At.IsZero():
		return checkSoon(c, now)
	case Precedes(n.At, *c):
		return errUnchanged
	case !n.Gone, known, before(n.At, c.ConnectedAt):
		return checkSoon(c, now)
	}
	c.Status, c.NotifiedAt = store.Revoked, now
	c.LastError = &store.Failure{Class: string(provider.Revoked), Concerns: string(provider.ConcernsAccount), Remedy: string(provider.RemedyPerson), Message: n.Reason, At: now}
	c.NextRefresh, c.NextCheck, c.NextNotice = time.Time{}, now.Add(Believed), time.Time{}
	c.ConsecutiveFailures = 0 // the failures of the check are counted from here
	c.Record(now, string(c.Status), n.Reason)
	return nil
}

// Precedes reports whether a notification of that time is older than c's grant. It compares
// with both times that the credential has: the token was obtained some time before it was
// stored, and the provider's clock may be behind.
func Precedes(at time.Time, c store.Credential) bool {
	return before(at, c.ConnectedAt) && before(at, c.Token.IssuedAt)
}

// before compares a provider's time, which is in seconds, with one of this node.
func before(at, ours time.Time) bool { return at.Before(ours.Truncate(time.Second)) }

// checkSoon plans a check for the next sweep.
func checkSoon(c *store.Credential, now time.Time) error {
	if c.Status != store.Active || !c.NextCheck.IsZero() && !c.NextCheck.After(now) {
		return errUnchanged
	}
	c.NextCheck = now
	return nil
}
