package paths

import (
	"context"
	"maps"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// staticLeaf are the refs of static credentials.
var staticLeaf = leaf{"/static/" + nameSegment, "static", []string{"tenant", "provider", "name"}}

var staticFields = map[string]*framework.FieldSchema{
	"credential":      {Type: framework.TypeString, Required: true, Description: "On a write: the API key or webhook secret, which is stored to the byte.", DisplayAttrs: secret("")},
	"credential_type": {Type: framework.TypeString, Required: true, Description: "On a write: api_key or webhook_secret.", AllowedValues: oneOf(store.APIKey, store.WebhookSecret)},
	"actor":           {Type: framework.TypeString, Description: "On a write: your application's own id of the person who stored it, for the record."},
	"force":           {Type: framework.TypeBool, Query: true, Description: "On a delete: delete even a record that does not open."},
}

type staticPaths struct {
	refresh *refresh.Refresher
	removal *removal.Remover
	store   func(context.Context, flow.StaticImport) (store.Credential, error)
	now     func() time.Time
}

func static(r *refresh.Refresher, m *removal.Remover, importStatic func(context.Context, flow.StaticImport) (store.Credential, error), now func() time.Time) []*framework.Path {
	s := staticPaths{r, m, importStatic, now}
	return []*framework.Path{{
		Pattern:      "creds/" + refPrefix + staticLeaf.pattern,
		Fields:       fields(staticFields, staticLeaf.names...),
		DisplayAttrs: on("static-credential"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(s.read, "Read an API key or webhook secret.",
				answers("The credential.", staticCredentialAnswer)),
			logical.UpdateOperation: forwarded(s.write, "Store an API key or webhook secret.",
				says("Writing takes `credential` and `credential_type` (`api_key`, `webhook_secret`), with `actor` for the record."),
				answers("The connection.", staticConnectionAnswer)),
			logical.DeleteOperation: forwarded(s.delete, "Delete an API key or webhook secret.",
				says("Deleting takes `force`."),
				answersNothing("The credential is deleted.")),
		},
		HelpSynopsis: "An API key or webhook secret, under the tenant's key.",
		HelpDescription: "It is served as it was written. It needs no configuration and no installation, has no due work, and stays when an installation is removed. " +
			"Writing again replaces it. Deleting it does not revoke it at its issuer.",
	}}
}

func (s staticPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	served, err := s.refresh.Token(ctx, ref, 0)
	if err != nil {
		return nil, err
	}
	view := publicView(ref, served.Credential, s.now())
	view["credential"] = served.Credential.Static.Value.Reveal()
	return &logical.Response{Data: view, Warnings: served.Warnings}, nil
}

func (s staticPaths) write(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	value, actor := d.Get("credential").(string), d.Get("actor").(string)
	if actor != "" {
		if err := flow.CheckActor(actor); err != nil {
			return nil, err
		}
	}
	credential, err := s.store(ctx, flow.StaticImport{
		Ref: ref, Type: store.StaticType(d.Get("credential_type").(string)), Value: oauth.NewSecret(value),
		By: store.Caller{Actor: actor, EntityID: req.EntityID, DisplayName: req.DisplayName},
	})
	if err != nil {
		return nil, err
	}
	warning := ""
	if strings.TrimSpace(value) != value {
		warning = "the credential begins or ends with white space, which is stored: the line feed at the end of a file, for instance"
	}
	return warned(connectionView(ref, credential, s.now()), warning), nil
}

func (s staticPaths) delete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	_, err = s.removal.Disconnect(ctx, ref, removal.Disconnection{Force: d.Get("force").(bool)})
	return nil, err
}

// staticView is publicView for a static credential, which has no account, no scopes and no
// known end.
func staticView(view map[string]any, c store.Credential) map[string]any {
	view["credential_type"] = string(c.Static.Type)
	view["status"] = string(c.Status)
	return view
}

// unknownField returns what an error says about a field that the path does not have: which
// other path has it, or which field is meant.
func unknownField(p *framework.Path, name string) string {
	switch {
	case p.Fields["credential"] != nil && credsFields[name] != nil:
		return "is for the token of an installation, a user or a page: a static credential has a credential and a credential_type"
	case p.Fields["access_token"] != nil && staticFields[name] != nil:
		return "is for static credentials, at creds/<tenant>/<provider>/static/<name>"
	}
	if known := nearest(name, maps.Keys(p.Fields)); known != "" {
		return "is unknown here: did you mean " + known + "?"
	}
	return "is unknown here"
}
