package paths

import (
	"cmp"
	"context"
	"regexp"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var settingsFields = map[string]*framework.FieldSchema{
	"tenant_metadata_key": {Type: framework.TypeString, Description: "The metadata key of an entity that names the one tenant which the entity's tokens may touch. Default: empty, which is off."},
	"unbound_callers":     {Type: framework.TypeString, AllowedValues: []any{"allow", "deny"}, Description: "What callers may do whose entity lacks tenant_metadata_key, or that have no entity: allow, what their policy says; deny, nothing that belongs to a tenant. Default: allow."},
}

var settingsAnswer = answer{
	"tenant_metadata_key": {Type: framework.TypeString, Required: true, Description: "The metadata key of an entity that names the one tenant which the entity's tokens may touch; empty: off."},
	"unbound_callers":     {Type: framework.TypeString, Required: true, Description: "What callers may do that are bound to no tenant: allow or deny."},
}

type settingsPaths struct{ store *store.Store }

func settings(s *store.Store) []*framework.Path {
	p := settingsPaths{s}
	return []*framework.Path{{
		Pattern:      "settings$",
		Fields:       fields(settingsFields),
		DisplayAttrs: on("settings"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(p.read, "Read the settings of the mount.",
				says("`tenant_metadata_key` holds callers to the tenant that their entity's metadata names, and `unbound_callers=deny` refuses all others what belongs to a tenant."),
				answers("The settings.", settingsAnswer)),
			logical.UpdateOperation: forwarded(p.write, "Write some or all settings of the mount.",
				says("A write changes the settings it names; `\"\"` resets one."),
				answersNothing("The settings are stored.")),
		},
		HelpSynopsis: "Settings of the mount.",
		HelpDescription: `A write changes the settings that it names and keeps the rest; "" resets one to its default. ` +
			"With tenant_metadata_key, a caller whose entity's metadata carries the key may touch the tenant that it names and nothing else of the mount, whatever the policy says: " +
			"creds, connections, connect, sessions and tenants under that tenant. A value that names no tenant opens nothing. " +
			"Callers whose entity lacks the key, or without an entity, are bound by policy alone, unless unbound_callers is deny: then they get 403 for whatever belongs to a tenant, " +
			"root and orphan tokens too. config/, settings and the mount's own paths stay with policy.",
	}}
}

func (p settingsPaths) read(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	settings, err := p.store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"tenant_metadata_key": settings.TenantMetadataKey,
		"unbound_callers":     cmp.Or(string(settings.UnboundCallers), "allow"),
	}}, nil
}

// metadataKey matches what Vault takes for a metadata key. A key that no entity
// can carry would bind nobody, and look as if it did.
var metadataKey = regexp.MustCompile(`^[A-Za-z0-9=/+_-]{1,128}$`)

func (p settingsPaths) write(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return nil, p.store.UpdateSettings(ctx, func(settings store.Settings) (store.Settings, error) {
		if _, named := d.Raw["tenant_metadata_key"]; named {
			settings.TenantMetadataKey = d.Get("tenant_metadata_key").(string)
		}
		if _, named := d.Raw["unbound_callers"]; named {
			settings.UnboundCallers = store.Unbound(d.Get("unbound_callers").(string))
		}
		return settings, checkSettings(&settings)
	})
}

// checkSettings checks settings as a whole, and writes a default as "".
func checkSettings(s *store.Settings) error {
	if s.UnboundCallers == "allow" {
		s.UnboundCallers = ""
	}
	switch {
	case s.TenantMetadataKey != "" && !metadataKey.MatchString(s.TenantMetadataKey):
		return oauth.Invalid("tenant_metadata_key", "must be a metadata key as Vault has them: 1 to 128 letters, digits and any of = / + _ -")
	case s.UnboundCallers != "" && s.UnboundCallers != store.DenyUnbound:
		return oauth.Invalid("unbound_callers", "must be allow or deny")
	case s.UnboundCallers == store.DenyUnbound && s.TenantMetadataKey == "":
		return oauth.Invalid("unbound_callers", "deny needs tenant_metadata_key: without it no caller is bound, and every one would be refused")
	}
	return nil
}
