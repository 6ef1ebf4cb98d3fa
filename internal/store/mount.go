package store

import (
	"context"
	"errors"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/cache"
)

// Mount reads and writes what belongs to no tenant: the providers' configurations and
// outages, the settings, and people's requests to be deleted.
type Mount struct {
	*records
	keyrings  *keyrings
	fallbacks map[string]Config
	configs   *cache.Records[Config]
	settings  *cache.Records[Settings]
}

func newMount(r *records, k *keyrings, fallbacks map[string]Config) *Mount {
	return &Mount{
		records: r, keyrings: k, fallbacks: fallbacks,
		configs:  cache.NewRecords[Config](r.storage, "config", configsCached, false),
		settings: cache.NewRecords[Settings](r.storage, "settings", 1, false),
	}
}

// Config returns the provider's configuration with every default filled in.
// ErrNotFound is returned if there is none.
func (m *Mount) Config(ctx context.Context, provider string) (Config, error) {
	c, err := m.ConfigAsWritten(ctx, provider)
	c = c.WithoutOldSecret(m.now())
	c.accepted = func(ctx context.Context, secret oauth.Secret) { m.acceptSecret(ctx, provider, secret) }
	return m.Resolve(provider, c), err
}

// Resolve returns c, a configuration of the provider as written, with every
// default filled in.
func (m *Mount) Resolve(provider string, c Config) Config { return c.Resolve(m.fallbacks[provider]) }

// acceptSecret remembers that the provider accepted secret. If that cannot be
// stored, the next call finds out again.
func (m *Mount) acceptSecret(ctx context.Context, provider string, secret oauth.Secret) {
	_ = m.UpdateConfig(context.WithoutCancel(ctx), provider, func(c Config) (Config, error) {
		if secret != c.ClientSecret && secret != c.FormerSecret {
			return c, ErrNotFound // it was replaced meanwhile
		}
		c.FormerAccepted = secret == c.FormerSecret
		return c, nil
	})
}

// ConfigAsWritten is like [Mount.Config], without the defaults.
func (m *Mount) ConfigAsWritten(ctx context.Context, provider string) (Config, error) {
	if c, ok := m.configs.Cached(configPrefix + provider); ok {
		return c, nil
	}
	return m.storedConfig(ctx, configPrefix+provider)
}

// storedConfig is ConfigAsWritten for a read that decides a write: it bypasses the cache.
func (m *Mount) storedConfig(ctx context.Context, key string) (Config, error) {
	return m.configs.Load(ctx, key, m.configOpener(ctx, key))
}

func (m *Mount) configOpener(ctx context.Context, key string) func([]byte) (Config, error) {
	return func(b []byte) (Config, error) {
		if b == nil {
			return Config{}, ErrNotFound
		}
		var r configAtRest
		if err := m.keyrings.openMount(ctx, key, b, &r); err != nil {
			return Config{}, err
		}
		r.Config.ClientSecret, r.Config.FormerSecret = oauth.NewSecret(r.ClientSecret), oauth.NewSecret(r.FormerSecret)
		r.Config.ClientToken = oauth.NewSecret(r.ClientToken)
		return r.Config, nil
	}
}

// UpdateConfig stores what change makes of the provider's configuration as
// written, the zero Config if there is none. No other change comes between. An
// error of change is returned, and nothing is stored.
func (m *Mount) UpdateConfig(ctx context.Context, provider string, change func(Config) (Config, error)) error {
	key := configPrefix + provider
	defer m.locks.lock(key)()
	c, err := m.storedConfig(ctx, key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return err
	}
	if c, err = change(c); err != nil {
		return err
	}
	sealed, err := m.keyrings.sealedMount(ctx, key, configAtRest{c, c.ClientSecret.Reveal(), c.FormerSecret.Reveal(), c.ClientToken.Reveal()})
	if err != nil {
		return err
	}
	return m.configs.Save(ctx, &logical.StorageEntry{Key: key, Value: sealed}, m.configOpener(ctx, key))
}

// DeleteConfig deletes the provider's configuration.
func (m *Mount) DeleteConfig(ctx context.Context, provider string) error {
	key := configPrefix + provider
	defer m.locks.lock(key)()
	return m.storage.Delete(ctx, key)
}

// Configs returns the names of the configured providers, sorted.
func (m *Mount) Configs(ctx context.Context) ([]string, error) {
	return m.storage.List(ctx, configPrefix)
}
