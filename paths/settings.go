package paths

import (
	"context"
	"regexp"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var settingsFields = map[string]*framework.FieldSchema{
	"tenant_metadata_key": {Type: framework.TypeString, Description: "The metadata key of an entity that names the one tenant which the entity's tokens may touch. Default: empty, which is off."},
}

var settingsAnswer = answer{
	"tenant_metadata_key": {Type: framework.TypeString, Required: true, Description: "The metadata key of an entity that names the one tenant which the entity's tokens may touch; empty: off."},
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
				says("`tenant_metadata_key` holds callers to the tenant that their entity's metadata names."),
				answers("The settings.", settingsAnswer)),
			logical.UpdateOperation: forwarded(p.write, "Write some or all settings of the mount.",
				says("A write changes the settings it names; `\"\"` resets one."),
				answersNothing("The settings are stored.")),
		},
		HelpSynopsis: "Settings of the mount.",
		HelpDescription: `A write changes the settings that it names and keeps the rest; "" resets one to its default. ` +
			"With tenant_metadata_key, a caller whose entity's metadata carries the key may touch the tenant that it names and nothing else of the mount, whatever the policy says: " +
			"creds, connections, connect, sessions and tenants under that tenant. A value that names no tenant opens nothing. " +
			"Callers whose entity lacks the key, or without an entity, are bound by policy alone.",
	}}
}

func (p settingsPaths) read(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	settings, err := p.store.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"tenant_metadata_key": settings.TenantMetadataKey}}, nil
}

// metadataKey matches what Vault takes for a metadata key. A key that no entity
// can carry would bind nobody, and look as if it did.
var metadataKey = regexp.MustCompile(`^[A-Za-z0-9=/+_-]{1,128}$`)

func (p settingsPaths) write(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	return nil, p.store.UpdateSettings(ctx, func(settings store.Settings) (store.Settings, error) {
		if _, named := d.Raw["tenant_metadata_key"]; !named {
			return settings, nil
		}
		key := d.Get("tenant_metadata_key").(string)
		if key != "" && !metadataKey.MatchString(key) {
			return settings, oauth.Invalid("tenant_metadata_key", "must be a metadata key as Vault has them: 1 to 128 letters, digits and any of = / + _ -")
		}
		settings.TenantMetadataKey = key
		return settings, nil
	})
}
