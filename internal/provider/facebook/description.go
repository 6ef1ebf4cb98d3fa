package facebook

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// description is what is known of Facebook without a call.
type description struct{ *graph }

// DisplayName implements [provider.Provider].
func (description) DisplayName() string { return "Facebook" }

// Defaults implements [provider.Provider].
func (description) Defaults() provider.Defaults {
	return provider.Defaults{
		InstallationScopes: []string{"pages_show_list", "pages_read_engagement", "pages_manage_posts"},
		UserScopes:         []string{"public_profile", "email"},
		APIVersion:         newest,
		AuthorizationBase:  "https://www.facebook.com",
		APIBase:            "https://graph.facebook.com",
		SDK:                "FB.login, Embedded Signup",
		// Codes are believed to live 10 minutes; give up before they do.
		CodeLife: 8 * time.Minute,
	}
}

// BindsPKCE implements [provider.Provider]: Facebook documents PKCE for
// OpenID Connect only, and is known to drop the challenge of other requests
// and then to refuse the verifier.
func (description) BindsPKCE(scopes []string) bool { return slices.Contains(scopes, "openid") }

// Scopes implements [provider.Provider].
func (description) Scopes() []string { return permissions }

// CheckScope implements [provider.Provider]: Facebook separates scopes by commas, so
// one cannot hold any.
func (description) CheckScope(scope string) (rule string) {
	if strings.Contains(scope, ",") {
		return "must be scopes without comma"
	}
	return ""
}

var versionForm = regexp.MustCompile(`^v[1-9][0-9]{0,2}\.[0-9]{1,2}$`)

// CheckClient implements [provider.Provider].
func (description) CheckClient(c oauth.Client) error {
	switch {
	case c.APIVersion != "" && !versionForm.MatchString(c.APIVersion):
		return oauth.Invalid("graph_version", "must be a v and two numbers, such as v27.0")
	case len(c.ID) > maxID || strings.Trim(c.ID, "0123456789") != "":
		return oauth.Invalid("client_id", "must be decimal digits: copy the App ID from App settings, Basic, in Meta's App Dashboard; the app's name and its secret are something else")
	}
	return nil
}

// Versions implements [provider.Provider].
func (p description) Versions() []string {
	served := slices.Clone(endless)
	for version := range lastDays {
		if !ended(version, p.now()) {
			served = append(served, version)
		}
	}
	slices.Sort(served) // all of two digits
	return served
}
