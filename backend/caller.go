package backend

import (
	"context"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/paths"
)

const (
	// bondKept is for how long it is remembered what Vault said of an entity. For
	// a plugin each question is a call back to Vault. So long, after metadata was
	// changed, a caller is bound as before: to the tenant before, or to none.
	// Templated policies, which this stands behind, follow at once.
	bondKept = 2 * time.Second
	// bondsKept bounds of how many entities that is.
	bondsKept = 4096
)

// A bond says what an entity's metadata has under key when somebody asked.
type bond struct {
	key, tenant string
	bound       bool
	at          time.Time
}

// callers finds which tenant a caller is bound to.
type callers struct {
	system logical.SystemView
	now    func() time.Time
	log    hclog.Logger
	bonds  *lru.Cache[string, bond]
}

func newCallers(system logical.SystemView, now func() time.Time, log hclog.Logger) *callers {
	bonds, err := lru.New[string, bond](bondsKept)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &callers{system, now, log, bonds}
}

// bond returns what the entity's metadata has under key.
func (c *callers) bond(entityID, key string) (bond, error) {
	now := c.now()
	if b, ok := c.bonds.Get(entityID); ok && b.key == key {
		if age := now.Sub(b.at); 0 <= age && age < bondKept {
			return b, nil
		}
	}
	entity, err := c.system.EntityInfo(entityID)
	if err != nil {
		c.log.Warn("Vault did not tell of an entity", "entity", entityID, "error", err)
		return bond{}, oauth.Errorf(oauth.Unavailable, "Vault did not tell which tenant the caller is bound to; nothing was changed, try again")
	}
	// The metadata of a deleted entity is not known any more. Vault itself
	// refuses its tokens.
	b := bond{key: key, bound: entity == nil, at: now}
	if entity != nil {
		b.tenant, b.bound = entity.Metadata[key]
	}
	c.bonds.Add(entityID, b)
	return b, nil
}

// admit refuses requests outside the caller's tenant with 403. All requests pass
// it before anything else happens, so that no path can forget it, and a new path
// is closed to bound callers until [paths.TenantOf] knows it.
//
// A caller is bound if its entity's metadata has tenant_metadata_key. With
// unbound_callers=deny all other callers are refused whatever belongs to a
// tenant, accounts/ included, where a delete reaches every tenant: a token without
// an entity, such as an orphan, escapes no binding. Paths
// of the mount itself stay with policy, so that the settings can be written anew
// even where they do not open.
//
// Unauthenticated paths and help are admitted.
func (b *Backend) admit(ctx context.Context, req *logical.Request) error {
	if req.Unauthenticated || req.Operation == logical.HelpOperation {
		return nil
	}
	owner, several := paths.TenantOf(req.Path), strings.HasPrefix(req.Path, "accounts/")
	if req.EntityID == "" && owner == "" && !several {
		return nil
	}
	settings, err := b.store.Mount.Settings(ctx)
	if err != nil || settings.TenantMetadataKey == "" {
		return err
	}
	var caller bond
	if req.EntityID != "" {
		if caller, err = b.callers.bond(req.EntityID, settings.TenantMetadataKey); err != nil {
			return err
		}
	}
	switch {
	case caller.bound && owner != "" && string(owner) == caller.tenant:
		return nil
	case !caller.bound && (owner == "" && !several || settings.UnboundCallers != store.DenyUnbound):
		return nil
	}
	b.Logger().Debug("refused: the path is outside the caller's tenant", "entity", req.EntityID, "operation", req.Operation, "path", req.Path)
	return logical.ErrPermissionDenied
}
