package paths

import (
	"cmp"
	"context"
	"regexp"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/upkeep"
)

var settingsFields = map[string]*framework.FieldSchema{
	"tenant_metadata_key": {Type: framework.TypeString, Description: "The metadata key of an entity that names the one tenant which the entity's tokens may touch. Default: empty, which is off."},
	"unbound_callers":     {Type: framework.TypeString, AllowedValues: []any{"allow", "deny"}, Description: "What callers may do whose entity lacks tenant_metadata_key, or that have no entity: allow, what their policy says; deny, nothing that belongs to a tenant. Default: allow."},
	"key_rotation_period": {Type: framework.TypeDurationSecond, Description: "The age at which a tenant's key is rotated automatically: at least 24h. Default: 0, which leaves it to tenants/<tenant>/rotate."},
}

var settingsAnswer = answer{
	"tenant_metadata_key": {Type: framework.TypeString, Required: true, Description: "The metadata key of an entity that names the one tenant which the entity's tokens may touch; empty: off."},
	"unbound_callers":     {Type: framework.TypeString, Required: true, Description: "What callers may do that are bound to no tenant: allow or deny."},
	"key_rotation_period": {Type: framework.TypeInt64, Required: true, Description: "The age in seconds at which a tenant's key is rotated automatically; 0: it is not."},
}

type settingsPaths struct {
	store  *store.Store
	upkeep *upkeep.Upkeep
}

func settings(s *store.Store, u *upkeep.Upkeep) []*framework.Path {
	p := settingsPaths{s, u}
	return []*framework.Path{{
		Pattern:      "settings$",
		Fields:       fields(settingsFields),
		DisplayAttrs: on("settings"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(p.read, "Read the settings of the mount.",
				says("`tenant_metadata_key` binds callers to the tenant that their entity's metadata names; `unbound_callers=deny` refuses other callers everything that belongs to a tenant. `key_rotation_period` rotates each tenant's key automatically."),
				answers("The settings.", settingsAnswer)),
			logical.UpdateOperation: forwarded(p.write, "Write some or all settings of the mount.",
				says("A write changes the settings it names; `\"\"` resets one."),
				answersNothing("The settings are stored.")),
		},
		HelpSynopsis: "Settings of the mount.",
		HelpDescription: `A write changes only the settings that it names; "" resets one to its default. ` +
			"With tenant_metadata_key, a caller whose entity's metadata carries the key may touch the tenant that it names and nothing else of the mount, whatever the policy says: " +
			"creds, connections, connect, sessions and tenants under that tenant. A value that names no tenant allows nothing. " +
			"Callers whose entity lacks the key, or without an entity, are bound by policy alone, unless unbound_callers is deny: then they get 403 for whatever belongs to a tenant, " +
			"root and orphan tokens too. config/, settings and the mount's own paths stay with policy. " +
			"With key_rotation_period each tenant's key is rotated in the last tenth of that time after its last rotation; keys that are older when it is set are, within the next period, one after the other.",
	}}
}

func (p settingsPaths) read(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	settings, err := p.store.Mount.Settings(ctx)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		"tenant_metadata_key": settings.TenantMetadataKey,
		"unbound_callers":     cmp.Or(string(settings.UnboundCallers), "allow"),
		"key_rotation_period": seconds(settings.KeyRotationPeriod),
	}}, nil
}

// metadataKey matches the metadata keys that Vault accepts. With a key that no entity can
// have, no caller would be bound, although the setting suggests it.
var metadataKey = regexp.MustCompile(`^[A-Za-z0-9=/+_-]{1,128}$`)

func (p settingsPaths) write(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	err := p.store.Mount.UpdateSettings(ctx, func(settings store.Settings) (store.Settings, error) {
		if _, named := d.Raw["tenant_metadata_key"]; named {
			settings.TenantMetadataKey = d.Get("tenant_metadata_key").(string)
		}
		if _, named := d.Raw["unbound_callers"]; named {
			settings.UnboundCallers = store.Unbound(d.Get("unbound_callers").(string))
		}
		if _, named := d.Raw["key_rotation_period"]; named {
			settings.KeyRotationPeriod = duration(d, "key_rotation_period")
		}
		return settings, checkSettings(&settings)
	})
	// Also for the period that is stored already: a former write may have stored it, and
	// then failed before all rotations were planned.
	if _, named := d.Raw["key_rotation_period"]; named && err == nil {
		err = p.upkeep.PlanRotations(ctx)
	}
	return nil, err
}

// The bounds of key_rotation_period. A rotation takes an hour and a half at least, and
// reseals every record of the tenant.
const (
	shortestKeyAge = 24 * time.Hour
	longestKeyAge  = 10 * 365 * 24 * time.Hour
)

// checkSettings checks settings as a whole, and writes a default as "".
func checkSettings(s *store.Settings) error {
	if s.UnboundCallers == "allow" {
		s.UnboundCallers = ""
	}
	switch period := s.KeyRotationPeriod; {
	case period != 0 && (period < shortestKeyAge || period > longestKeyAge):
		return oauth.Invalid("key_rotation_period", "must be 0, which turns it off, or from 24h to 87600h")
	case s.TenantMetadataKey != "" && !metadataKey.MatchString(s.TenantMetadataKey):
		return oauth.Invalid("tenant_metadata_key", "must be a metadata key as Vault has them: 1 to 128 letters, digits and any of = / + _ -")
	case s.UnboundCallers != "" && s.UnboundCallers != store.DenyUnbound:
		return oauth.Invalid("unbound_callers", "must be allow or deny")
	case s.UnboundCallers == store.DenyUnbound && s.TenantMetadataKey == "":
		return oauth.Invalid("unbound_callers", "deny needs tenant_metadata_key: without it no caller is bound, and every one would be refused")
	}
	return nil
}
