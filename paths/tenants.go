package paths

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/upkeep"
)

var tenantFields = map[string]*framework.FieldSchema{
	"suspended": {Type: framework.TypeBool, Required: true, Description: "On a write: whether everything under the tenant is withheld. The grants stay, and are refreshed."},
	"revoke":    {Type: framework.TypeBool, Query: true, Default: true, Description: "On a delete: whether the grants are revoked at the provider. Default true."},
	"force":     {Type: framework.TypeBool, Query: true, Description: "On a delete: purge the tenant's keys at once. Grants whose tokens they have sealed cannot be revoked then."},
}

var tenantAnswer = answer{
	"tenant_id":        {Type: framework.TypeString, Required: true, Description: "The tenant."},
	"created_at":       {Type: framework.TypeTime, Required: true, Description: "When its first credential was stored."},
	"counts":           {Type: framework.TypeMap, Required: true, Description: "How many of its credentials are in each status other than active, as the status index has it."},
	"suspended":        {Type: framework.TypeBool, Required: true, Description: "Whether everything under it is withheld."},
	"suspended_at":     {Type: framework.TypeTime, Description: "Since when it is suspended."},
	"key_version":      {Type: framework.TypeInt, Required: true, Description: "The version of its key: 1, and one more for each rotation."},
	"removals":         {Type: framework.TypeMap, Required: true, Description: "By provider, how far removing its installation has come: started_at, attempts, removed, unrevoked and unrevoked_count."},
	"reindex":          {Type: framework.TypeMap, Description: "How far the last reindex has come: started_at, done, unreadable and, at its end, finished_at."},
	"rotation":         {Type: framework.TypeMap, Description: "How far the last rotation has come: as reindex, with key_version, rewritten and, once the first scan is done, former_key_until."},
	"next_rotation_at": {Type: framework.TypeTime, Description: "When its key is rotated automatically: see key_rotation_period of settings."},
	"deletion":         {Type: framework.TypeMap, Description: "How far deleting it has come: as removals, with revoke and force."},
}

// scanAnswer is of a scan over the tenant's records, when it begins.
var scanAnswer = answer{
	"started_at": {Type: framework.TypeTime, Required: true, Description: "When it began."},
	"done":       {Type: framework.TypeInt, Required: true, Description: "How many records have been visited, in the scan that is under way."},
	"unreadable": {Type: framework.TypeInt, Required: true, Description: "How many records do not open. They are skipped."},
}

var rotationAnswer = joined(scanAnswer, answer{
	"key_version": {Type: framework.TypeInt, Required: true, Description: "The version of the new key."},
	"rewritten":   {Type: framework.TypeInt, Required: true, Description: "How many records have been sealed anew."},
})

type tenantPaths struct {
	store   *store.Store
	removal *removal.Remover
	upkeep  *upkeep.Upkeep
}

func tenants(s *store.Store, r *removal.Remover, u *upkeep.Upkeep) []*framework.Path {
	t := tenantPaths{s, r, u}
	return []*framework.Path{t.all(), t.one(), t.rotation(), t.reindexing()}
}

func (t tenantPaths) all() *framework.Path {
	return &framework.Path{
		Pattern:      "tenants/?$",
		Fields:       fields(listFields),
		DisplayAttrs: on("tenants"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: local(t.list, "List the tenants.",
				says("`after` and `limit` page."),
				answers("The tenants.", namesAnswer)),
		},
		HelpSynopsis:    "The tenants.",
		HelpDescription: "Sorted by bytes. A tenant exists from its first credential.",
	}
}

func (t tenantPaths) one() *framework.Path {
	return &framework.Path{
		Pattern:      "tenants/" + tenantSegment,
		Fields:       fields(tenantFields, "tenant"),
		DisplayAttrs: on("tenant"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(t.read, "Read the state of a tenant.",
				says("Shows `created_at`, `suspended`, `key_version`, `counts` by status other than `active`, and work in progress: `removals` by provider, the last `reindex`, the last `rotation`, the `deletion`."),
				answers("The tenant.", tenantAnswer)),
			logical.UpdateOperation: forwarded(t.write, "Suspend or resume a tenant.",
				says("Writing `suspended` withholds everything under it."),
				answersNothing("It is done.")),
			logical.DeleteOperation: forwarded(t.delete, "Revoke and remove all that a tenant has, and purge its keys.",
				says("Deleting revokes and removes all that it has, and purges its keys; `force`, `revoke=false`."),
				warns("The tenant is out of service; the warning says what is left to do.")),
		},
		HelpSynopsis: "The state of a tenant, and its end.",
		HelpDescription: "How many of its credentials are in each status other than active, as the status index has it; the version of its key; and the work in progress: " +
			"removals, by provider, the last reindex and the last rotation, which go on until they have a finished_at, and its deletion. " +
			"While a tenant is suspended, nothing under it is served or connected; its grants are refreshed. " +
			"Deleting takes it out of service at once. Revoking and removing is done in the background, and what cannot be revoked is tried again; deleting again with " +
			"revoke=false or force=true gives that up. Older snapshots of Vault's storage still hold the keys.",
	}
}

func (t tenantPaths) rotation() *framework.Path {
	return &framework.Path{
		Pattern:      "tenants/" + tenantSegment + "/rotate",
		Fields:       fields(nil, "tenant"),
		DisplayAttrs: on("tenant-key"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(t.rotate, "Give the tenant a new key.", named("rotate"),
				says("Old records are resealed in the background, then the former key is purged."),
				answers("The rotation that was begun.", rotationAnswer)),
		},
		HelpSynopsis: "Give the tenant a new key.",
		HelpDescription: "The new key is in use as soon as the request returns. Records that the former one has sealed are resealed in the background; read the tenant to see how far that has come. " +
			"The former key is purged when no session is left that it may have sealed, an hour and a half later. Until then another rotation is refused with pending.",
	}
}

func (t tenantPaths) reindexing() *framework.Path {
	return &framework.Path{
		Pattern:      "tenants/" + tenantSegment + "/reindex",
		Fields:       fields(nil, "tenant"),
		DisplayAttrs: on("tenant"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(t.reindex, "Rebuild every index of the tenant.", named("reindex"),
				says("It is done in the background."),
				answers("The reindex that was begun, or is under way.", scanAnswer)),
		},
		HelpSynopsis: "Rebuild every index of the tenant.",
		HelpDescription: "For when refreshes, webhooks or health miss credentials that are there. It is done in the background and costs the provider nothing; " +
			"read the tenant to see how far it has come. Writing again while it is under way continues it.",
	}
}

func (t tenantPaths) list(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	names, err := t.store.Tenants.List(ctx)
	if err != nil {
		return nil, err
	}
	for i := range names {
		names[i] = strings.TrimSuffix(names[i], "/")
	}
	slices.Sort(names) // again: a slash sorts after a hyphen
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
	known, err := t.store.Tenants.Read(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		err = admission.NoTenant(id)
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
		refs, err := t.store.Credentials.InStatus(ctx, status)
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
	view := map[string]any{
		"tenant_id": string(id), "created_at": timestamp(t.CreatedAt), "counts": counts,
		"suspended": !t.SuspendedAt.IsZero(), "key_version": t.KeyVersion(),
	}
	setTime(view, "suspended_at", t.SuspendedAt)
	setTime(view, "next_rotation_at", t.NextRotation.At)
	removals := map[string]any{}
	for provider, removal := range t.Removals {
		removals[provider] = removalView(removal)
	}
	view["removals"] = removals
	if scan, ok := t.Scans[store.DueReindex]; ok {
		view["reindex"] = scanView(scan)
	}
	if scan, ok := t.Scans[store.DueRotation]; ok {
		view["rotation"] = rotationView(scan)
	}
	if t.Deletion != nil {
		deletion := removalView(*t.Deletion)
		deletion["revoke"], deletion["force"] = t.Deletion.Revoke, t.Deletion.Force
		view["deletion"] = deletion
	}
	return view
}

func scanView(w store.Scan) map[string]any {
	view := map[string]any{"started_at": timestamp(w.StartedAt), "done": w.Done, "unreadable": w.Unreadable}
	setTime(view, "finished_at", w.FinishedAt)
	return view
}

func rotationView(w store.Scan) map[string]any {
	view := scanView(w)
	view["key_version"], view["rewritten"] = w.Rotation.Version, w.Rotation.Rewritten+w.Changed
	setTime(view, "former_key_until", w.Rotation.KeepUntil)
	return view
}

func (t tenantPaths) write(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	if _, named := d.Raw["suspended"]; !named {
		return nil, oauth.Invalid("suspended", "is required: true or false")
	}
	return nil, t.removal.Suspend(ctx, id, d.Get("suspended").(bool))
}

func (t tenantPaths) delete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	warning, err := t.removal.DeleteTenant(ctx, id, removal.Disconnection{Revoke: d.Get("revoke").(bool), Force: d.Get("force").(bool)})
	if err != nil {
		return nil, err
	}
	return warned(nil, warning), nil
}

func (t tenantPaths) rotate(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	scan, err := t.upkeep.BeginRotation(ctx, id)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: rotationView(scan)}, nil
}

func (t tenantPaths) reindex(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	scan, err := t.upkeep.BeginReindex(ctx, id)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: scanView(scan)}, nil
}
