// Package okta stands in for Okta's SDK, which Vault uses for login MFA.
package okta

import (
	"context"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

var errOkta = without.Error("login MFA by Okta")

// Configuration is what [NewConfiguration] would return.
type Configuration struct{ Context context.Context }

// A ConfigSetter changes nothing.
type ConfigSetter struct{}

// WithToken returns an option that changes nothing.
func WithToken(string) ConfigSetter { return ConfigSetter{} }

// WithOrgUrl returns an option that changes nothing.
func WithOrgUrl(string) ConfigSetter { return ConfigSetter{} }

// WithCache returns an option that changes nothing.
func WithCache(bool) ConfigSetter { return ConfigSetter{} }

// NewConfiguration returns an error. Vault calls it first when a login needs Okta.
func NewConfiguration(...ConfigSetter) (*Configuration, error) { return nil, errOkta }

// APIClient has no connection to Okta.
type APIClient struct {
	UserAPI       UserAPI
	UserFactorAPI UserFactorAPI
	config        *Configuration
}

// NewAPIClient returns a client whose every call returns an error.
func NewAPIClient(c *Configuration) *APIClient { return &APIClient{config: c} }

// GetConfig returns the configuration of the client.
func (c *APIClient) GetConfig() *Configuration { return c.config }

// A Call is a request that Execute would send.
type Call[T any] struct{}

// Filter returns the call.
func (c Call[T]) Filter(string) Call[T] { return c }

// Execute returns an error.
func (Call[T]) Execute() (result T, _ *Response, err error) { return result, nil, errOkta }

// Response is what Okta would return.
type Response struct{}

// UserAPI has no connection to Okta.
type UserAPI struct{}

// ListUsers returns a call that returns an error.
func (UserAPI) ListUsers(context.Context) Call[[]User] { return Call[[]User]{} }

// UserFactorAPI has no connection to Okta.
type UserFactorAPI struct{}

// ListFactors returns a call that returns an error.
func (UserFactorAPI) ListFactors(context.Context, string) Call[[]Factor] { return Call[[]Factor]{} }

// VerifyFactor returns a call that returns an error.
func (UserFactorAPI) VerifyFactor(_ context.Context, user, factor string) Call[*Verification] {
	return Call[*Verification]{}
}

// GetFactorTransactionStatus returns a call that returns an error.
func (UserFactorAPI) GetFactorTransactionStatus(_ context.Context, user, factor, transaction string) Call[*Status] {
	return Call[*Status]{}
}

// User is a user of Okta.
type User struct{}

// GetId returns nothing.
func (User) GetId() string { return "" }

// Factor is a factor of a user.
type Factor struct{ UserFactorPush *UserFactorPush }

// UserFactorPush is a factor that Okta pushes to a device.
type UserFactorPush struct{}

// GetId returns nothing.
func (*UserFactorPush) GetId() string { return "" }

// Verification is the result of VerifyFactor.
type Verification struct{ Links any }

// GetFactorResult returns nothing.
func (*Verification) GetFactorResult() string { return "" }

// Status is the result of GetFactorTransactionStatus.
type Status struct {
	UserFactorPushTransaction         *struct{}
	UserFactorPushTransactionWaiting  *struct{}
	UserFactorPushTransactionRejected *struct{}
	UserFactorPushTransactionTimeout  *struct{}
}
