package pages

import (
	"context"
	"errors"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Access returns what is missing for work with scopes through the credential that ref names,
// or through its page: the reasons why a provider would refuse it. It answers from what is
// stored, without a call. None: nothing is known to be missing.
//
// The reasons are "status:" with the credential's status or "suspended", "data_access_over",
// "scope_missing:" with the scope, "page_missing", and "task_missing:" with the provider's
// task. A page is missing if the last list of pages has not brought it, or its token is dead.
// Before the first list, only the scopes say which pages were granted.
func (p *Pages) Access(ctx context.Context, ref tenant.Ref, scopes []string) (reasons []string, err error) {
	above, err := admission.Credential(ctx, p.Store, ref.Above())
	if err != nil {
		return nil, err
	}
	switch err := admission.Serve(ctx, p.Store, ref.Tenant); {
	case oauth.CodeOf(err) == oauth.Suspended:
		reasons = append(reasons, "status:"+string(oauth.Suspended))
	case err != nil:
		return nil, err
	}
	if above.Status != store.Active {
		reasons = append(reasons, "status:"+string(above.Status))
	}
	if end := above.Token.DataAccessExpiresAt; !end.IsZero() && !p.Now().Before(end) {
		reasons = append(reasons, "data_access_over")
	}
	for _, scope := range scopes {
		if !grants(above.Token, scope, ref.Page) {
			reasons = append(reasons, "scope_missing:"+scope)
		}
	}
	if ref.Kind() != tenant.Page {
		return reasons, nil
	}
	page, err := p.Store.Credentials.Read(ctx, ref)
	// A page of a former connection says nothing of this one.
	switch known := page.Page != nil && page.Page.Birth == above.Birth; {
	case err != nil && !errors.Is(err, store.ErrNotFound):
		return nil, err
	case known && page.Status == store.Active:
		return append(reasons, p.missingTasks(ref.Provider, page.Page.Tasks, scopes)...), nil
	case known || above.PagesAt != 0:
		reasons = append(reasons, "page_missing")
	}
	return reasons, nil
}

// grants reports whether the token has the scope, and has it for the page, unless that is "".
func grants(t oauth.Token, scope, page string) bool {
	for _, granular := range t.Granular {
		if granular.Scope == scope && page != "" && !slices.Contains(granular.Targets, page) {
			return false
		}
	}
	return slices.Contains(t.Scopes, scope)
}

// missingTasks returns the reasons for those tasks that the scopes need and that are not
// among tasks.
func (p *Pages) missingTasks(providerName string, tasks, scopes []string) (reasons []string) {
	pager, ok := p.Breaker.Providers[providerName].(provider.Pager)
	if !ok {
		return nil
	}
	for _, scope := range scopes {
		task := pager.TaskFor(scope)
		if reason := "task_missing:" + task; task != "" && !slices.Contains(tasks, task) && !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
	return reasons
}
