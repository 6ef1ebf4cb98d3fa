// Package tools stands in for what signs a login of the auto-auth method alicloud.
package tools

import "github.com/aliyun/alibaba-cloud-sdk-go/sdk/auth"

// GenerateLoginData returns an error.
func GenerateLoginData(role string, _ auth.Credential, region string) (map[string]any, error) {
	return nil, auth.Err
}
