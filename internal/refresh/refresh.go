// Package refresh is how a credential is kept alive, from the moment it is
// stored until it is gone: it hands out tokens, trades them for fresh ones
// before they expire, finds out which are dead, and takes grants away.
//
// A call to the provider is a flight: one for each ref, shared by all who come
// for it, and no lock is held meanwhile. What it brings is stored only if the
// credential is still the one that it started from; a connect, a delete or
// another refresh that came first wins.
package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/singleflight"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Options are what a Refresher needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Now       func() time.Time
	Log       hclog.Logger
	// Writable reports whether this node may write. Where it may not, nothing is
	// asked of a provider: the request is passed on to the node that may.
	Writable func() bool
	// Life ends when the mount does. Flights end with it.
	Life context.Context
}

// A Refresher keeps credentials alive. Make one with [New]. It is safe for
// concurrent use.
type Refresher struct {
	Options
	flights singleflight.Group
}

// New returns a Refresher.
func New(o Options) *Refresher { return &Refresher{Options: o} }

// A Served is a credential that may be handed out, and what its reader should
// know.
type Served struct {
	Credential store.Credential
	// Client and Provider are what a proof of possession is made with. Provider
	// is nil if the provider's configuration is gone.
	Client   oauth.Client
	Provider provider.Provider
	Warnings []string
}

// Token returns the credential that ref names, ready to use. It refreshes the
// token first if that has expired or lasts less than minTTL.
func (r *Refresher) Token(ctx context.Context, ref tenant.Ref, minTTL time.Duration) (Served, error) {
	c, err := r.connected(ctx, ref)
	if err != nil {
		return Served{}, err
	}
	if err := servable(ref, c); err != nil {
		return Served{}, err
	}
	var warnings []string
	if r.shouldRefresh(c, minTTL) {
		fresh, cause := r.Refresh(ctx, ref)
		if cause != nil && oauth.CodeOf(cause) == "" {
			return Served{}, cause
		}
		if cause != nil {
			// What the refusal means for the credential, the credential tells.
			if fresh, err = r.connected(ctx, ref); err != nil {
				return Served{}, err
			}
			warnings = append(warnings, "the token lives but could not be refreshed: "+cause.Error())
		}
		c = fresh
		if err := servable(ref, c); err != nil {
			return Served{}, err
		}
		if !c.Token.Live(r.Now()) {
			return Served{}, cmp.Or(cause, expired(ref))
		}
	}
	if !r.outlasts(c, minTTL) && len(warnings) == 0 {
		warnings = append(warnings, "the provider gives this token no more life than it has; it is served with less than min_ttl")
	}
	p, config, err := r.client(ctx, ref.Provider)
	if err != nil && provider.ClassOf(err) != provider.Misconfigured {
		return Served{}, err
	}
	if err != nil {
		warnings = append(warnings, "config/"+ref.Provider+" is missing: the token is served without a proof, and will not be refreshed")
	}
	return Served{c, config.Client(), p, append(warnings, r.troubles(c)...)}, nil
}

// outlasts reports whether the token lives, and for d at least.
func (r *Refresher) outlasts(c store.Credential, d time.Duration) bool {
	return c.Token.Live(r.Now().Add(max(d, 0)))
}

// shouldRefresh reports whether a read must wait for a fresh token. What the
// provider could not give when it was last asked is not asked for again before
// the next planned refresh.
func (r *Refresher) shouldRefresh(c store.Credential, minTTL time.Duration) bool {
	switch now := r.Now(); {
	case r.outlasts(c, minTTL):
		return false
	case !c.Token.Live(now), c.AskedAt.IsZero(), !now.Before(c.NextRefresh):
		return true
	}
	return !c.Exhausted && minTTL <= c.Token.ExpiresAt.Sub(c.AskedAt)
}

// troubles are the warnings that a living token is served with.
func (r *Refresher) troubles(c store.Credential) (warnings []string) {
	if c.ConsecutiveFailures > 0 && c.LastError != nil {
		warnings = append(warnings, fmt.Sprintf("the last %d tries to refresh or check this token failed: %s", c.ConsecutiveFailures, c.LastError.Message))
	}
	if at := c.Token.DataAccessExpiresAt; !at.IsZero() && !r.Now().Before(at) {
		warnings = append(warnings, "the app's access to the person's data expired at "+at.Format(time.RFC3339)+"; the person must connect again")
	}
	return warnings
}

// servable returns the error that a dead credential is refused with.
func servable(ref tenant.Ref, c store.Credential) error {
	why := ""
	if c.LastError != nil {
		why = " (" + c.LastError.Message + ")"
	}
	switch c.Status {
	case store.NeedsReauth:
		return oauth.Errorf(oauth.NeedsReauth, "only the person can bring this credential back%s; connect it again with connect/%s", why, ref)
	case store.Revoked:
		return oauth.Errorf(oauth.Revoked, "the grant was taken away at the provider%s; connect it again with connect/%s", why, ref)
	case store.Failed:
		return oauth.Errorf(oauth.Failed, "the token expired while it could not be refreshed%s; connect it again with connect/%s", why, ref)
	}
	return nil
}

func expired(ref tenant.Ref) error {
	return oauth.Errorf(oauth.Failed, "the token has expired, and the provider gave no other; connect it again with connect/%s", ref)
}

// Refresh trades the credential's token for a fresh one now. A token that does
// not expire is left as it is.
func (r *Refresher) Refresh(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	return r.fly(ctx, ref, "refresh", func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
		if c.Token.ExpiresAt.IsZero() {
			return p.Inspect(ctx, client, c.Token)
		}
		return p.Refresh(ctx, client, c.Token)
	}, r.refreshed)
}

// Check asks the provider now whether the token is alive. It brings back a
// credential that was taken for dead.
func (r *Refresher) Check(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	return r.fly(ctx, ref, "check", func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
		return p.Inspect(ctx, client, c.Token)
	}, r.checked)
}

type (
	ask   func(context.Context, provider.Provider, oauth.Client, store.Credential) (oauth.Token, error)
	learn func(c *store.Credential, answer oauth.Token)
)

// fly joins or starts the flight of that name for ref: it asks the provider
// and stores what is to be learned from the answer. The error is the
// provider's, as its caller is told of it.
func (r *Refresher) fly(ctx context.Context, ref tenant.Ref, name string, ask ask, learn learn) (store.Credential, error) {
	if !r.Writable() {
		return store.Credential{}, store.ErrReadOnly
	}
	arrival := r.flights.DoChan(name+" "+ref.String(), func() (c any, err error) {
		defer func() {
			if p := recover(); p != nil {
				r.Log.Error("panic while calling the provider", "ref", ref.String(), "panic", p, "stack", string(debug.Stack()))
				c, err = store.Credential{}, fmt.Errorf("%s of %s: internal error", name, ref)
			}
		}()
		return r.flight(r.Life, ref, name, ask, learn)
	})
	select {
	case a := <-arrival:
		return a.Val.(store.Credential), a.Err
	case <-ctx.Done():
		return store.Credential{}, ctx.Err()
	}
}

func (r *Refresher) flight(ctx context.Context, ref tenant.Ref, name string, ask ask, learn learn) (store.Credential, error) {
	before, err := r.connected(ctx, ref)
	if err != nil {
		return store.Credential{}, err
	}
	p, config, cause := r.client(ctx, ref.Provider)
	var answer oauth.Token
	if cause == nil {
		calls, cancel := context.WithTimeout(ctx, provider.CallTimeout)
		answer, cause = ask(calls, p, config.Client(), before)
		cancel()
		if ctx.Err() != nil {
			return store.Credential{}, ctx.Err()
		}
	}
	after, err := r.Store.UpdateCredential(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != before.Birth || old.Generation != before.Generation {
			return store.Credential{}, errSuperseded
		}
		c := *old
		if cause == nil && answer.Account != c.Token.Account {
			cause = &provider.Error{Class: provider.Transient, Op: name, Message: "the provider answered for another account"}
		}
		if cause == nil {
			learn(&c, answer)
			Plan(ref, &c, config, r.Now())
		} else {
			r.blame(&c, cause)
		}
		return c, nil
	})
	switch {
	case errors.Is(err, errSuperseded):
		return r.connected(ctx, ref)
	case errors.Is(err, store.ErrRemoving):
		return store.Credential{}, NotFound(ref)
	case err != nil:
		return store.Credential{}, err
	case cause != nil:
		r.Log.Warn(name+" failed", "ref", ref.String(), "error", provider.Refusal(cause))
	case after.Generation != before.Generation:
		r.Log.Info("refreshed", "ref", ref.String(), "expires_at", after.Token.ExpiresAt)
	}
	return after, provider.Refusal(cause)
}

// errSuperseded is returned if the credential has changed while the provider
// was asked about it.
var errSuperseded = errors.New("credential has changed meanwhile")

func (r *Refresher) connected(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	c, err := r.Store.Connected(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		err = NotFound(ref)
	}
	return c, err
}

// NotFound is the error of a ref that names no credential.
func NotFound(ref tenant.Ref) error {
	return oauth.Errorf(oauth.NotFound, "there is no credential %s; connect it with connect/%s", ref, ref)
}

// client returns the provider that is called name, and its configuration. Its
// errors, but those of storage, are of class Misconfigured.
func (r *Refresher) client(ctx context.Context, name string) (provider.Provider, store.Config, error) {
	p, ok := r.Providers[name]
	if !ok {
		return nil, store.Config{}, &provider.Error{Class: provider.Misconfigured, Op: "finding the provider", Message: "there is no provider " + name}
	}
	c, err := r.Store.Config(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.Config{}, &provider.Error{Class: provider.Misconfigured, Op: "finding the client", Message: "config/" + name + " is missing"}
	}
	return p, c, err
}
