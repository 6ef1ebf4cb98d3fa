package pages

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Change says which pages a fetch has added and deleted, by the provider's ids, sorted.
type Change struct{ Gained, Lost []string }

// Fetch lists the pages that above reaches and stores them. It deletes the others: their
// tokens are of no use without access to the page. Concurrent callers share one fetch,
// which goes on when they are cancelled.
//
// If the provider says that the token above is dead, Fetch checks that token and returns
// the error of the check. Any other error of the provider leaves above as it is, and is
// returned as [provider.Refusal] has it.
func (p *Pages) Fetch(ctx context.Context, above tenant.Ref) (Change, error) {
	if !p.Writable() {
		return Change{}, store.ErrReadOnly
	}
	results := p.fetches.DoChan(above.String(), func() (any, error) {
		var change Change
		var err error
		crash := call.Guard(p.Log, above, func() error {
			change, err = p.fetchAndRemember(p.Context, above)
			err = errors.Join(err, p.deleteOrphans(p.Context, above))
			return nil
		})
		return change, errors.Join(provider.Refusal(crash), err)
	})
	res, err := call.Wait(ctx, results)
	if err != nil {
		return Change{}, err
	}
	return res.Val.(Change), res.Err
}

// fetchAndRemember is fetch, and remembers the result for readers.
func (p *Pages) fetchAndRemember(ctx context.Context, above tenant.Ref) (Change, error) {
	c, err := admission.Credential(ctx, p.Store, above)
	if err != nil {
		return Change{}, err
	}
	until := p.Now().Add(retryAfter)
	change, listed, err := p.fetch(ctx, above, c)
	if errors.Is(err, errSuperseded) {
		return Change{}, nil
	}
	p.remember(above, c, recentFetch{err, listed, until})
	return change, err
}

// fetch lists and stores the pages under the credential c, and returns those that were
// listed, by id, with their status as stored.
func (p *Pages) fetch(ctx context.Context, above tenant.Ref, c store.Credential) (change Change, listed map[string]store.Status, err error) {
	list, err := p.list(ctx, above, c)
	if err != nil {
		return Change{}, nil, provider.Refusal(err)
	}
	stored, err := p.Store.Credentials.List(ctx, store.PagesDir(above))
	if err != nil {
		return Change{}, nil, err
	}
	listed = map[string]store.Status{}
	for _, page := range list {
		if listed[page.ID], err = p.store(ctx, above, c, page); err != nil {
			return Change{}, nil, err
		}
	}
	change = changeOf(stored, slices.Collect(maps.Keys(listed)))
	for _, id := range change.Lost {
		if err := p.Store.Credentials.DeletePage(ctx, above, id); err != nil {
			return Change{}, nil, err
		}
	}
	if len(change.Gained)+len(change.Lost) > 0 {
		p.Log.Info("the pages of a credential changed", "ref", above.String(), "gained", len(change.Gained), "lost", len(change.Lost))
	}
	return change, listed, p.markFetched(ctx, above, c)
}

// changeOf compares the ids of the pages that were stored with those that the provider
// lists.
func changeOf(stored, listed []string) Change {
	without := func(all, some []string) []string {
		rest := slices.DeleteFunc(slices.Clone(all), func(id string) bool { return slices.Contains(some, id) })
		slices.Sort(rest)
		return slices.Compact(rest)
	}
	return Change{Gained: without(listed, stored), Lost: without(stored, listed)}
}

// list calls the provider for the pages that above reaches. If the provider says that the
// token above is dead, list checks the token, whose answer is the more reliable one.
func (p *Pages) list(ctx context.Context, above tenant.Ref, c store.Credential) ([]provider.Page, error) {
	server, config, err := p.Breaker.Client(ctx, above.Provider)
	if err != nil {
		return nil, err
	}
	pager, ok := server.(provider.Pager)
	if !ok {
		return nil, oauth.Errorf(oauth.NotFound, "provider %s has no pages", above.Provider)
	}
	calls, cancel := provider.Within(ctx)
	defer cancel()
	var pages []provider.Page
	err = p.Breaker.CallFor(calls, call.Subject(above, c), "pages", func() (err error) {
		pages, err = pager.Pages(calls, config.Client(), c.Token)
		return err
	})
	if class := provider.ClassOf(err); err != nil && (class == provider.NeedsReauth || class == provider.Revoked) {
		if _, checkErr := p.Calls.Check(ctx, above); checkErr != nil {
			return nil, checkErr
		}
	}
	var refused *provider.Error
	if errors.As(err, &refused) && (refused.Class == provider.NeedsReauth && refused.Uncertain || refused.Class == provider.Caller) {
		// The token lives, or the engine's own call was wrong: neither is the person's to mend.
		err = refused.Reclassified(provider.Transient, provider.ConcernsRequest)
	}
	return pages, err
}

// errSuperseded is returned if the credential above has changed since the fetch began.
// The next reader sees that, and fetches again.
var errSuperseded = errors.New("the credential above has changed since the fetch began")

// store stores a page that was listed with the credential c, and returns its status.
func (p *Pages) store(ctx context.Context, above tenant.Ref, c store.Credential, page provider.Page) (store.Status, error) {
	ref := above
	ref.Page = page.ID
	if err := ref.Check(); err != nil {
		return "", err
	}
	stored, err := p.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if now, err := p.Store.Credentials.Read(ctx, above); err != nil || now.Birth != c.Birth || now.Generation != c.Generation {
			return store.Credential{}, cmp.Or(err, errSuperseded)
		}
		return fetched(old, c, page, p.Now().UTC()), nil
	})
	if errors.Is(err, store.ErrRemoving) || errors.Is(err, store.ErrNotFound) {
		err = admission.NoCredential(above)
	}
	return stored.Status, err
}

// fetched returns the record of a page that was listed with above, in place of old. A
// token that is dead stays dead when the provider lists it again.
func fetched(old *store.Credential, above store.Credential, page provider.Page, now time.Time) store.Credential {
	c := store.Credential{
		Birth: above.Birth, Generation: 1, Status: store.Active, Token: page.Token,
		ConnectedAt: now, ConnectedBy: above.ConnectedBy, RefreshedAt: now, AskedAt: now,
		Page: &store.Page{Name: page.Name, Tasks: page.Tasks, Birth: above.Birth, Generation: above.Generation},
	}
	c.Token.Scopes, c.Token.DataAccessExpiresAt = above.Token.Scopes, above.Token.DataAccessExpiresAt
	if old != nil {
		c.Generation, c.ConnectedAt, c.History = old.Generation+1, old.ConnectedAt, old.History
		if old.Status != store.Active && old.Token.AccessToken == page.Token.AccessToken {
			c.Status, c.LastError, c.DeadSince = old.Status, old.LastError, old.DeadSince
		}
	}
	c.Record(now, "fetched", "")
	return c
}

// markFetched records that all pages of c's generation are stored.
func (p *Pages) markFetched(ctx context.Context, above tenant.Ref, c store.Credential) error {
	_, err := p.Store.Credentials.Update(ctx, above, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != c.Birth || old.Generation != c.Generation {
			return store.Credential{}, errSuperseded
		}
		marked := *old
		marked.PagesAt = c.Generation
		return marked, nil
	})
	if errors.Is(err, store.ErrRemoving) {
		return admission.NoCredential(above)
	}
	return err
}

// deleteOrphans deletes the pages under above if above was deleted while they were
// fetched: the request that deleted it may have listed them before they were stored.
func (p *Pages) deleteOrphans(ctx context.Context, above tenant.Ref) error {
	if _, err := p.Store.Credentials.Read(ctx, above); !errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return p.Store.Credentials.DeletePages(ctx, above)
}
