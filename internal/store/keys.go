package store

import (
	"fmt"
	"strconv"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

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
	duePrefix           = "due/"
	watermarkKey        = "watermark"
	providerPrefix      = "provider/"
	eventPrefix         = "event/"
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

func dueDir(minute int64) string { return duePrefix + tenDigits(minute) + "/" }

// tenDigits is n with ten digits, so that names sort as the numbers do. A sweep that has months to make up for asks for hundreds of
// thousands of them.
func tenDigits(n int64) string {
	s := strconv.FormatInt(n, 10)
	if n < 0 || len(s) >= 10 {
		return fmt.Sprintf("%010d", n)
	}
	return "0000000000"[len(s):] + s
}
