// Package awsutil stands in for what finds credentials of AWS for the auto-auth method aws.
package awsutil

import (
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/hashicorp/go-hclog"
)

// DefaultRegion is the region of a configuration that has none.
const DefaultRegion = "us-east-1"

// RetrieveCreds returns an error. The auto-auth method aws, type iam, calls it first.
func RetrieveCreds(accessKey, secretKey, sessionToken string, _ hclog.Logger) (*credentials.Credentials, error) {
	return nil, credentials.Err
}

// GenerateLoginData returns an error.
func GenerateLoginData(_ *credentials.Credentials, header, region string, _ hclog.Logger) (map[string]any, error) {
	return nil, credentials.Err
}
