package store

import (
	"errors"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// StaticType says what a static credential is, in the API's words.
type StaticType string

// The types of static credentials.
const (
	APIKey        StaticType = "api_key"
	WebhookSecret StaticType = "webhook_secret"
)

// A Static is a credential that somebody handed out once and for all. Nobody
// can be asked about it, so it has no account and nothing of it is ever due:
// its record is all there is of it, and no index leads there.
type Static struct {
	Type  StaticType   `json:"type"`
	Value oauth.Secret `json:"-"`
}

var errKind = errors.New("it is another kind of credential than its ref names")

// openStatic gives the credential at ref back the value that it does not
// marshal.
func (r *credentialAtRest) openStatic(ref tenant.Ref) error {
	if (ref.Kind() == tenant.Static) != (r.Static != nil) {
		return corrupt(credentialKey(ref), errKind)
	}
	if r.Static != nil {
		r.Static.Value = oauth.NewSecret(r.StaticValue)
	}
	return nil
}

// staticValue returns what a static credential keeps secret, in the clear.
func (c *Credential) staticValue() string {
	if c.Static == nil {
		return ""
	}
	return c.Static.Value.Reveal()
}
