// Package flow connects a credential: a session is one run of the authorization code
// grant (RFC 6749, section 4.1), from the authorization URL to the stored credential.
//
//	Begin     pending                      the application gets the URL
//	Callback  pending → authorized         the browser brings a code; it is parked
//	Complete  authorized → redeeming       the application names the person signed in now
//	          redeeming → completed        the credential is stored
//	Expire    any → deleted
//
// Each step is one Put of the session's record, made under its lock before any call to
// the provider: of two requests that bring the same code, one redeems it and the other
// gets the same result. A session that fails says why, and loses the code that it had
// parked.
//
// The application names the person that is signed in at that moment, both when a session
// begins and when it is completed. That is the defence against session fixation: a victim
// that follows an attacker's link completes nothing (RFC 9700, section 4.7, and its update
// on cross-user attacks).
//
// The types, each of which knows only those below it:
//
//	Flow       the requests: Begin, Callback, Complete, Import and the others
//	redeemer   redeems codes, one request for each session at a time
//	connector  stores a token as a credential
//	sessions   changes sessions' records, one step at a time
package flow

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

// The values of a configuration's completion and pkce fields.
const (
	// Confirm parks the code until the application completes the session.
	Confirm = "confirm"
	// Callback redeems the code when the browser brings it.
	Callback = "callback"

	PKCEAuto   = "auto"
	PKCEAlways = "always"
	PKCENever  = "never"
)

// afterlife is for how long a session that has ended can still be read. Completing it
// again has the first result until then.
const afterlife = 15 * time.Minute

// Options are what a Flow needs.
type Options struct {
	Store     *store.Store
	Providers map[string]provider.Provider
	Now       func() time.Time
	Log       hclog.Logger
	// Breaker makes the calls to the providers, Revoker those that revoke.
	Breaker *breaker.Breaker
	Revoker *revoke.Revoker
	// Begun is called for each session that begins; Ended for each that is completed or,
	// with the code of its error, fails. Nil: no function is called.
	Begun func(provider string)
	Ended func(provider string, code oauth.Code)
}

// A Flow runs sessions. Make one with [New]. It is safe for concurrent use.
type Flow struct {
	Options
	sessions  sessions
	connector connector
	redeemer  *redeemer
}

// New returns a Flow.
func New(o Options) *Flow {
	if o.Begun == nil {
		o.Begun = func(string) {}
	}
	if o.Ended == nil {
		o.Ended = func(string, oauth.Code) {}
	}
	s, c := sessions{o}, connector{o}
	return &Flow{o, s, c, &redeemer{Options: o, sessions: s, connector: c, redemptions: map[string]*redemption{}}}
}

// client returns the provider that is called name, and its configuration.
func (o *Options) client(ctx context.Context, name string) (provider.Provider, store.Config, error) {
	p, ok := o.Providers[name]
	if !ok {
		return nil, store.Config{}, oauth.Errorf(oauth.NotFound, "there is no provider %q", name)
	}
	c, err := o.Store.Mount.Config(ctx, name)
	if errors.Is(err, store.ErrNotFound) {
		return nil, store.Config{}, NotConfigured(name)
	}
	return p, c, err
}

// NotConfigured is the error of a provider that has no configuration.
func NotConfigured(name string) error {
	return oauth.Errorf(oauth.NotFound, "provider %s is not configured; write config/%s", name, name)
}

// SessionID returns the id of the session that state belongs to.
func SessionID(state string) string {
	sum := sha256.Sum256([]byte(state))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// isSessionID reports whether s has the form of a session's id. Nothing else is looked up.
func isSessionID(s string) bool {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(b) == sha256.Size && !strings.ContainsAny(s, "\r\n")
}

// random returns 256 random bits in base64url.
func random() oauth.Secret {
	b := make([]byte, 32)
	rand.Read(b)
	return oauth.NewSecret(base64.RawURLEncoding.EncodeToString(b))
}

// connectCode derives the code that the callback page shows from the
// authorization code: 80 bits, in groups that a person can type.
func connectCode(s store.Session, code oauth.Secret) oauth.Secret {
	mac := hmac.New(sha256.New, []byte(s.ConnectKey.Reveal()))
	mac.Write([]byte(code.Reveal()))
	text := base32.StdEncoding.EncodeToString(mac.Sum(nil)[:10])
	return oauth.NewSecret(text[:4] + "-" + text[4:8] + "-" + text[8:12] + "-" + text[12:])
}

// connectCodeHash returns the hash of a connect code, as a person may type it.
func connectCodeHash(code oauth.Secret) []byte {
	text := strings.ToUpper(code.Reveal())
	text = strings.NewReplacer("-", "", " ", "").Replace(text)
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func expired(s store.Session, now time.Time) bool { return !now.Before(s.ExpiresAt) }

// unfinished reports whether the session still waits for a request.
func unfinished(s store.Session) bool {
	return s.Status == store.SessionPending || s.Status == store.SessionAuthorized
}
