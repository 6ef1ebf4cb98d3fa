package store

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

// Settings are those of the mount. They hold no secret and are not sealed.
// Where none were written they are the zero value.
type Settings struct {
	Version int `json:"version"`
	// TenantMetadataKey names the metadata of a caller's entity that says which
	// tenant the caller is bound to. "": no caller is bound.
	TenantMetadataKey string `json:"tenant_metadata_key,omitempty"`
	// UnboundCallers says what callers without that metadata may do. "": what their
	// policy allows.
	UnboundCallers Unbound `json:"unbound_callers,omitempty"`
	// KeyRotationPeriod is how old a tenant's key becomes before it is rotated by
	// itself. Zero: keys are rotated by hand alone.
	KeyRotationPeriod time.Duration `json:"key_rotation_period,omitempty"`
}

// Unbound says what callers may do that are bound to no tenant.
type Unbound string

// DenyUnbound refuses them whatever belongs to a tenant.
const DenyUnbound Unbound = "deny"

// Settings returns those of the mount. Each request reads them, so that there are none
// is cached too.
func (m *Mount) Settings(ctx context.Context) (Settings, error) {
	if settings, ok := m.settings.Cached(settingsKey); ok {
		return settings, nil
	}
	return m.storedSettings(ctx)
}

// storedSettings is Settings for a read that decides a write: it bypasses the cache.
func (m *Mount) storedSettings(ctx context.Context) (Settings, error) {
	return m.settings.Load(ctx, settingsKey, openSettings)
}

func openSettings(b []byte) (settings Settings, err error) {
	if b == nil {
		return Settings{}, nil
	}
	if err := json.Unmarshal(b, &settings); err != nil {
		return Settings{}, corrupt(settingsKey, err)
	}
	if settings.Version != formatVersion {
		return Settings{}, corrupt(settingsKey, errVersion)
	}
	return settings, nil
}

// UpdateSettings stores what change makes of the settings. No other change
// comes between. An error of change is returned, and nothing is stored. What
// does not open is replaced as if it had not been there.
func (m *Mount) UpdateSettings(ctx context.Context, change func(Settings) (Settings, error)) error {
	defer m.locks.lock(settingsKey)()
	settings, err := m.storedSettings(ctx)
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return err
	}
	if settings, err = change(settings); err != nil {
		return err
	}
	settings.Version = formatVersion
	b, err := json.Marshal(settings)
	if err != nil {
		return err
	}
	return m.settings.Save(ctx, &logical.StorageEntry{Key: settingsKey, Value: b}, openSettings)
}
