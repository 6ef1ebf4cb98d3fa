package backend

import (
	"context"
	"time"

	"github.com/hashicorp/go-hclog"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
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

// callers tell which tenant a caller is bound to.
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
	// Of an entity that is gone nobody knows what its metadata said. Vault itself
	// refuses its tokens.
	b := bond{key: key, bound: entity == nil, at: now}
	if entity != nil {
		b.tenant, b.bound = entity.Metadata[key]
	}
	c.bonds.Add(entityID, b)
	return b, nil
}

// admit refuses a caller who is bound to a tenant whatever is not about that
// tenant alone. All requests pass it before anything of them is looked at, so
// that no path can forget it, and one that is added is closed to those who are
// bound until [paths.TenantOf] knows it.
//
// It lets pass what Vault serves to anybody, and help, which reads nothing.
// Callers without an entity, root among them, are bound by policy alone: so
// settings that do not open shut out everybody else, and can be written anew.
func (b *Backend) admit(ctx context.Context, req *logical.Request) error {
	if req.EntityID == "" || req.Unauthenticated || req.Operation == logical.HelpOperation {
		return nil
	}
	settings, err := b.store.Settings(ctx)
	if err != nil || settings.TenantMetadataKey == "" {
		return err
	}
	bond, err := b.callers.bond(req.EntityID, settings.TenantMetadataKey)
	if err != nil || !bond.bound {
		return err
	}
	if id := paths.TenantOf(req.Path); id != "" && string(id) == bond.tenant {
		return nil
	}
	b.Logger().Debug("refused: the caller is bound to another tenant", "entity", req.EntityID, "operation", req.Operation, "path", req.Path)
	return logical.ErrPermissionDenied
}
