// Package refresh is how a credential is kept alive, from the moment it is
// stored until it is gone: it hands out tokens, trades them for fresh ones
// before they expire, finds out which are dead, and takes grants away.
//
// A call to the provider is made once for a ref and shared by all callers that wait for
// it; no lock is held meanwhile. Its result is stored only if the credential has not
// changed since the call began: a connect, a delete or another refresh that came first
// wins.
package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Options are what a Refresher needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Breaker   *breaker.Breaker
	Revoker   *revoke.Revoker
	Now       func() time.Time
	Log       hclog.Logger
	// Writable reports whether this node may write. Where it may not, nothing is
	// asked of a provider: the request is passed on to the node that may.
	Writable func() bool
	// Budget limits the calls of background work.
	Budget *rate.Limiter
	// Life ends when the mount shuts down. Calls end with it.
	Life context.Context
	// CallEnded is called with the outcome of each "refresh" and "check" of a
	// credential: as [Succeeded] has it; "not_extended"; "superseded" by another change;
	// "left_alone" while calls are paused; "error" of storage; or the class of the
	// provider's error. Nil: no function is called.
	CallEnded func(provider, name, outcome string)
}

// A Refresher keeps credentials alive. Make one with [New]. It is safe for
// concurrent use.
type Refresher struct {
	Options
	calls calls
	// joint makes other work once for concurrent callers.
	joint singleflight.Group
	// pageFailures are the pageFailure of each pageFetch that failed lately.
	pageFailures sync.Map
}

// New returns a Refresher.
func New(o Options) *Refresher {
	if o.CallEnded == nil {
		o.CallEnded = func(string, string, string) {}
	}
	return &Refresher{Options: o}
}

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
// token first if that has expired or lasts less than minTTL. A living token is
// served whatever the provider answers to that, unless it says that it is dead.
func (r *Refresher) Token(ctx context.Context, ref tenant.Ref, minTTL time.Duration) (Served, error) {
	if err := r.serving(ctx, ref); err != nil {
		return Served{}, err
	}
	c, warning, err := r.find(ctx, ref)
	if err == nil && c.Status == store.Failed && c.Token.Live(r.Now()) {
		// It was called dead by a clock that was set back since, and by nobody else.
		c, err = r.Check(ctx, ref)
	}
	if err == nil {
		err = servable(ref, c)
	}
	if err != nil {
		return Served{}, err
	}
	if ref.Kind() == tenant.Static {
		return Served{Credential: c}, nil // there is nobody to ask
	}
	var cause error
	if r.shouldRefresh(c, minTTL) {
		if c, cause, err = r.renew(ctx, ref, minTTL); err != nil {
			return Served{}, err
		}
	}
	if !c.Token.Live(r.Now()) {
		return Served{}, cmp.Or(cause, r.resting(c))
	}
	// A reader may have waited for the provider, and the tenant been suspended.
	if err := r.serving(ctx, ref); err != nil {
		return Served{}, err
	}
	p, config, err := r.Breaker.Client(ctx, ref.Provider)
	if err != nil && provider.ClassOf(err) != provider.Misconfigured {
		return Served{}, err
	}
	served := Served{c, config.Client(), p, r.troubles(c)}
	if warning != "" {
		served.Warnings = append(served.Warnings, warning)
	}
	if err != nil {
		served.Warnings = append(served.Warnings, "config/"+ref.Provider+" is missing: the token is served without a proof, and cannot be refreshed")
	}
	switch {
	case cause != nil:
		served.Warnings = append(served.Warnings, "the token lives but could not be refreshed: "+cause.Error())
	case !r.outlasts(c, minTTL):
		served.Warnings = append(served.Warnings, "the token is served with less life than min_ttl: the provider gave no more when it was last asked")
	}
	return served, nil
}

// serving returns the error that whatever a tenant has is refused with.
func (r *Refresher) serving(ctx context.Context, ref tenant.Ref) error {
	if err := r.Store.Tenants.Deleting(ctx, ref.Tenant); errors.Is(err, store.ErrDeleting) {
		return admission.NoCredential(ref)
	}
	return admission.Serve(ctx, r.Store, ref.Tenant)
}

// find returns the credential that ref names; the warning tells of trouble
// that does not keep it from being served.
func (r *Refresher) find(ctx context.Context, ref tenant.Ref) (c store.Credential, warning string, err error) {
	if ref.Kind() == tenant.Page {
		return r.page(ctx, ref)
	}
	c, err = admission.Credential(ctx, r.Store, ref)
	return c, "", err
}

// renew refreshes the token for a reader who wants it to last minTTL. cause is
// why that failed, if the credential is not known to be dead.
func (r *Refresher) renew(ctx context.Context, ref tenant.Ref, minTTL time.Duration) (c store.Credential, cause, err error) {
	if ref.Kind() == tenant.Page {
		return r.renewPage(ctx, ref)
	}
	c, cause = r.refresh(ctx, ref, func(c store.Credential) bool { return r.shouldRefresh(c, minTTL) })
	if cause != nil && oauth.CodeOf(cause) == "" {
		return c, nil, cause
	}
	if cause != nil {
		// What the refusal means for the credential, the credential tells.
		if c, err = admission.Credential(ctx, r.Store, ref); err != nil {
			return c, nil, err
		}
	}
	return c, cause, servable(ref, c)
}

// renewPage is renew for a page, whose token is not traded for another but
// fetched with the credential above it.
func (r *Refresher) renewPage(ctx context.Context, ref tenant.Ref) (c store.Credential, cause, err error) {
	if _, cause = r.Refresh(ctx, ref); cause != nil && oauth.CodeOf(cause) == "" {
		return c, nil, cause
	}
	c, _, err = r.page(ctx, ref) // which asks when a new one expires
	return c, cause, err
}

// resting is the error of an expired token about which the provider is left
// alone for a while.
func (r *Refresher) resting(c store.Credential) error {
	message := "the provider has not given another"
	if c.LastError != nil {
		message = c.LastError.Message
	}
	return oauth.Errorf(oauth.Unavailable, "the token has expired: %s; it is tried again after %s", message, c.RetryAt.Format(time.RFC3339))
}

// outlasts reports whether the token lives, and for d at least.
func (r *Refresher) outlasts(c store.Credential, d time.Duration) bool {
	return c.Token.Live(r.Now().Add(max(d, 0)))
}

// shouldRefresh reports whether a read must wait for a fresh token. After a
// failure the provider is left alone until RetryAt, and what it could not give
// when it was last asked is not asked for again before the next planned
// refresh.
func (r *Refresher) shouldRefresh(c store.Credential, minTTL time.Duration) bool {
	switch now := r.Now(); {
	case r.outlasts(c, minTTL), now.Before(c.RetryAt):
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
		return oauth.Errorf(oauth.NeedsReauth, "only the person can bring this credential back%s; connect it again with connect/%s", why, ref.Above())
	case store.Revoked:
		return oauth.Errorf(oauth.Revoked, "the grant was taken away at the provider%s; connect it again with connect/%s", why, ref.Above())
	case store.Failed:
		return oauth.Errorf(oauth.Failed, "the token expired while it could not be refreshed%s; connect it again with connect/%s", why, ref.Above())
	}
	return nil
}

// Refresh trades the credential's token for a fresh one now. A token that does
// not expire is left as it is.
// A page's is fetched anew with the credential above it.
func (r *Refresher) Refresh(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	if ref.Kind() == tenant.Page {
		if err := r.FetchPages(ctx, ref.Above()); err != nil {
			return store.Credential{}, err
		}
		return admission.Credential(ctx, r.Store, ref)
	}
	return r.refresh(ctx, ref, func(store.Credential) bool { return true })
}

func (r *Refresher) refresh(ctx context.Context, ref tenant.Ref, wanted func(store.Credential) bool) (store.Credential, error) {
	return r.call(ctx, ref, call{"refresh", wanted, func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
		if c.Token.ExpiresAt.IsZero() {
			return p.Inspect(ctx, client, c.Token)
		}
		return p.Refresh(ctx, client, c.Token)
	}, func(c *store.Credential, fresh oauth.Token) {
		r.refreshed(c, fresh, r.Revoker.Alone(ref.Provider, c.Token))
	}})
}

// Check asks the provider now whether the token is alive. It brings back a
// credential that was taken for dead.
func (r *Refresher) Check(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	return r.call(ctx, ref, r.checking())
}

// check is the name of the calls that inspect a token.
const check = "check"

func (r *Refresher) checking() call {
	return call{check, func(store.Credential) bool { return true }, func(ctx context.Context, p provider.Provider, client oauth.Client, c store.Credential) (oauth.Token, error) {
		return p.Inspect(ctx, client, c.Token)
	}, r.checked}
}
