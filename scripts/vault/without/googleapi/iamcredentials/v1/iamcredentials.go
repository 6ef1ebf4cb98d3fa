// Package iamcredentials stands in for the client of Google's IAM, with which the auto-auth method gcp signs.
package iamcredentials

import (
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

var errIAM = without.Error("auto-auth by gcp, type iam,")

// CloudPlatformScope is the scope of all of Google Cloud.
const CloudPlatformScope = "https://www.googleapis.com/auth/cloud-platform"

// Service has no connection to Google.
type Service struct {
	Projects struct{ ServiceAccounts ServiceAccounts }
}

// New returns an error.
func New(*http.Client) (*Service, error) { return nil, errIAM }

// ServiceAccounts has no connection to Google.
type ServiceAccounts struct{}

// SignJwt returns a call that returns an error.
func (ServiceAccounts) SignJwt(string, *SignJwtRequest) SignJwtCall { return SignJwtCall{} }

// SignJwtRequest is what is to be signed.
type SignJwtRequest struct{ Payload string }

// SignJwtCall signs.
type SignJwtCall struct{}

// Do returns an error.
func (SignJwtCall) Do() (*SignJwtResponse, error) { return nil, errIAM }

// SignJwtResponse is what was signed.
type SignJwtResponse struct{ SignedJwt string }
