// Package cf stands in for what the auto-auth method cf uses.
package cf

// Environment variables of an instance in Cloud Foundry.
const (
	EnvVarInstanceCertificate = "CF_INSTANCE_CERT"
	EnvVarInstanceKey         = "CF_INSTANCE_KEY"
)
