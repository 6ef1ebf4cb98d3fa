package paths

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

type healthPaths struct {
	tree     tree
	writable func() bool
}

func health(s *store.Store, r *refresh.Refresher) []*framework.Path {
	h := healthPaths{tree{store: s, refresh: r}, r.Writable}
	return []*framework.Path{{
		Pattern:         "health/" + statusSegment + "/?$",
		Fields:          fields(listFields, "status"),
		Operations:      map[logical.Operation]framework.OperationHandler{logical.ListOperation: local(h.list, "List the refs in a status other than active.")},
		HelpSynopsis:    "List the refs in a status other than active.",
		HelpDescription: "The status is needs_reauth, revoked or failed. Whole refs, of all tenants, sorted by bytes, with status, expires_at, missing_scopes and connected_at.",
	}}
}

// list reads the records of the page only. What it finds outdated is not shown
// and its place given to the next, so that only the last page is a short one.
func (h healthPaths) list(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	status := store.Status(d.Get("status").(string))
	if !slices.Contains(store.NotActive, status) {
		return nil, oauth.Invalid("status", "must be needs_reauth, revoked or failed")
	}
	limit, err := limitOf(d)
	if err != nil {
		return nil, err
	}
	refs, err := h.tree.store.InStatus(ctx, status)
	if err != nil {
		return nil, err
	}
	after := d.Get("after").(string)
	refs = slices.DeleteFunc(refs, func(ref tenant.Ref) bool { return ref.String() <= after })
	keys, info := []string{}, map[string]any{}
	for len(refs) > 0 && len(keys) < limit {
		n := min(limit-len(keys), len(refs))
		shown, err := h.shown(ctx, status, refs[:n], info)
		if err != nil {
			return nil, err
		}
		keys, refs = append(keys, shown...), refs[n:]
	}
	return logical.ListResponseWithInfo(keys, info), nil
}

// shown returns those of refs that have the status, and adds their key_info to
// info. The hints that led to the others are dropped.
func (h healthPaths) shown(ctx context.Context, status store.Status, refs []tenant.Ref, info map[string]any) (keys []string, err error) {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = ref.String()
	}
	views, err := h.tree.leaves(ctx, "", names)
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		view, ok := views[name].(map[string]any)
		if !ok || view["status"] != string(status) && view["status"] != unreadable {
			h.drop(ctx, refs[i], status)
			continue
		}
		if err := h.mark(ctx, refs[i], view); err != nil {
			return nil, err
		}
		info[name] = view
		keys = append(keys, name)
	}
	return keys, nil
}

// drop lets go of an outdated hint, where this node may. One that stays is
// harmless, and met again.
func (h healthPaths) drop(ctx context.Context, ref tenant.Ref, status store.Status) {
	if h.writable() {
		_ = h.tree.store.DropStatus(ctx, ref, status)
	}
}

// mark says so in view if ref is being removed.
func (h healthPaths) mark(ctx context.Context, ref tenant.Ref, view map[string]any) error {
	switch _, err := h.tree.store.Removal(ctx, ref); {
	case err == nil:
		view["removing"] = true
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return nil
}
