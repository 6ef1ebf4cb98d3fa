// Package session stands in for the AWS SDK's.
package session

import "github.com/aws/aws-sdk-go/aws/credentials"

// Session is what [NewSession] would return.
type Session struct{}

// NewSession returns an error. The auto-auth method aws, type ec2, calls it first.
func NewSession() (*Session, error) { return nil, credentials.Err }
