package paths

import (
	"context"
	"errors"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var healthAnswer = answer{
	"counts":              {Type: framework.TypeMap, Required: true, Description: "How many credentials are in each status other than active, as the status index has it."},
	"overdue":             {Type: framework.TypeInt, Required: true, Description: "How many entries of due work are minutes late."},
	"overdue_all_counted": {Type: framework.TypeBool, Required: true, Description: "false: overdue is a lower bound."},
	"last_sweep":          {Type: framework.TypeMap, Description: "This node's last sweep: at, milliseconds, due and failed. Absent on a node that does not sweep."},
	"providers": {Type: framework.TypeMap, Required: true, Description: "By name, of each that is configured: its state (ok, suspected, throttled, misconfigured, unavailable), since and until when, and error; " +
		"how many throttled_accounts there are, if any; its clock_skew in seconds; and its served_version, if it answers by another API version than is configured."},
}

type healthPaths struct {
	Deps
	tree tree
}

func health(d Deps) []*framework.Path {
	h := healthPaths{d, tree{store: d.Store, pages: d.Pages}}
	return []*framework.Path{h.mount(), h.inStatus()}
}

func (h healthPaths) mount() *framework.Path {
	return &framework.Path{
		Pattern:      "health$",
		DisplayAttrs: on("health"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(h.read, "Read how the mount is.",
				says("Shows `counts` by status other than `active`, `overdue` work, the `last_sweep`, and of each provider its `state` (`ok`, `suspected` from the first failed call on, `throttled`, `misconfigured`, `unavailable`), "+
					"since and until when, and why, its `clock_skew` and, if another than configured, its `served_version`."),
				answers("How the mount is.", healthAnswer)),
		},
		HelpSynopsis: "What needs attention.",
		HelpDescription: "counts are of credentials in each status other than active; health/<status> lists them. overdue counts due work that is minutes late. " +
			"last_sweep is this node's last sweep; a node that does not sweep has none. For each configured provider: whether calls to it are paused, and why, " +
			"by how many seconds this server's clock is ahead of its own, and, as served_version, " +
			"the API version of its answers if that is not the configured one: graph_version has ended then.",
	}
}

func (h healthPaths) inStatus() *framework.Path {
	return &framework.Path{
		Pattern:      "health/" + statusSegment + "/?$",
		Fields:       fields(listFields, "status"),
		DisplayAttrs: on("credentials-by-status"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: local(h.list, "List the refs in a status other than active.",
				says("Whole refs in status `needs_reauth`, `revoked` or `failed`, with `key_info`; `after` and `limit` page."),
				answers("The refs.", refsAnswer)),
		},
		HelpSynopsis:    "List the refs in a status other than active.",
		HelpDescription: "The status is needs_reauth, revoked or failed. Whole refs, of all tenants, sorted by bytes, with status, expires_at, missing_scopes and connected_at.",
	}
}

// read reads only index entries of credentials that are not active.
func (h healthPaths) read(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	counts := map[string]any{}
	for _, status := range store.NotActive {
		refs, err := h.Store.Credentials.InStatus(ctx, status)
		if err != nil {
			return nil, err
		}
		counts[string(status)] = len(refs)
	}
	overdue, all, err := h.Store.Due.Overdue(ctx, h.Now().Add(-sweep.OverdueAfter))
	if err != nil {
		return nil, err
	}
	view := map[string]any{"counts": counts, "overdue": overdue, "overdue_all_counted": all}
	if last := h.Worker.Last(); last != nil {
		view["last_sweep"] = map[string]any{"at": timestamp(last.At), "milliseconds": last.Took.Milliseconds(), "due": last.Due, "failed": last.Failed}
	}
	names, err := h.Store.Mount.Configs(ctx)
	if err != nil {
		return nil, err
	}
	providers := map[string]any{}
	for _, name := range names {
		if providers[name], err = h.provider(ctx, name); err != nil {
			return nil, err
		}
	}
	view["providers"] = providers
	return &logical.Response{Data: view}, nil
}

func (h healthPaths) provider(ctx context.Context, name string) (map[string]any, error) {
	view := map[string]any{}
	if w, ok := h.Breaker.Providers[name]; ok { // else another build configured it
		if ahead, known := w.Skew(); known {
			view["clock_skew"] = seconds(ahead)
		}
		config, err := h.Store.Mount.Config(ctx, name)
		if err != nil {
			return nil, err
		}
		if served := w.Served(); served != "" && served != config.APIVersion {
			view["served_version"] = served
		}
	}
	health, err := h.Breaker.Health(ctx, name)
	if err != nil {
		return nil, err
	}
	view["state"] = string(health.State)
	if health.ThrottledAccounts > 0 {
		view["throttled_accounts"] = health.ThrottledAccounts
	}
	if outage := health.Outage; outage != nil {
		view["since"], view["error"] = timestamp(outage.Since), failureView(outage.Cause)
		setTime(view, "until", outage.Until)
	}
	return view, nil
}

// list reads only the records of one page. A stale index entry is replaced by the next one,
// so that only the last page is a short one.
func (h healthPaths) list(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	status := store.Status(d.Get("status").(string))
	if !slices.Contains(store.NotActive, status) {
		return nil, oauth.Invalid("status", "must be needs_reauth, revoked or failed")
	}
	limit, err := limitOf(d)
	if err != nil {
		return nil, err
	}
	refs, err := h.Store.Credentials.InStatus(ctx, status)
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

// shown returns those of refs that have the status, and adds their key_info to info. The
// index entries of the others are stale, and are deleted.
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
			h.deleteStale(ctx, refs[i], status)
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

// deleteStale deletes a stale index entry, if this node may write. One that stays does no
// harm.
func (h healthPaths) deleteStale(ctx context.Context, ref tenant.Ref, status store.Status) {
	if h.Breaker.Writable() {
		_ = h.Store.Credentials.DeleteStaleStatus(ctx, ref, status)
	}
}

// mark sets removing in view if ref is being removed.
func (h healthPaths) mark(ctx context.Context, ref tenant.Ref, view map[string]any) error {
	switch _, err := h.Store.Tenants.Removal(ctx, ref); {
	case err == nil:
		view["removing"] = true
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	return nil
}
