// Package pages knows which pages a credential reaches, and what changed.
//
// A page's token is derived from the token of the credential above it, an installation's
// or a user's. Its record therefore names what it was fetched with, and is only as good as
// that:
//
//	provider ──list──▶ Fetch ──▶ a record for each page, under a ref of its own,
//	                     │       with the birth and generation of the credential above;
//	                     │       pages that are not listed any more are deleted
//	                     └─────▶ above.PagesAt, when all of them are stored
//
//	Read ◀── the page's record, if it was fetched with the credential above as it is now;
//	         else Fetch first
//
// So a page needs no due work for a new token above it: its next reader fetches. A crash
// between two records leaves PagesAt behind, and the next reader fetches again.
package pages

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/sync/singleflight"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Options are what Pages need.
type Options struct {
	Store   *store.Store
	Breaker *breaker.Breaker
	// Calls checks tokens: a page's before it is first served, and the one above when the
	// provider refuses it.
	Calls *call.Calls
	Now   func() time.Time
	Log   hclog.Logger
	// Writable reports whether this node may write. Where it may not, nothing is fetched,
	// and the request is forwarded to the active node.
	Writable func() bool
	// Context ends when the mount shuts down, and all fetches with it.
	Context context.Context
}

// Pages reads and fetches pages. Make one with [New]. It is safe for concurrent use.
type Pages struct {
	Options
	fetches singleflight.Group
	// recent has the recent fetches, a recentFetch by its attempt.
	recent sync.Map
}

// New returns Pages.
func New(o Options) *Pages { return &Pages{Options: o} }

const (
	// readRounds is how often one read fetches the pages again because the credential
	// above has changed meanwhile.
	readRounds = 4
	// retryAfter is how long no read fetches again after a fetch that could not help it, and
	// how long after a failed first check a page's readers get that error.
	retryAfter = time.Minute
)

// Read returns the credential of the page that ref names. It fetches the pages under the
// credential above if that has changed since they were fetched, and checks a page's token
// before it is first served.
//
// If the fetch fails while the credential above lives, Read returns the page as it was
// fetched before and a warning, as long as both are of the same connection.
//
// For a minute after a fetch no read fetches again that it could not help: after an error
// of the provider, none; otherwise none of a page that the provider did not list, or whose
// token was dead already.
func (p *Pages) Read(ctx context.Context, ref tenant.Ref) (page store.Credential, warning string, err error) {
	page, above, warning, err := p.current(ctx, ref)
	switch fresh := page.Page.FetchedWith(above); {
	case err != nil:
		return page, "", err
	case warning == "" && !fresh && above.PagesAt != above.Generation:
		return page, "", oauth.Errorf(oauth.Unavailable, "%s changes while its pages are fetched; try again", ref.Above())
	case page.Page == nil || warning == "" && !fresh:
		return page, "", oauth.Errorf(oauth.NotFound, "%s has no access to page %s by its last list of pages; if access was given since then, write connections/%s/refresh, else connect it again with connect/%s reauthorize=true, and grant the page", ref.Above(), ref.Page, ref, ref.Above())
	case page.CheckedAt.IsZero() && !p.Now().Before(page.RetryAt):
		// The list of pages does not say when a page's token expires or what it may do.
		switch checked, err := p.Calls.Check(ctx, ref); {
		case err == nil:
			page = checked
		case oauth.CodeOf(err) == "", oauth.CodeOf(err) == oauth.NeedsReauth, oauth.CodeOf(err) == oauth.Revoked:
			return page, "", err
		}
	}
	return page, warning, nil
}

// current returns the page and the credential above it, after fetching if necessary. The
// warning says why the page is of a former fetch.
func (p *Pages) current(ctx context.Context, ref tenant.Ref) (page, above store.Credential, warning string, err error) {
	page, above, err = p.stored(ctx, ref)
	// The credential above may change while its pages are fetched.
	for range readRounds {
		if err != nil {
			return page, above, "", err
		}
		fresh := page.Page.FetchedWith(above)
		if fresh {
			if dead := deadOnArrival(page, p.Now()); dead != nil {
				return page, above, "", dead
			}
			if page.Status == store.Active {
				return page, above, "", nil
			}
		}
		cause := p.fetchForReader(ctx, ref, above, page)
		if page, above, err = p.stored(ctx, ref); err != nil {
			return page, above, "", err
		}
		switch {
		case cause == nil && above.PagesAt != above.Generation:
			continue // the fetch was superseded
		case cause == nil:
			return page, above, "", deadOnArrival(page, p.Now())
		case page.Page == nil || page.Page.Birth != above.Birth || oauth.CodeOf(cause) == "":
			return page, above, "", cause
		}
		return page, above, "the page's token could not be fetched anew: " + cause.Error(), nil
	}
	return page, above, "", nil
}

// stored returns what is stored of a page, the zero Credential if there is none, and the
// credential above it, which must not be dead.
func (p *Pages) stored(ctx context.Context, ref tenant.Ref) (page, above store.Credential, err error) {
	above, err = admission.Credential(ctx, p.Store, ref.Above())
	if err == nil {
		err = call.Dead(ref.Above(), above)
	}
	if err != nil {
		return page, above, err
	}
	page, err = p.Store.Credentials.Connected(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return store.Credential{}, above, nil
	}
	return page, above, err
}

// deadOnArrival returns the error of a page's token whose first check has just failed, or
// nil. Fetching it again would bring the same token, so its readers get this error for a
// minute.
func deadOnArrival(page store.Credential, now time.Time) error {
	f := page.LastError
	if !page.CheckedAt.IsZero() || f == nil || !page.DeadSince.IsZero() && page.Status == store.Active || !now.Before(f.At.Add(retryAfter)) {
		return nil
	}
	switch class := provider.Class(f.Class); class {
	case provider.NeedsReauth, provider.Revoked, provider.Permission:
		return provider.Refusal(&provider.Error{
			Class: class, Op: "checking the page's token", Code: f.Code, Subcode: f.Subcode, TraceID: f.TraceID, Message: f.Message,
		})
	}
	return nil
}

type (
	// An attempt is a fetch of the pages under a credential of that generation.
	attempt struct {
		above      tenant.Ref
		birth      string
		generation uint64
	}
	// A recentFetch is what a fetch brought: an error, or the pages that the provider
	// listed, by id, with their status as they were stored. Readers get it until then.
	recentFetch struct {
		err    error
		listed map[string]store.Status
		until  time.Time
	}
)

// helps reports whether another fetch could help a reader of the page that ref names.
func (f recentFetch) helps(ref tenant.Ref, above, page store.Credential) bool {
	switch {
	case f.err != nil:
		return false
	case above.PagesAt != above.Generation:
		return true // storage was restored to a time before the fetch
	case page.Page == nil:
		return f.listed[ref.Page] != "" // the page was deleted since
	}
	return f.listed[ref.Page] == store.Active // its token died since
}

// fetchForReader fetches the pages for a reader of the one that ref names, unless a recent
// fetch could not help it.
func (p *Pages) fetchForReader(ctx context.Context, ref tenant.Ref, above, page store.Credential) error {
	if f, ok := p.recent.Load(attempt{ref.Above(), above.Birth, above.Generation}); ok {
		if recent := f.(recentFetch); p.Now().Before(recent.until) && !recent.helps(ref, above, page) {
			return recent.err
		}
	}
	_, err := p.Fetch(ctx, ref.Above())
	return err
}

// remember remembers a fetch under the credential c, and deletes those whose time is over.
// Failures of this node and of its storage are not remembered.
func (p *Pages) remember(above tenant.Ref, c store.Credential, fetch recentFetch) {
	if code := oauth.CodeOf(fetch.err); fetch.err != nil && (code == "" || code == oauth.NotFound) {
		return
	}
	now := p.Now()
	p.recent.Range(func(key, recent any) bool {
		if !now.Before(recent.(recentFetch).until) {
			p.recent.Delete(key)
		}
		return true
	})
	p.recent.Store(attempt{above, c.Birth, c.Generation}, fetch)
}

// Update fetches the pages under above if that has changed since they were fetched. It
// makes no call for a suspended tenant, whose lists show what is stored.
func (p *Pages) Update(ctx context.Context, above tenant.Ref) error {
	c, err := admission.Credential(ctx, p.Store, above)
	if err != nil || c.PagesAt == c.Generation {
		return err
	}
	if err := admission.Serve(ctx, p.Store, above.Tenant); err != nil {
		if oauth.CodeOf(err) == oauth.Suspended {
			return nil
		}
		return err
	}
	if err := call.Dead(above, c); err != nil {
		return err
	}
	_, err = p.Fetch(ctx, above)
	return err
}
