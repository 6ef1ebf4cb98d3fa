package paths

import (
	"context"
	"slices"
	"strings"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var accountFields = map[string]*framework.FieldSchema{
	"revoke": credsFields["revoke"],
	"force":  credsFields["force"],
}

var accountAnswer = answer{
	"refs": {Type: framework.TypeStringSlice, Required: true, Description: "The refs, sorted by bytes."},
	"ref_info": {Type: framework.TypeMap, Required: true, Description: "By ref, its key_info as in a list of creds/, with rests_on (account or business), " +
		"and suspended and removing where its tenant is suspended or it is being removed."},
}

var accountDeletionAnswer = answer{
	"deleted":  {Type: framework.TypeStringSlice, Required: true, Description: "The refs that are deleted."},
	"removing": {Type: framework.TypeStringSlice, Required: true, Description: "The refs that are out of service and being removed in the background: see connections/."},
}

type accountPaths struct {
	removal   *removal.Remover
	tree      tree
	providers []string
}

func accounts(d Deps) []*framework.Path {
	a := accountPaths{d.Removal, tree{store: d.Store, pages: d.Pages}, d.Providers}
	return []*framework.Path{{
		Pattern:      "accounts/" + providerSegment + "/" + accountSegment,
		Fields:       fields(accountFields, "provider", "account"),
		DisplayAttrs: on("account"),
		Operations: map[logical.Operation]framework.OperationHandler{
			// Forwarded: a standby may not have the last connections yet.
			logical.ReadOperation: forwarded(a.read, "Find the refs that rest on an account or a business.",
				says("Answers `refs`, of every tenant, with `ref_info`."),
				answers("The refs.", accountAnswer)),
			logical.DeleteOperation: forwarded(a.delete, "Disconnect all that rests on an account or a business.",
				says("Deleting disconnects them all, and revokes the grant once; `force`, `revoke=false`."),
				answers("What was disconnected.", accountDeletionAnswer)),
		},
		HelpSynopsis: "All that rests on an account or a business of the provider, whatever the tenant.",
		HelpDescription: "The account is the provider's id of a person (at Facebook the app-scoped id, as in its lists of people whose data is to be deleted), of a system user or of a business. " +
			"Deleting deletes each of the refs, as at creds/: if the grant cannot be revoked, nothing is deleted, unless force=true; with an installation everything under it is removed, in the background. " +
			"Repeat a delete that failed or was interrupted. Both are about several tenants: a caller that is bound to one gets 403.",
	}}
}

// account returns the provider and the account that the request's path names.
func (a accountPaths) account(d *framework.FieldData) (provider, account string, err error) {
	provider, account = d.Get("provider").(string), d.Get("account").(string)
	if !slices.Contains(a.providers, provider) {
		return "", "", oauth.Errorf(oauth.NotFound, "there is no provider %q; this build knows %s", provider, strings.Join(a.providers, ", "))
	}
	return provider, account, tenant.CheckAccount(account)
}

func (a accountPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	provider, account, err := a.account(d)
	if err != nil {
		return nil, err
	}
	found, err := a.removal.Account(ctx, provider, account)
	if err != nil {
		return nil, err
	}
	refs := make([]string, len(found))
	for i, f := range found {
		refs[i] = f.Ref.String()
	}
	info, err := a.tree.leaves(ctx, "", refs)
	if err != nil {
		return nil, err
	}
	for i, f := range found {
		view, ok := info[refs[i]].(map[string]any)
		if !ok { // deleted since it was found
			view = map[string]any{}
			info[refs[i]] = view
		}
		if err := a.describe(ctx, f, view); err != nil {
			return nil, err
		}
	}
	return &logical.Response{Data: map[string]any{"refs": refs, "ref_info": info}}, nil
}

// describe adds to the key_info of a ref the fields that only this path has.
func (a accountPaths) describe(ctx context.Context, f removal.AccountRef, view map[string]any) error {
	view["rests_on"] = "account"
	if f.Business {
		view["rests_on"] = "business"
	}
	if f.Removing {
		view["removing"] = true
	}
	err := admission.Serve(ctx, a.tree.store, f.Ref.Tenant)
	if oauth.CodeOf(err) == oauth.Suspended {
		view["suspended"], err = true, nil
	}
	return err
}

func (a accountPaths) delete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	provider, account, err := a.account(d)
	if err != nil {
		return nil, err
	}
	done, err := a.removal.DisconnectAccount(ctx, provider, account, removal.Disconnection{Revoke: d.Get("revoke").(bool), Force: d.Get("force").(bool)})
	if err != nil {
		return nil, err
	}
	return &logical.Response{
		Data:     map[string]any{"deleted": refNames(done.Deleted), "removing": refNames(done.Removing)},
		Warnings: done.Warnings,
	}, nil
}

func refNames(refs []tenant.Ref) []string {
	names := make([]string, len(refs))
	for i, ref := range refs {
		names[i] = ref.String()
	}
	slices.Sort(names)
	return names
}
