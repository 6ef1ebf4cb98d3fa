package flow

import (
	"context"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// maxStatic is the length of the longest static credential, in bytes: enough for a service
// account's JSON file or a chain of certificates. JSON writes a byte as six at worst, which
// still fits a record of any of Vault's storages, and ten thousand of them fit in memory.
const maxStatic = 16 << 10

// A StaticImport is a request to store an API key or a webhook secret.
type StaticImport struct {
	Ref   tenant.Ref
	Type  store.StaticType
	Value oauth.Secret
	By    store.Caller
}

// ImportStatic stores an API key or a webhook secret, to the byte, in place of the one that
// is there, if any. It needs no provider and no installation of the tenant: such a key may
// be necessary for an installation.
func (f *Flow) ImportStatic(ctx context.Context, i StaticImport) (store.Credential, error) {
	if err := i.check(); err != nil {
		return store.Credential{}, err
	}
	return f.Store.Credentials.Update(ctx, i.Ref, func(old *store.Credential) (store.Credential, error) {
		if err := admission.Connect(ctx, f.Store, i.Ref, false); err != nil {
			return store.Credential{}, err
		}
		return newStatic(i, old, f.Now().UTC()), nil
	})
}

func (i StaticImport) check() error {
	if i.Type != store.APIKey && i.Type != store.WebhookSecret {
		return oauth.Invalid("credential_type", "must be %s or %s", store.APIKey, store.WebhookSecret)
	}
	value := i.Value.Reveal()
	switch {
	case value == "" || len(value) > maxStatic:
		return oauth.Invalid("credential", "is required: 1 to %d bytes", maxStatic)
	case strings.ContainsRune(value, 0), strings.ContainsRune(value, utf8.RuneError):
		// A JSON decoder puts U+FFFD in place of bytes that are not text. Stored so, the
		// credential would fail when it is used.
		return oauth.Invalid("credential", "must be UTF-8 text without NUL; bytes that are no text were lost on the way here: encode them, in base64 for instance")
	}
	return nil
}

func newStatic(i StaticImport, old *store.Credential, now time.Time) store.Credential {
	c := store.Credential{
		Birth:       random().Reveal(),
		Generation:  1,
		Status:      store.Active,
		Static:      &store.Static{Type: i.Type, Value: i.Value},
		ConnectedAt: now,
		ConnectedBy: i.By,
	}
	if old != nil {
		c.Generation, c.History = old.Generation+1, old.History
	}
	c.Record(now, "imported", "")
	return c
}
