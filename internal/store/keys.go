package store

import "github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"

const (
	configPrefix        = "config/"
	mountKeyringKey     = "keyring/mount"
	accountKeyKey       = "keyring/account"
	tenantKeyringPrefix = "keyring/tenant/"
	tenantPrefix        = "tenant/"
	newTenantPrefix     = "new-tenant/"
	credentialPrefix    = "cred/"
	sessionPrefix       = "session/"
	openPrefix          = "open/"
	codePrefix          = "code/"
	sessionCodePrefix   = "session-code/"
	accountPrefix       = "account/"
	statusPrefix        = "status/"
	providerPrefix      = "provider/"
	settingsKey         = "settings"
	dataDeletionPrefix  = "deletion/"
)

// SealWrapped are the storage prefixes that Vault should wrap with its seal,
// where it can: the keysets, under which all else is sealed.
var SealWrapped = []string{"keyring/", configPrefix}

func tenantKeyringKey(id tenant.ID) string { return tenantKeyringPrefix + string(id) }
func tenantKey(id tenant.ID) string        { return tenantPrefix + string(id) }
func newTenantKey(id tenant.ID) string     { return newTenantPrefix + string(id) }
func credentialKey(r tenant.Ref) string    { return credentialPrefix + r.String() }
func sessionKey(id string) string          { return sessionPrefix + id }
func codeKey(name string) string           { return codePrefix + name }
func sessionCodeDir(id string) string      { return sessionCodePrefix + id + "/" }
func dataDeletionKey(id string) string     { return dataDeletionPrefix + id }

func statusKey(status Status, r tenant.Ref) string {
	return statusPrefix + string(status) + "/" + r.Flat()
}

func accountDir(provider, name string) string { return accountPrefix + provider + "/" + name + "/" }
