// Package refresh keeps a credential alive, from the moment it is stored until it is
// gone: it hands out tokens, and refreshes and checks them when that is due.
package refresh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/time/rate"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
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
	Calls     *call.Calls
	Pages     *pages.Pages
	Now       func() time.Time
	Log       hclog.Logger
	// Budget limits the calls of background work.
	Budget *rate.Limiter
}

// A Refresher keeps credentials alive. It is safe for concurrent use.
type Refresher struct{ Options }

// New returns a Refresher.
func New(o Options) *Refresher { return &Refresher{o} }

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

// Token returns the credential that ref names, ready to use. It first refreshes a token
// that has expired or lasts less than minTTL. A living token is served even if that fails,
// unless the provider says that the token is dead.
func (r *Refresher) Token(ctx context.Context, ref tenant.Ref, minTTL time.Duration) (Served, error) {
	if err := r.serving(ctx, ref); err != nil {
		return Served{}, err
	}
	c, warning, err := r.find(ctx, ref)
	if err == nil && c.Status == store.Failed && c.Token.Live(r.Now()) {
		// Only a clock that has been set back since can have called it expired.
		c, err = r.Check(ctx, ref)
	}
	if err == nil {
		err = call.Dead(ref, c)
	}
	if err != nil {
		return Served{}, err
	}
	if ref.Kind() == tenant.Static {
		return Served{Credential: c}, nil // it has no provider
	}
	var cause error
	if shouldRefresh(c, minTTL, r.Now()) {
		if c, cause, err = r.renew(ctx, ref, minTTL); err != nil {
			return Served{}, err
		}
	}
	if !c.Token.Live(r.Now()) {
		return Served{}, cmp.Or(cause, expired(c))
	}
	// The tenant may have been suspended while the reader waited for the provider.
	if err := r.serving(ctx, ref); err != nil {
		return Served{}, err
	}
	p, config, err := r.Breaker.Client(ctx, ref.Provider)
	if err != nil && provider.ClassOf(err) != provider.Misconfigured {
		return Served{}, err
	}
	served := Served{c, config.Client(), p, warnings(c, r.Now())}
	if warning != "" {
		served.Warnings = append(served.Warnings, warning)
	}
	if err != nil {
		served.Warnings = append(served.Warnings, "config/"+ref.Provider+" is missing: the token is served without a proof, and cannot be refreshed")
	}
	switch {
	case cause != nil:
		served.Warnings = append(served.Warnings, "the token lives but could not be refreshed: "+cause.Error())
	case !outlasts(c, minTTL, r.Now()):
		served.Warnings = append(served.Warnings, "the token is served with less life than min_ttl: the provider gave no more when it was last asked")
	}
	return served, nil
}

// serving returns an error if nothing of the tenant is served: it is suspended, or being
// deleted.
func (r *Refresher) serving(ctx context.Context, ref tenant.Ref) error {
	if err := r.Store.Tenants.Deleting(ctx, ref.Tenant); errors.Is(err, store.ErrDeleting) {
		return admission.NoCredential(ref)
	}
	return admission.Serve(ctx, r.Store, ref.Tenant)
}

// find returns the credential that ref names, and a warning about a failure in spite of
// which it is served.
func (r *Refresher) find(ctx context.Context, ref tenant.Ref) (c store.Credential, warning string, err error) {
	if ref.Kind() == tenant.Page {
		return r.Pages.Read(ctx, ref)
	}
	c, err = admission.Credential(ctx, r.Store, ref)
	return c, "", err
}

// renew refreshes the token for a reader that wants it to last minTTL. cause is why that
// failed, if the credential is not known to be dead.
func (r *Refresher) renew(ctx context.Context, ref tenant.Ref, minTTL time.Duration) (c store.Credential, cause, err error) {
	if ref.Kind() == tenant.Page {
		return r.renewPage(ctx, ref)
	}
	c, cause = r.Calls.Refresh(ctx, ref, func(c store.Credential) bool { return shouldRefresh(c, minTTL, r.Now()) })
	if cause != nil && oauth.CodeOf(cause) == "" {
		return c, nil, cause
	}
	if cause != nil {
		// The record says what the provider's error means for the credential.
		if c, err = admission.Credential(ctx, r.Store, ref); err != nil {
			return c, nil, err
		}
	}
	return c, cause, call.Dead(ref, c)
}

// renewPage is renew for a page. Its token is fetched with the credential above it.
func (r *Refresher) renewPage(ctx context.Context, ref tenant.Ref) (c store.Credential, cause, err error) {
	if _, cause = r.Pages.Fetch(ctx, ref.Above()); cause != nil && oauth.CodeOf(cause) == "" {
		return c, nil, cause
	}
	c, _, err = r.Pages.Read(ctx, ref) // the check of a new token finds out when it expires
	return c, cause, err
}

// expired is the error of an expired token that is not refreshed before RetryAt.
func expired(c store.Credential) error {
	message := "the provider has not given another"
	if c.LastError != nil {
		message = c.LastError.Message
	}
	again := c.RetryAt
	if c.Token.RefreshAfter.After(again) {
		message, again = "the provider does not refresh it yet", c.Token.RefreshAfter
	}
	return oauth.Errorf(oauth.Unavailable, "the token has expired: %s; it is tried again after %s", message, again.Format(time.RFC3339))
}

// outlasts reports whether the token lives, and for d at least.
func outlasts(c store.Credential, d time.Duration, now time.Time) bool {
	return c.Token.Live(now.Add(max(d, 0)))
}

// shouldRefresh reports whether a read waits for a fresh token. After a failure no read
// calls the provider before RetryAt. A life that the provider did not give at the last
// refresh is not requested again before the next planned one.
func shouldRefresh(c store.Credential, minTTL time.Duration, now time.Time) bool {
	switch {
	case outlasts(c, minTTL, now), now.Before(c.RetryAt), now.Before(c.Token.RefreshAfter):
		return false
	case !c.Token.Live(now), c.AskedAt.IsZero(), !now.Before(c.NextRefresh):
		return true
	}
	return !c.Exhausted && minTTL <= c.Token.ExpiresAt.Sub(c.AskedAt)
}

// warnings are those that a living token is served with.
func warnings(c store.Credential, now time.Time) (all []string) {
	if c.ConsecutiveFailures > 0 && c.LastError != nil {
		all = append(all, fmt.Sprintf("the last %d tries to refresh or check this token failed: %s", c.ConsecutiveFailures, c.LastError.Message))
	}
	if at := c.Token.DataAccessExpiresAt; !at.IsZero() && !now.Before(at) {
		all = append(all, "the app's access to the person's data expired at "+at.Format(time.RFC3339)+"; the person must connect again")
	}
	return all
}

// Refresh trades the credential's token for a fresh one now. A token that does not expire,
// or that the provider does not refresh yet, stays as it is. A page's token is fetched with the credential above it.
func (r *Refresher) Refresh(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	if ref.Kind() == tenant.Page {
		if _, err := r.Pages.Fetch(ctx, ref.Above()); err != nil {
			return store.Credential{}, err
		}
		return admission.Credential(ctx, r.Store, ref)
	}
	return r.Calls.Refresh(ctx, ref, func(store.Credential) bool { return true })
}

// Check asks the provider now whether the token is alive: see [call.Calls.Check].
func (r *Refresher) Check(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	return r.Calls.Check(ctx, ref)
}
