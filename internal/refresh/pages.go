package refresh

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// page returns a page's credential. It is only as good as the one above it,
// and fetched anew when that has changed. If that fails while the one above
// lives, the one that was fetched before is served with a warning, as long as
// it is the same connection's.
func (r *Refresher) page(ctx context.Context, ref tenant.Ref) (c store.Credential, warning string, err error) {
	above, c, err := r.pageAndAbove(ctx, ref)
	// What is above may be replaced while its pages are fetched.
	for range pageRounds {
		if err == nil && c.Page.FetchedWith(above) {
			if dead := r.stillborn(c); dead != nil {
				return c, "", dead
			}
		}
		if err != nil || c.Page.FetchedWith(above) && c.Status == store.Active {
			break
		}
		cause := r.refetch(ctx, ref.Above(), above)
		if above, c, err = r.pageAndAbove(ctx, ref); err != nil {
			break
		}
		if cause == nil {
			continue
		}
		if c.Page == nil || c.Page.Birth != above.Birth || oauth.CodeOf(cause) == "" {
			return c, "", cause
		}
		warning = "the page's token could not be fetched anew: " + cause.Error()
		break
	}
	switch {
	case err != nil:
		return c, "", err
	case warning == "" && !c.Page.FetchedWith(above) && above.PagesAt != above.Generation:
		return c, "", oauth.Errorf(oauth.Unavailable, "%s changes while its pages are fetched; try again", ref.Above())
	case c.Page == nil || warning == "" && !c.Page.FetchedWith(above):
		return c, "", oauth.Errorf(oauth.NotFound, "%s does not reach a page %s, or was not let to when it was connected; connect it again with connect/%s reauthorize=true", ref.Above(), ref.Page, ref.Above())
	case c.CheckedAt.IsZero() && !r.Now().Before(c.RetryAt):
		// The list of pages does not tell all: ask about this one, once.
		switch checked, err := r.Check(ctx, ref); {
		case err == nil:
			c = checked
		case oauth.CodeOf(err) == "", oauth.CodeOf(err) == oauth.NeedsReauth, oauth.CodeOf(err) == oauth.Revoked:
			return c, "", err
		}
	}
	return c, warning, nil
}

// pageRounds is how often a reader has the pages fetched anew that are outdated
// as soon as they come.
const pageRounds = 4

// stillborn returns the error of a page's token that was refused when it was
// first asked about, a moment ago: fetched again it would be no better, and its
// next reader is told the same.
func (r *Refresher) stillborn(c store.Credential) error {
	f := c.LastError
	if !c.CheckedAt.IsZero() || f == nil || !c.DeadSince.IsZero() && c.Status == store.Active || !r.Now().Before(f.At.Add(pagesRest)) {
		return nil
	}
	switch class := provider.Class(f.Class); class {
	case provider.NeedsReauth, provider.Revoked, provider.Permission:
		return provider.Refusal(&provider.Error{
			Class: class, Op: "asking about the page's token", Code: f.Code, Subcode: f.Subcode, TraceID: f.TraceID, Message: f.Message,
		})
	}
	return nil
}

// pageAndAbove returns what is stored of a page, the zero Credential if
// nothing, and the credential above it, which must be one that is served.
func (r *Refresher) pageAndAbove(ctx context.Context, ref tenant.Ref) (above, c store.Credential, err error) {
	above, err = admission.Credential(ctx, r.Store, ref.Above())
	if err == nil {
		err = servable(ref.Above(), above)
	}
	if err != nil {
		return above, c, err
	}
	c, err = r.Store.Credentials.Connected(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		return above, store.Credential{}, nil
	}
	return above, c, err
}

// pagesRest is how long the provider is left alone about a credential's pages
// after it could not tell them.
const pagesRest = time.Minute

// refetch is FetchPages for a reader, of whom there may be many: after a
// failure the answer comes from memory for a while.
func (r *Refresher) refetch(ctx context.Context, ref tenant.Ref, above store.Credential) error {
	key := pageFetch{ref, above.Birth, above.Generation}
	if failed, ok := r.pageFailures.Load(key); ok && r.Now().Before(failed.(pageFailure).until) {
		return failed.(pageFailure).err
	}
	err := r.FetchPages(ctx, ref)
	if c := oauth.CodeOf(err); c == "" || c == oauth.NotFound {
		return err
	}
	r.pageFailures.Range(func(key, failed any) bool {
		if !r.Now().Before(failed.(pageFailure).until) {
			r.pageFailures.Delete(key)
		}
		return true
	})
	r.pageFailures.Store(key, pageFailure{err, r.Now().Add(pagesRest)})
	return err
}

type (
	// A pageFetch is a question for the pages under a credential as it was.
	pageFetch struct {
		above      tenant.Ref
		birth      string
		generation uint64
	}
	pageFailure struct {
		err   error
		until time.Time
	}
)

// Pages fetches the pages under above if the credential has changed since they
// were fetched. For a suspended tenant it makes no call: its lists show what is
// stored.
func (r *Refresher) Pages(ctx context.Context, above tenant.Ref) error {
	c, err := admission.Credential(ctx, r.Store, above)
	if err != nil || c.PagesAt == c.Generation {
		return err
	}
	if err := r.serving(ctx, above); err != nil {
		if oauth.CodeOf(err) == oauth.Suspended {
			return nil
		}
		return err
	}
	if err := servable(above, c); err != nil {
		return err
	}
	return r.FetchPages(ctx, above)
}

// FetchPages asks the provider for the pages that above reaches and stores
// them, each under a ref of its own; those that it does not reach any more are
// forgotten.
func (r *Refresher) FetchPages(ctx context.Context, above tenant.Ref) error {
	if !r.Writable() {
		return store.ErrReadOnly
	}
	arrival := r.joint.DoChan("pages "+above.String(), func() (any, error) {
		var err error
		crash := r.guarded(above, func() error {
			err = errors.Join(r.fetchPages(r.Life, above), r.deleteOrphans(r.Life, above))
			return nil
		})
		return nil, errors.Join(provider.Refusal(crash), err)
	})
	_, err := await(ctx, arrival)
	return err
}

func (r *Refresher) fetchPages(ctx context.Context, above tenant.Ref) error {
	c, err := admission.Credential(ctx, r.Store, above)
	if err != nil {
		return err
	}
	pages, err := r.askPages(ctx, above, c)
	if err != nil {
		return provider.Refusal(err)
	}
	names, err := r.Store.Credentials.List(ctx, store.PagesDir(above))
	if err != nil {
		return err
	}
	for _, page := range pages {
		names = slices.DeleteFunc(names, func(name string) bool { return name == page.ID })
		if err := r.keepPage(ctx, above, c, page); err != nil {
			return err
		}
	}
	for _, name := range names {
		if err := r.Store.Credentials.DeletePage(ctx, above, name); err != nil {
			return err
		}
	}
	_, err = r.Store.Credentials.Update(ctx, above, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != c.Birth || old.Generation != c.Generation {
			return store.Credential{}, errSuperseded
		}
		marked := *old
		marked.PagesAt = c.Generation
		return marked, nil
	})
	switch {
	case errors.Is(err, errSuperseded):
		return nil // what was fetched is outdated already; the next reader fetches anew
	case errors.Is(err, store.ErrRemoving):
		return admission.NoCredential(above)
	}
	return err
}

// askPages puts the question to the provider. If it says that the token above
// is dead, it is asked about that token, too: it knows best.
func (r *Refresher) askPages(ctx context.Context, above tenant.Ref, c store.Credential) ([]provider.Page, error) {
	p, config, err := r.Breaker.Client(ctx, above.Provider)
	if err != nil {
		return nil, err
	}
	pager, ok := p.(provider.Pager)
	if !ok {
		return nil, oauth.Errorf(oauth.NotFound, "provider %s has no pages", above.Provider)
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	var pages []provider.Page
	err = r.Breaker.CallFor(calls, subject(above, c), "pages", func() (err error) {
		pages, err = pager.Pages(calls, config.Client(), c.Token)
		return err
	})
	if class := provider.ClassOf(err); err != nil && (class == provider.NeedsReauth || class == provider.Revoked) {
		if _, checkErr := r.Check(ctx, above); checkErr != nil {
			return nil, checkErr
		}
	}
	var refused *provider.Error
	if errors.As(err, &refused) && (refused.Class == provider.NeedsReauth && refused.Uncertain || refused.Class == provider.Caller) {
		// The token lives, or the call was wrong, which is the engine's own.
		err = refused.Reclassified(provider.Transient, provider.ConcernsRequest)
	}
	return pages, err
}

// keepPage stores a page that was fetched with above.
func (r *Refresher) keepPage(ctx context.Context, above tenant.Ref, c store.Credential, page provider.Page) error {
	ref := above
	ref.Page = page.ID
	if err := ref.Check(); err != nil {
		return err
	}
	now := r.Now().UTC()
	_, err := r.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if still, err := r.Store.Credentials.Read(ctx, above); err != nil || still.Birth != c.Birth || still.Generation != c.Generation {
			return store.Credential{}, cmp.Or(err, errSuperseded)
		}
		fetched := store.Credential{
			Birth: c.Birth, Generation: 1, Status: store.Active, Token: page.Token,
			ConnectedAt: now, ConnectedBy: c.ConnectedBy, RefreshedAt: now, AskedAt: now,
			Page: &store.Page{Name: page.Name, Tasks: page.Tasks, Birth: c.Birth, Generation: c.Generation},
		}
		fetched.Token.Scopes, fetched.Token.DataAccessExpiresAt = c.Token.Scopes, c.Token.DataAccessExpiresAt
		if old != nil {
			fetched.Generation, fetched.ConnectedAt, fetched.History = old.Generation+1, old.ConnectedAt, old.History
			if old.Status != store.Active && old.Token.AccessToken == page.Token.AccessToken {
				fetched.Status, fetched.LastError, fetched.DeadSince = old.Status, old.LastError, old.DeadSince
			}
		}
		fetched.Record(now, "fetched", "")
		return fetched, nil
	})
	switch {
	case errors.Is(err, store.ErrRemoving), errors.Is(err, store.ErrNotFound):
		return admission.NoCredential(above)
	case errors.Is(err, errSuperseded):
		return nil // the reader sees that, and fetches anew
	}
	return err
}

// deleteOrphans deletes the pages under above if that was deleted while they were
// fetched: the request that deleted it may have listed them before they were stored.
func (r *Refresher) deleteOrphans(ctx context.Context, above tenant.Ref) error {
	if _, err := r.Store.Credentials.Read(ctx, above); !errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return r.Store.Credentials.DeletePages(ctx, above)
}
