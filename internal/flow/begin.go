package flow

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/oauth2"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A Request is for a session. An empty field stands for the configuration's value.
type Request struct {
	Ref                tenant.Ref
	Actor              string
	ReturnURL          string
	RedirectURI        string
	Scopes             []string
	Completion         string
	Reauthorize        bool
	AllowAccountChange bool
	// configID names the configuration at the provider that is used in place of Scopes,
	// if the request has none.
	configID string
	// expected are the scopes that the token should have.
	expected []string
	// Device is for a login on a device (RFC 8628) instead of one by browser.
	Device bool
	// SDK is for a session whose code comes from the provider's JavaScript SDK: the
	// application relays it, and it is exchanged without a redirect URI.
	SDK bool
	// By is the caller, as Vault identifies it. Its Actor is ignored.
	By store.Caller
}

// A Begun is a session that waits for the resource owner.
type Begun struct {
	AuthorizationURL string
	// State is what the application relays with the code that it gets from the
	// provider's SDK; "" if the session has an AuthorizationURL or is a device's.
	State oauth.Secret
	// Device has what a person needs for a login on a device. Nil: it is none.
	Device     *provider.DeviceCode
	SessionID  string
	ExpiresAt  time.Time
	Completion string
}

// Begin starts a session. It calls the provider only for a login on a device.
func (f *Flow) Begin(ctx context.Context, r Request) (Begun, error) {
	p, config, err := f.client(ctx, r.Ref.Provider)
	if err != nil {
		return Begun{}, err
	}
	if !*config.Enabled {
		return Begun{}, oauth.Errorf(oauth.Suspended, "provider %s takes no new sessions; to allow them, write config/%s enabled=true", r.Ref.Provider, r.Ref.Provider)
	}
	if r.SDK && p.Defaults().SDK == "" {
		return Begun{}, oauth.Invalid("grant", "must be code: the provider has no JavaScript SDK that hands out codes")
	}
	if err := r.fill(p, config); err != nil {
		return Begun{}, err
	}
	if err := admission.Connect(ctx, f.Store, r.Ref, *config.RequireInstallation); err != nil {
		return Begun{}, err
	}

	state := random()
	session := r.session(state, f.Now().UTC(), config.SessionTTL)
	if r.Device {
		return f.beginDevice(ctx, p, config, session)
	}
	if r.SDK {
		return f.beginSDK(ctx, session, state)
	}
	if sendsPKCE(p, config.PKCE, r.Scopes) {
		session.Verifier = oauth.NewSecret(oauth2.GenerateVerifier())
	}
	if slices.Contains(r.Scopes, openID) {
		session.Nonce = random()
	}
	renew, err := f.dataAccessEnds(ctx, r.Ref)
	if err != nil {
		return Begun{}, err
	}
	url, err := p.AuthorizationURL(config.Client(), provider.AuthorizationRequest{
		State: state, RedirectURI: r.RedirectURI, Scopes: r.Scopes, ConfigID: r.configID, Verifier: session.Verifier, Nonce: session.Nonce,
		Reauthorize: r.Reauthorize, RenewDataAccess: renew,
	})
	if err != nil {
		return Begun{}, err
	}
	if err := f.sessions.begin(ctx, session); err != nil {
		return Begun{}, err
	}
	return Begun{AuthorizationURL: url, SessionID: session.ID, ExpiresAt: session.ExpiresAt, Completion: session.Completion}, nil
}

// session returns the session of a request that was filled in.
func (r *Request) session(state oauth.Secret, now time.Time, ttl time.Duration) store.Session {
	return store.Session{
		ID:                 SessionID(state.Reveal()),
		Ref:                r.Ref,
		Actor:              r.Actor,
		Status:             store.SessionPending,
		CreatedAt:          now,
		ExpiresAt:          now.Add(ttl),
		RedirectURI:        r.RedirectURI,
		ReturnURL:          r.ReturnURL,
		Scopes:             r.expected,
		Completion:         r.Completion,
		AllowAccountChange: r.AllowAccountChange,
		SDK:                r.SDK,
		StartedBy:          store.Caller{Actor: r.Actor, EntityID: r.By.EntityID, DisplayName: r.By.DisplayName},
		ConnectKey:         random(),
	}
}

// beginSDK starts a session whose dialog the provider's SDK opens. The SDK sends neither
// PKCE's challenge nor a nonce.
func (f *Flow) beginSDK(ctx context.Context, s store.Session, state oauth.Secret) (Begun, error) {
	if err := f.sessions.begin(ctx, s); err != nil {
		return Begun{}, err
	}
	return Begun{State: state, SessionID: s.ID, ExpiresAt: s.ExpiresAt, Completion: s.Completion}, nil
}

// renewBefore is how long before the end of data access a new connection renews it. It is
// when the first notice of the end is published.
const renewBefore = 7 * 24 * time.Hour

// dataAccessEnds reports whether the app's access to the data of the person behind ref is
// over, or nearly.
func (f *Flow) dataAccessEnds(ctx context.Context, ref tenant.Ref) (bool, error) {
	c, err := f.Store.Credentials.Read(ctx, ref)
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) {
		return false, nil // connecting again repairs both
	}
	end := c.Token.DataAccessExpiresAt
	return err == nil && !end.IsZero() && f.Now().After(end.Add(-renewBefore)), err
}

// fill checks the request against the configuration, and fills in its empty fields.
func (r *Request) fill(p provider.Provider, c store.Config) error {
	installation := r.Ref.Kind() == tenant.Installation
	switch {
	case r.Completion == "" && !r.SDK:
		r.Completion = c.Completion
	case r.Completion == "":
	case r.Completion != Confirm && r.Completion != Callback:
		return oauth.Invalid("completion", "must be %q or %q", Confirm, Callback)
	case r.Completion == Callback && c.Completion == Confirm:
		return oauth.Invalid("completion", "may only tighten the configuration's, which is %q", Confirm)
	}
	if r.Device {
		if r.ReturnURL != "" || r.RedirectURI != "" {
			return oauth.Invalid("grant", "is device: no browser comes back, so return_url and redirect_uri cannot be given")
		}
		r.Completion = Confirm // the application polls
	}
	if r.SDK {
		if err := r.checkSDK(); err != nil {
			return err
		}
		r.Completion = Confirm // the application relays
	}
	if r.Actor == "" && !installation {
		r.Actor = r.Ref.User
	}
	if r.Actor == "" && r.Completion == Confirm {
		return oauth.Invalid("actor", "is required: your application's own id of the person who is signed in to it")
	}
	if r.Actor != "" {
		if err := CheckActor(r.Actor); err != nil {
			return err
		}
	}
	if r.RedirectURI == "" && !r.SDK {
		r.RedirectURI = c.RedirectURIs[0]
	} else if r.RedirectURI != "" && !slices.Contains(c.RedirectURIs, r.RedirectURI) {
		return oauth.Invalid("redirect_uri", "must be one of the configuration's redirect_uris, to the letter")
	}
	if r.ReturnURL != "" && !slices.Contains(c.ReturnURLs, r.ReturnURL) {
		return oauth.Invalid("return_url", "must be one of the configuration's return_urls, to the letter")
	}
	if len(r.Scopes) == 0 && !r.Device {
		r.configID = c.ConfigFor(r.Ref)
	}
	if len(r.Scopes) == 0 && r.configID == "" {
		r.Scopes = c.ScopesFor(r.Ref)
	}
	if configured := c.ScopesFor(r.Ref); len(r.Scopes) > 0 && slices.Contains(configured, openID) {
		r.Scopes = append(slices.Clone(r.Scopes), openID) // or a request could leave its code unbound
	}
	r.Scopes = slices.Compact(slices.Sorted(slices.Values(r.Scopes)))
	if r.expected = r.Scopes; r.configID != "" {
		r.expected = c.ExpectedScopes(r.Ref)
	}
	return CheckScopes(p, "scopes", r.Scopes)
}

// openID is the scope of an OpenID Connect request: the nonce binds the ID token
// to the session.
const openID = "openid"

// checkSDK returns an error if the request has a field that grant=sdk does not allow.
func (r *Request) checkSDK() error {
	for _, field := range []struct{ name, value string }{{"redirect_uri", r.RedirectURI}, {"return_url", r.ReturnURL}} {
		if field.value != "" {
			return oauth.Invalid(field.name, "cannot be given with grant=sdk: the provider's SDK hands the code to your page, and no browser is sent anywhere")
		}
	}
	if r.Completion == Callback {
		return oauth.Invalid("completion", "must be %q with grant=sdk: your application relays the code", Confirm)
	}
	return nil
}

// CheckActor returns an error if s cannot be an actor.
func CheckActor(s string) error {
	if s == "" || utf8.RuneCountInString(s) > 256 || !utf8.ValidString(s) || strings.ContainsFunc(s, oauth.IsControl) {
		return oauth.Invalid("actor", "must be 1 to 256 characters, without control characters or those that override the direction of text: your application's own id of the person who is signed in to it")
	}
	return nil
}

// maxScopes keeps an authorization URL shorter than what servers accept.
const maxScopes = 100

// CheckScopes returns an error that names field if one of scopes is no scope-token
// (RFC 6749, section 3.3), or the provider cannot be asked for it.
func CheckScopes(p provider.Provider, field string, scopes []string) error {
	if len(scopes) > maxScopes {
		return oauth.Invalid(field, "must be %d scopes at the most", maxScopes)
	}
	for _, scope := range scopes {
		if scope == "" || len(scope) > 128 || strings.ContainsFunc(scope, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`"\`, r) }) {
			return oauth.Invalid(field, "must be scopes of 1 to 128 visible ASCII characters without quote or backslash")
		}
		if rule := p.CheckScope(scope); rule != "" {
			return oauth.Invalid(field, "%s", rule)
		}
	}
	return nil
}

func sendsPKCE(p provider.Provider, setting string, scopes []string) bool {
	if setting != PKCEAuto {
		return setting == PKCEAlways
	}
	return p.BindsPKCE(scopes)
}
