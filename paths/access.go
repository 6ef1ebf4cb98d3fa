package paths

import (
	"context"
	"slices"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
)

var accessFields = map[string]*framework.FieldSchema{
	"scopes": {Type: framework.TypeCommaStringSlice, Query: true, Description: "The scopes that the work needs."},
}

// pageOfAccess is a field of the refs that are no page's.
var pageOfAccess = map[string]*framework.FieldSchema{
	"page": {Type: framework.TypeString, Query: true, Description: "The provider's id of the page that the work is on, reached through this credential."},
}

var accessAnswer = answer{
	"granted": {Type: framework.TypeBool, Required: true, Description: "Nothing is known to be missing."},
	"reasons": {Type: framework.TypeStringSlice, Required: true, Description: "What is missing: scope_missing:<scope>, page_missing, task_missing:<task>, data_access_over, status:<status>. Empty if it is granted."},
}

func (c connectionPaths) accessible(l leaf) *framework.Path {
	own := accessFields
	if !slices.Contains(l.names, "page") {
		own = joined(accessFields, pageOfAccess)
	}
	return &framework.Path{
		Pattern:      "connections/" + refPrefix + l.pattern + "/access",
		Fields:       fields(own, l.names...),
		DisplayAttrs: on(l.noun + "-access"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(c.access, "Read whether work would be granted.",
				says("Takes `scopes`, and `page` where the ref is no page's. From what is known, without a call."),
				answers("Whether it is granted.", accessAnswer)),
		},
		HelpSynopsis: "Whether work would be granted, before it begins.",
		HelpDescription: "Compares the scopes and the page that the work needs with what was granted, as of the last check and the last list of pages. It makes no call to the provider. " +
			"The reasons say what is missing: a scope, or that scope for this page; the page; a task that the person has not on the page; the app's access to their data; or the credential's own status.",
	}
}

func (c connectionPaths) access(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	scopes := d.Get("scopes").([]string)
	if p, ok := c.pages.Breaker.Providers[ref.Provider]; ok {
		if err := flow.CheckScopes(p, "scopes", scopes); err != nil {
			return nil, err
		}
	}
	reasons, err := c.pages.Access(ctx, ref, scopes)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"granted": len(reasons) == 0, "reasons": append([]string{}, reasons...)}}, nil
}
