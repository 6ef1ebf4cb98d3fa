package paths

import (
	"slices"

	"github.com/hashicorp/vault/sdk/framework"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
)

// The groups in which a form shows the fields of a configuration.
const (
	clientGroup  = "Client"
	browserGroup = "Browser"
	scopesGroup  = "Permissions"
	sessionGroup = "Sessions"
	checksGroup  = "Checks"
	apiGroup     = "Provider API"
)

var configFields = map[string]*framework.FieldSchema{
	"client_id":              {Type: framework.TypeString, DisplayAttrs: grouped(clientGroup), Description: "The app id. Changing it while credentials exist needs force=true."},
	"client_secret":          {Type: framework.TypeString, DisplayAttrs: secret(clientGroup), Description: "The app secret. It is never read back."},
	"client_secret_overlap":  {Type: framework.TypeDurationSecond, DisplayAttrs: grouped(clientGroup), Description: "How long a replaced secret is still tried where the new one is refused. Default 24h; with 0 it is not tried."},
	"client_token":           {Type: framework.TypeString, DisplayAttrs: secret(clientGroup), Description: "Facebook's client token, for device login. It is never read back."},
	"enabled":                {Type: framework.TypeBool, DisplayAttrs: grouped(clientGroup), Description: "false: no new sessions; credentials are still served and refreshed. Default true."},
	"app_name":               {Type: framework.TypeString, DisplayAttrs: grouped(browserGroup), Description: "The name by which people know the application, up to 64 characters. The callback page shows it. Default: empty."},
	"redirect_uris":          {Type: framework.TypeCommaStringSlice, DisplayAttrs: grouped(browserGroup), Description: "The redirect URIs, exactly as registered with the provider; the first is the default."},
	"public_url":             {Type: framework.TypeString, DisplayAttrs: grouped(browserGroup), Description: "The mount as browsers and the provider reach it. Default: the beginning of a redirect URI that ends in /callback/<provider>."},
	"return_urls":            {Type: framework.TypeCommaStringSlice, DisplayAttrs: grouped(browserGroup), Description: "The application URLs that a session may return the browser to, matched to the letter."},
	"installation_scopes":    {Type: framework.TypeCommaStringSlice, DisplayAttrs: grouped(scopesGroup), Description: "The scopes asked for at installation."},
	"user_scopes":            {Type: framework.TypeCommaStringSlice, DisplayAttrs: grouped(scopesGroup), Description: "The scopes asked of users."},
	"installation_config_id": {Type: framework.TypeString, DisplayAttrs: grouped(scopesGroup), Description: "A Facebook Login for Business configuration, used for installations instead of scopes. Scopes that are set beside it are not sent: they are what is expected, and make missing_scopes."},
	"user_config_id":         {Type: framework.TypeString, DisplayAttrs: grouped(scopesGroup), Description: "A Facebook Login for Business configuration, used for users instead of scopes. Scopes that are set beside it are not sent: they are what is expected, and make missing_scopes."},
	"require_installation":   {Type: framework.TypeBool, DisplayAttrs: grouped(sessionGroup), Description: "Whether a user may connect only where the tenant has an installation. Default true."},
	"completion":             {Type: framework.TypeString, DisplayAttrs: grouped(sessionGroup), AllowedValues: oneOf(flow.Confirm, flow.Callback), Description: "confirm: the callback parks the code until the application completes the session. callback: the callback redeems it by itself. Default confirm."},
	"session_ttl":            {Type: framework.TypeDurationSecond, DisplayAttrs: grouped(sessionGroup), Description: "The life of an unfinished session, at most 1h. Default 10m."},
	"pkce":                   {Type: framework.TypeString, DisplayAttrs: grouped(sessionGroup), AllowedValues: oneOf(flow.PKCEAuto, flow.PKCEAlways, flow.PKCENever), Description: "auto, always or never. auto sends PKCE where the provider is known to bind it. Default auto."},
	"check_interval":         {Type: framework.TypeDurationSecond, DisplayAttrs: grouped(checksGroup), Description: "How often a live token is checked with the provider; 0 turns checks off. Default 24h."},
	"graph_version":          {Type: framework.TypeString, DisplayAttrs: grouped(apiGroup), Description: "The version of the provider's API, such as v27.0."},
	"dialog_url":             {Type: framework.TypeString, DisplayAttrs: grouped(apiGroup), Description: "Another base for the provider's login dialog: a test double or an egress proxy."},
	"graph_url":              {Type: framework.TypeString, DisplayAttrs: grouped(apiGroup), Description: "Another base for the provider's API."},
	"force":                  {Type: framework.TypeBool, Query: true, Description: "Change client_id, or delete the configuration, although credentials use it."},
}

// resettable are the fields that "" resets although they are no strings.
var resettable = map[string]bool{"require_installation": true, "session_ttl": true, "check_interval": true, "enabled": true, "client_secret_overlap": true, "key_rotation_period": true}

// neverRead are the fields of a write that no read answers.
var neverRead = []string{"client_secret", "client_token", "force"}

// configAnswer has the fields of a write, as they were resolved.
var configAnswer = func() answer {
	whole := answer{
		"former_secret_until": {Type: framework.TypeTime, Description: "Until when a replaced client_secret is still tried."},
	}
	for name, field := range configFields {
		if slices.Contains(neverRead, name) {
			continue
		}
		read := *field
		read.Required, read.DisplayAttrs = true, nil
		switch read.Type {
		case framework.TypeDurationSecond:
			read.Type = framework.TypeInt64 // whole seconds
		case framework.TypeCommaStringSlice:
			read.Type = framework.TypeStringSlice
		}
		whole[name] = &read
	}
	return whole
}()

var verifyAnswer = answer{
	"ok":       {Type: framework.TypeBool, Required: true, Description: "Whether nothing is wrong."},
	"findings": {Type: framework.TypeSlice, Required: true, Description: "What was looked at: check, ok and detail of each."},
}
