package paths

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

type tenantPaths struct {
	store   *store.Store
	refresh *refresh.Refresher
}

func tenants(s *store.Store, r *refresh.Refresher) []*framework.Path {
	t := tenantPaths{s, r}
	return []*framework.Path{
		{
			Pattern:         "tenants/?$",
			Fields:          fields(listFields),
			Operations:      map[logical.Operation]framework.OperationHandler{logical.ListOperation: local(t.list, "List the tenants.")},
			HelpSynopsis:    "List the tenants.",
			HelpDescription: "Sorted by bytes. A tenant exists from its first credential.",
		},
		{
			Pattern:      "tenants/" + tenantSegment,
			Fields:       fields(nil, "tenant"),
			Operations:   map[logical.Operation]framework.OperationHandler{logical.ReadOperation: local(t.read, "Read the state of a tenant.")},
			HelpSynopsis: "The state of a tenant.",
			HelpDescription: "How many of its credentials are in each status other than active, as the status index has it, and the work in progress: " +
				"removals, by provider, and the last reindex, which goes on until it has a finished_at.",
		},
		{
			Pattern:      "tenants/" + tenantSegment + "/reindex",
			Fields:       fields(nil, "tenant"),
			Operations:   map[logical.Operation]framework.OperationHandler{logical.UpdateOperation: forwarded(t.reindex, "Rebuild every index of the tenant.")},
			HelpSynopsis: "Rebuild every index of the tenant.",
			HelpDescription: "For when refreshes, webhooks or health miss credentials that are there. It is done in the background and costs the provider nothing; " +
				"read the tenant to see how far it has come. Writing again while it is under way lets it go on.",
		},
	}
}

func (t tenantPaths) list(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	names, err := t.store.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "/")
	}
	slices.Sort(names) // anew: a slash sorts after a hyphen
	page, err := pageOf(d, names)
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(page), nil
}

func (t tenantPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	known, err := t.store.Tenant(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = refresh.NoTenant(id)
	}
	if err != nil {
		return nil, err
	}
	counts, err := t.counts(ctx, id)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: tenantView(id, known, counts)}, nil
}

// counts returns how many of the tenant's credentials are in each status other
// than active.
func (t tenantPaths) counts(ctx context.Context, id tenant.ID) (map[string]any, error) {
	counts := map[string]any{}
	for _, status := range store.NotActive {
		refs, err := t.store.InStatus(ctx, status)
		if err != nil {
			return nil, err
		}
		n := 0
		for _, ref := range refs {
			if ref.Tenant == id {
				n++
			}
		}
		counts[string(status)] = n
	}
	return counts, nil
}

func tenantView(id tenant.ID, t store.Tenant, counts map[string]any) map[string]any {
	view := map[string]any{"tenant_id": string(id), "created_at": timestamp(t.CreatedAt), "counts": counts}
	removals := map[string]any{}
	for provider, removal := range t.Removals {
		removals[provider] = removalView(removal)
	}
	view["removals"] = removals
	if walk, ok := t.Walks[store.DueReindex]; ok {
		view["reindex"] = walkView(walk)
	}
	return view
}

func walkView(w store.Walk) map[string]any {
	view := map[string]any{"started_at": timestamp(w.StartedAt), "done": w.Done, "unreadable": w.Unreadable}
	setTime(view, "finished_at", w.FinishedAt)
	return view
}

func (t tenantPaths) reindex(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	walk, err := t.refresh.BeginReindex(ctx, id)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: walkView(walk)}, nil
}
