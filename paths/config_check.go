package paths

import (
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// maxAppName is how long the application's name may be, in characters.
const maxAppName = 64

// maxURIs limits the size of the record.
const maxURIs = 100

// checkConfig returns an error if the configuration cannot be stored.
func checkConfig(p provider.Provider, c store.Config) error {
	for field, value := range map[string]string{"client_id": c.ClientID, "client_secret": c.ClientSecret.Reveal(), "client_token": c.ClientToken.Reveal(),
		"installation_config_id": c.InstallationConfig, "user_config_id": c.UserConfig,
	} {
		if value == "" && (field == "client_id" || field == "client_secret") {
			return oauth.Invalid(field, "is required")
		}
		if len(value) > 256 || strings.ContainsFunc(value, func(r rune) bool { return r <= ' ' || r > unicode.MaxASCII }) {
			return oauth.Invalid(field, "must be 1 to 256 visible ASCII characters")
		}
	}
	if utf8.RuneCountInString(c.AppName) > maxAppName || !utf8.ValidString(c.AppName) || strings.ContainsFunc(c.AppName, oauth.IsControl) {
		return oauth.Invalid("app_name", "must be up to %d characters of any script, without control characters and changes of direction", maxAppName)
	}
	if len(c.RedirectURIs) == 0 {
		return oauth.Invalid("redirect_uris", "is required: one at least, exactly as registered with the provider")
	}
	for field, uris := range map[string][]string{"redirect_uris": c.RedirectURIs, "return_urls": c.ReturnURLs} {
		if len(uris) > maxURIs {
			return oauth.Invalid(field, "must be %d URLs at the most", maxURIs)
		}
		for _, uri := range uris {
			if err := checkURL(field, uri); err != nil {
				return err
			}
		}
	}
	for field, base := range map[string]string{"dialog_url": c.AuthorizationBase, "graph_url": c.APIBase, "public_url": c.PublicURL} {
		if base == "" {
			continue
		}
		if err := checkURL(field, base); err != nil {
			return err
		}
		if strings.HasSuffix(base, "/") || strings.Contains(base, "?") {
			return oauth.Invalid(field, "must have no query and no slash at its end")
		}
	}
	for field, scopes := range map[string][]string{"installation_scopes": c.InstallationScopes, "user_scopes": c.UserScopes} {
		if err := flow.CheckScopes(p, field, scopes); err != nil {
			return err
		}
	}
	return checkChoices(c)
}

func checkChoices(c store.Config) error {
	switch {
	case c.PKCE != "" && c.PKCE != flow.PKCEAuto && c.PKCE != flow.PKCEAlways && c.PKCE != flow.PKCENever:
		return oauth.Invalid("pkce", "must be auto, always or never")
	case c.Completion != "" && c.Completion != flow.Confirm && c.Completion != flow.Callback:
		return oauth.Invalid("completion", "must be confirm or callback")
	}
	return nil
}

// checkURL accepts a URL to which a browser may take a code: an absolute https URL, or http
// on this machine's loopback. It refuses any text that two parsers could read as different
// hosts (RFC 9700, section 4.1).
func checkURL(field, s string) error {
	if len(s) > 2048 || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '\\' || r == '"' || r == '<' || r == '>' }) {
		return oauth.Invalid(field, "must be a URL of at most 2048 visible ASCII characters without backslash, quote or angle brackets")
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return oauth.Invalid(field, "must be an absolute URL")
	case !hostName.MatchString(u.Hostname()) && net.ParseIP(u.Hostname()) == nil:
		// A host with escapes, for example: only browsers take an ideographic full stop
		// for a dot.
		return oauth.Invalid(field, "must name its host in letters, digits, dots, hyphens and underscores, or as an IP address")
	case !properPort(u):
		return oauth.Invalid(field, "must have no port, or one from 1 to 65535")
	case u.User != nil:
		return oauth.Invalid(field, "must have no user in it")
	case strings.Contains(s, "#"):
		return oauth.Invalid(field, "must have no fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && loopback(u.Hostname()):
		return nil
	}
	return oauth.Invalid(field, "must be https, or http on a loopback host")
}

var hostName = regexp.MustCompile(`^([A-Za-z0-9_-]+\.)*[A-Za-z0-9_-]+$`)

func properPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// publicURL returns the mount's URL for browsers: the configured one, or the beginning of a
// redirect URI that leads to the engine's own callback, or "".
func publicURL(name string, c store.Config) string {
	if c.PublicURL != "" {
		return c.PublicURL
	}
	for _, uri := range c.RedirectURIs {
		if mount, ok := strings.CutSuffix(uri, "/callback/"+name); ok {
			return mount
		}
	}
	return ""
}
