package paths

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/upkeep"
)

type configPaths struct {
	store     *store.Store
	breaker   *breaker.Breaker
	upkeep    *upkeep.Upkeep
	verifier  func(ctx context.Context, name string) ([]provider.Finding, error)
	providers []string
	now       func() time.Time
}

func config(s *store.Store, breaker *breaker.Breaker, upkeep *upkeep.Upkeep, verifier func(context.Context, string) ([]provider.Finding, error), providers []string, now func() time.Time) []*framework.Path {
	c := configPaths{s, breaker, upkeep, verifier, providers, now}
	return []*framework.Path{c.all(), c.one(), c.verification()}
}

func (c configPaths) all() *framework.Path {
	return &framework.Path{
		Pattern:      "config/?$",
		Fields:       fields(listFields),
		DisplayAttrs: on("providers"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ListOperation: local(c.list, "List the configured providers.",
				answers("The providers' short names.", namesAnswer)),
		},
		HelpSynopsis:    "The configured providers.",
		HelpDescription: "Each provider that has a configuration, by its short name.",
	}
}

func (c configPaths) one() *framework.Path {
	return &framework.Path{
		Pattern:      "config/" + providerSegment,
		Fields:       fields(configFields, "provider"),
		DisplayAttrs: on("provider-configuration"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(c.read, "Read the provider's configuration, without its secrets.",
				answers("The configuration.", configAnswer)),
			logical.UpdateOperation: forwarded(c.write, "Write some or all fields of the provider's configuration.", named("configure", "provider"),
				says("A write changes the fields it names; `\"\"` resets one to its default."),
				answersNothing("The configuration is stored."),
				warns("The configuration is stored; the warnings say what to look at.")),
			logical.DeleteOperation: forwarded(c.delete, "Delete the provider's configuration.",
				says("Deleting, or changing `client_id`, while credentials use it needs `force`."),
				answersNothing("The configuration is deleted.")),
		},
		HelpSynopsis: "The OAuth client that is registered with a provider.",
		HelpDescription: `A write changes only the fields that it names; "" or an empty list resets a field to its default. ` +
			"The whole is checked before any of it is stored. client_id, client_secret and redirect_uris are required.",
	}
}

func (c configPaths) verification() *framework.Path {
	return &framework.Path{
		Pattern:      "config/" + providerSegment + "/verify",
		Fields:       fields(nil, "provider"),
		DisplayAttrs: on("provider-configuration"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(c.verify, "Ask the provider whether the client is set up as it should be.", named("verify"),
				says("Answers `findings` of `check`, `ok`, `detail`."),
				answers("What was found.", verifyAnswer)),
		},
		HelpSynopsis: "Ask the provider whether the client is set up as it should be.",
		HelpDescription: "Answers findings, each with check, ok and detail: the client's secret (and the former one, during the overlap), the API version and " +
			"how long it lives, each redirect URI, and how far the clocks are apart. It changes nothing.",
	}
}

func (c configPaths) list(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	names, err := c.store.Mount.Configs(ctx)
	if err != nil {
		return nil, err
	}
	page, err := pageOf(d, names)
	if err != nil {
		return nil, err
	}
	return logical.ListResponse(page), nil
}

func (c configPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("provider").(string)
	if !slices.Contains(c.providers, name) {
		return nil, c.unknown(name)
	}
	config, err := c.store.Mount.Config(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, flow.NotConfigured(name)
	}
	if err != nil {
		return nil, err
	}
	view := map[string]any{
		"client_id":             config.ClientID,
		"client_secret_overlap": seconds(*config.ClientSecretOverlap),
		"redirect_uris":         append([]string{}, config.RedirectURIs...),
		"public_url":            publicURL(name, config),
		"return_urls":           append([]string{}, config.ReturnURLs...),
		"installation_scopes":   append([]string{}, config.InstallationScopes...),
		"user_scopes":           append([]string{}, config.UserScopes...),
		"graph_version":         config.APIVersion,
		"pkce":                  config.PKCE,
		"completion":            config.Completion,
		"require_installation":  *config.RequireInstallation,
		"session_ttl":           seconds(config.SessionTTL),
		"check_interval":        seconds(*config.CheckInterval),
		"enabled":               *config.Enabled,
		"dialog_url":            config.AuthorizationBase,
		"graph_url":             config.APIBase,
		"app_name":              config.AppName,
	}
	view["installation_config_id"], view["user_config_id"] = config.InstallationConfig, config.UserConfig
	setTime(view, "former_secret_until", config.FormerSecretUntil)
	return &logical.Response{Data: view}, nil
}

func (c configPaths) write(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("provider").(string)
	if !slices.Contains(c.providers, name) {
		return nil, c.unknown(name)
	}
	replan, newSecret := false, false
	p := c.breaker.Providers[name]
	err := c.store.Mount.UpdateConfig(ctx, name, func(old store.Config) (store.Config, error) {
		merged, err := mergeConfig(old, d)
		if err != nil {
			return store.Config{}, err
		}
		if err := checkConfig(p, merged); err != nil {
			return store.Config{}, err
		}
		if err := p.CheckClient(merged.Client()); err != nil {
			return store.Config{}, err
		}
		newSecret = merged.ClientSecret != old.ClientSecret
		merged = c.rotate(name, old, merged)
		// Also for the interval that is stored already: a former write may have stored it,
		// and then failed before it planned the checks.
		_, replan = d.Raw["check_interval"]
		replan = replan && old.ClientID != ""
		if old.ClientID == "" || old.ClientID == merged.ClientID || d.Get("force").(bool) {
			return merged, nil
		}
		return merged, c.refuseInUse(ctx, name, "client_id cannot be changed")
	})
	if err != nil {
		return nil, err
	}
	// The provider has refused the former configuration.
	c.breaker.Reset(ctx, name)
	if replan {
		if err := c.upkeep.PlanChecks(ctx); err != nil {
			return nil, err
		}
	}
	return advised(c.advice(name, p, d, newSecret)), nil
}

// advice returns the warnings of a successful write.
func (c configPaths) advice(name string, p provider.Provider, d *framework.FieldData, newSecret bool) (warnings []string) {
	for _, field := range []string{"installation_scopes", "user_scopes"} {
		if _, named := d.Raw[field]; named {
			warnings = append(warnings, scopeWarnings(p, name, field, d.Get(field).([]string))...)
		}
	}
	if newSecret {
		warnings = append(warnings, "config/"+name+"/verify has not been run since this client_secret was written: run it to see whether the provider accepts the secret")
	}
	return warnings
}

func (c configPaths) verify(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	findings, err := c.verifier(ctx, d.Get("provider").(string))
	if err != nil {
		return nil, err
	}
	views, ok := make([]map[string]any, 0, len(findings)), true
	for _, f := range findings {
		views = append(views, map[string]any{"check": f.Check, "ok": f.OK, "detail": f.Detail})
		ok = ok && (f.OK || f.Expected)
	}
	return &logical.Response{Data: map[string]any{"ok": ok, "findings": views}}, nil
}

// rotate returns merged with the secret that it replaces as the former one, if the client
// is still the same.
func (c configPaths) rotate(name string, old, merged store.Config) store.Config {
	secret := merged.ClientSecret
	overlap := *c.store.Mount.Resolve(name, merged).ClientSecretOverlap
	foreign := old.ClientID != "" && old.ClientID != merged.ClientID || old.SecretForeign
	if foreign {
		overlap = 0
	}
	merged.SecretForeign = foreign && old.ClientSecret == secret
	if end := c.now().Add(overlap).UTC(); end.Before(merged.FormerSecretUntil) {
		merged.FormerSecretUntil = end
	}
	if old.ClientSecret == secret {
		return merged.WithoutOldSecret(c.now())
	}
	merged.ClientSecret = old.ClientSecret
	return merged.ReplaceSecret(secret, c.now(), overlap)
}

func (c configPaths) delete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	name := d.Get("provider").(string)
	if !slices.Contains(c.providers, name) {
		return nil, c.unknown(name)
	}
	if _, err := c.store.Mount.ConfigAsWritten(ctx, name); errors.Is(err, store.ErrNotFound) {
		return nil, flow.NotConfigured(name)
	}
	if !d.Get("force").(bool) {
		if err := c.refuseInUse(ctx, name, "the configuration cannot be deleted"); err != nil {
			return nil, err
		}
	}
	return nil, c.store.Mount.DeleteConfig(ctx, name)
}

func (c configPaths) refuseInUse(ctx context.Context, name, what string) error {
	used, err := c.store.Credentials.InUse(ctx, name)
	if err != nil || !used {
		return err
	}
	return oauth.Errorf(oauth.InvalidRequest, "%s while credentials of %s exist; delete them first, or set force=true", what, name)
}

func (c configPaths) unknown(name string) error {
	return oauth.Errorf(oauth.NotFound, "there is no provider %q; this build knows %s", name, strings.Join(c.providers, ", "))
}

// mergeConfig returns old with the fields that the request names changed.
func mergeConfig(old store.Config, d *framework.FieldData) (store.Config, error) {
	c := old
	for name, into := range map[string]*string{
		"client_id": &c.ClientID, "installation_config_id": &c.InstallationConfig, "user_config_id": &c.UserConfig, "public_url": &c.PublicURL,
		"graph_version": &c.APIVersion, "pkce": &c.PKCE, "completion": &c.Completion,
		"dialog_url": &c.AuthorizationBase, "graph_url": &c.APIBase, "app_name": &c.AppName,
	} {
		if _, named := d.Raw[name]; named {
			*into = text(d, name)
		}
	}
	for name, into := range map[string]*oauth.Secret{"client_secret": &c.ClientSecret, "client_token": &c.ClientToken} {
		if _, named := d.Raw[name]; named {
			*into = oauth.NewSecret(text(d, name))
		}
	}
	for name, into := range map[string]*[]string{
		"redirect_uris": &c.RedirectURIs, "return_urls": &c.ReturnURLs,
		"installation_scopes": &c.InstallationScopes, "user_scopes": &c.UserScopes,
	} {
		if _, named := d.Raw[name]; named {
			*into = d.Get(name).([]string)
		}
	}
	for name, into := range map[string]**bool{"require_installation": &c.RequireInstallation, "enabled": &c.Enabled} {
		if raw, named := d.Raw[name]; named {
			value := d.Get(name).(bool)
			*into = &value
			if raw == "" {
				*into = nil
			}
		}
	}
	if raw, named := d.Raw["session_ttl"]; named {
		c.SessionTTL = duration(d, "session_ttl")
		if raw != "" && (c.SessionTTL < time.Second || c.SessionTTL > time.Hour) {
			return c, oauth.Invalid("session_ttl", "must be from 1s to 1h")
		}
	}
	for name, into := range map[string]**time.Duration{"check_interval": &c.CheckInterval, "client_secret_overlap": &c.ClientSecretOverlap} {
		if raw, named := d.Raw[name]; named {
			value := duration(d, name)
			*into = &value
			if raw == "" {
				*into = nil
			} else if value != 0 && value < time.Minute {
				return c, oauth.Invalid(name, "must be 0, which turns it off, or at least 1m")
			}
		}
	}
	return c, nil
}

// text returns a field without the white space around it: a value from a file or a pipe
// ends with a line feed.
func text(d *framework.FieldData, name string) string { return strings.TrimSpace(d.Get(name).(string)) }

func duration(d *framework.FieldData, name string) time.Duration {
	return time.Duration(d.Get(name).(int)) * time.Second
}
