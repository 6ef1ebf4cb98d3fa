// Package auth stands in for the credentials of an instance in Oracle's cloud.
package auth

import "github.com/oracle/oci-go-sdk/common"

// InstancePrincipalConfigurationProvider returns an error.
func InstancePrincipalConfigurationProvider() (common.ConfigurationProvider, error) {
	return nil, common.Err
}
