package paths

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/sync/errgroup"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var listFields = map[string]*framework.FieldSchema{
	"after": {Type: framework.TypeString, Query: true, Description: "List what comes after this name."},
	"limit": {Type: framework.TypeInt, Query: true, Description: "List so many names at the most: 1 to 10000, by default 1000.", Default: defaultLimit},
}

const (
	defaultLimit = 1_000
	maxLimit     = 10_000
)

// limitOf returns the request's limit of entries.
func limitOf(d *framework.FieldData) (int, error) {
	limit := defaultLimit
	if _, named := d.Raw["limit"]; named {
		limit = d.Get("limit").(int)
	}
	if limit < 1 || limit > maxLimit {
		return 0, oauth.Invalid("limit", "must be from 1 to %d", maxLimit)
	}
	return limit, nil
}

// pageOf returns the part of the sorted names between the request's after and limit.
func pageOf(d *framework.FieldData, names []string) ([]string, error) {
	limit, err := limitOf(d)
	if err != nil {
		return nil, err
	}
	after := d.Get("after").(string)
	page := []string{}
	for _, name := range names {
		if name > after && len(page) < limit {
			page = append(page, name)
		}
	}
	return page, nil
}

// namesAnswer is what lists of names answer.
var namesAnswer = answer{
	"keys": {Type: framework.TypeStringSlice, Required: true, Description: "The names, sorted by bytes. One that ends in a slash has more below it."},
}

// refsAnswer is what lists of refs answer.
var refsAnswer = joined(namesAnswer, answer{
	"key_info": {Type: framework.TypeMap, Description: "By name, of those that are credentials: status, connected_at, expires_at and missing_scopes; " +
		"of a static one its credential_type, of a page its name and tasks; and removing, if it is being removed."},
})

// tree lists refs one level at a time, below prefix. Its noun is part of the ids of
// operations.
type tree struct {
	store  *store.Store
	pages  *pages.Pages
	prefix string
	noun   string
}

func (t tree) paths() []*framework.Path {
	return []*framework.Path{
		t.level("", ""),
		t.level("/"+tenantSegment, "tenant-", "tenant"),
		t.level("/"+refPrefix, "provider-", "tenant", "provider"),
		t.level("/"+refPrefix+"/users", "user-", "tenant", "provider"),
		t.level("/"+refPrefix+"/static", "static-", "tenant", "provider"),
		t.pageLevel("/pages", "installation-page-", "tenant", "provider"),
		t.pageLevel("/users/"+userSegment+"/pages", "user-page-", "tenant", "provider", "user"),
	}
}

// level is the list of one level. Its operation's id begins with of.
func (t tree) level(pattern, of string, names ...string) *framework.Path {
	return &framework.Path{
		Pattern:      t.prefix + pattern + "/?$",
		Fields:       fields(listFields, names...),
		DisplayAttrs: on(of + t.noun + "s"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: local(t.list, "List the refs one level below.",
				says("With `key_info`; `after` and `limit` page."),
				answers("The refs.", refsAnswer)),
		},
		HelpSynopsis:    "List the refs one level below.",
		HelpDescription: "Sorted by bytes; a name that ends in a slash has more below it. The others come with status, expires_at, missing_scopes and connected_at.",
	}
}

// pageLevel is the list of the pages under a credential. It may have to be fetched from the
// provider.
func (t tree) pageLevel(pattern, of string, names ...string) *framework.Path {
	return &framework.Path{
		Pattern:      t.prefix + "/" + refPrefix + pattern + "/?$",
		Fields:       fields(listFields, names...),
		DisplayAttrs: on(of + t.noun + "s"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: forwarded(t.listPages, "List the pages that a credential reaches.",
				says("With `name` and `tasks` in `key_info`; `after` and `limit` page."),
				answers("The pages.", refsAnswer)),
		},
		HelpSynopsis:    "List the pages that a credential reaches.",
		HelpDescription: "By id, with name and tasks. The provider is asked when the credential has changed since it last was.",
	}
}

func (t tree) listPages(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	if err := t.pages.Update(ctx, ref); err != nil {
		return nil, err
	}
	return t.list(ctx, req, d)
}

func (t tree) list(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	dir, err := t.dir(req.Path, d)
	if err != nil {
		return nil, err
	}
	names, err := t.names(ctx, dir)
	if err != nil {
		return nil, err
	}
	page, err := pageOf(d, names)
	if err != nil {
		return nil, err
	}
	info, err := t.leaves(ctx, dir, page)
	if err != nil {
		return nil, err
	}
	if len(info) == 0 {
		return logical.ListResponse(page), nil
	}
	return logical.ListResponseWithInfo(page, info), nil
}

// names returns the names one level below dir: the tenants, if that is "".
func (t tree) names(ctx context.Context, dir string) ([]string, error) {
	if dir == "" {
		return t.store.Tenants.List(ctx)
	}
	return t.store.Credentials.List(ctx, dir)
}

// dir returns the prefix of refs that the request's path names.
func (t tree) dir(path string, d *framework.FieldData) (string, error) {
	for name, check := range map[string]func(string) error{
		"tenant":   func(s string) error { _, err := tenant.ParseID(s); return err },
		"provider": tenant.CheckProvider,
		"user":     tenant.CheckUser,
	} {
		if _, ok := d.Schema[name]; ok {
			if err := check(d.Get(name).(string)); err != nil {
				return "", err
			}
		}
	}
	dir := strings.TrimPrefix(strings.TrimPrefix(path, t.prefix), "/")
	if dir == "" {
		return "", nil
	}
	return strings.TrimSuffix(dir, "/") + "/", nil
}

// leafReads is how many records are read concurrently for a list's key_info.
const leafReads = 8

// leaves returns the key_info of those of names that are credentials.
func (t tree) leaves(ctx context.Context, dir string, names []string) (map[string]any, error) {
	views := make([]map[string]any, len(names))
	removing, err := t.removing(ctx, dir)
	if err != nil {
		return nil, err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(leafReads)
	for i, name := range names {
		ref, err := tenant.ParseRef(dir + name)
		if err != nil {
			continue // a level with more below it
		}
		group.Go(func() (err error) {
			views[i], err = t.leaf(ctx, ref)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	info := map[string]any{}
	for i, view := range views {
		if view == nil {
			continue
		}
		if removing {
			view["removing"] = true
		}
		info[names[i]] = view
	}
	return info, nil
}

// removing reports whether the credentials at dir are being removed: they still have a
// status, but are not served any more.
func (t tree) removing(ctx context.Context, dir string) (bool, error) {
	if dir == "" {
		return false, nil
	}
	part := strings.Split(dir, "/")
	switch err := t.store.Tenants.Deleting(ctx, tenant.ID(part[0])); {
	case errors.Is(err, store.ErrDeleting):
		return true, nil
	case err != nil:
		return false, err
	}
	if len(part) < 3 || part[2] == "static" {
		return false, nil
	}
	_, err := t.store.Tenants.Removal(ctx, tenant.Ref{Tenant: tenant.ID(part[0]), Provider: part[1]})
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// unreadable is in lists the status of a record that does not open.
const unreadable = "unreadable"

// leaf returns the key_info of ref, or nil if it is gone.
func (t tree) leaf(ctx context.Context, ref tenant.Ref) (view map[string]any, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reading %s: internal error: %v", ref, p)
		}
	}()
	c, err := t.store.Credentials.Read(ctx, ref)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return nil, nil
	case errors.Is(err, store.ErrCorrupt):
		// It does not prevent the list of the others.
		return map[string]any{"status": unreadable}, nil
	case err != nil:
		return nil, err
	}
	view = map[string]any{"status": string(c.Status)}
	setTime(view, "connected_at", c.ConnectedAt)
	if c.Static != nil {
		view["credential_type"] = string(c.Static.Type)
		return view, nil
	}
	view["missing_scopes"] = c.MissingScopes()
	setTime(view, "expires_at", c.Token.ExpiresAt)
	setPage(view, c.Page)
	return view, nil
}
