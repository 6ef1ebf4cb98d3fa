// Package flow is how a credential is born: one run of the authorization code
// grant (RFC 6749, section 4.1), called a session, from the authorization URL
// to the stored credential.
//
//	Begin     pending                      the URL is handed out
//	Callback  pending → authorized         the browser brings a code; it is parked
//	Complete  authorized → redeeming       the application says who is signed in now
//	          redeeming → completed        the credential is stored
//	Reap      any → gone
//
// Each step is one Put of the session's record, made under its lock before
// anything is sent to the provider: of two who bring the same code, one redeems
// it and the other is told what came of it. A session that fails says why; what
// it had parked is destroyed.
//
// That the application names, at both ends, the person who is signed in at
// that moment is the defence against session fixation: a victim who follows an
// attacker's link completes nothing (RFC 9700, section 4.7, and its update on
// cross-user attacks).
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
	"sync"
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

// afterlife is for how long a session that has ended can still be read, and
// completing it again still answers what the first time did.
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
	// Begun is told of each session that begins, Ended of each that is completed
	// or, with the code that says why, fails. Nil: nobody is.
	Begun func(provider string)
	Ended func(provider string, code oauth.Code)
}

// A Flow runs sessions. Make one with [New]. It is safe for concurrent use.
type Flow struct {
	Options

	mu sync.Mutex
	// running are the redemptions that requests of this process are at, by
	// session id. A session found redeeming that is not here was interrupted.
	running map[string]*redemption
}

// New returns a Flow.
func New(o Options) *Flow {
	if o.Begun == nil {
		o.Begun = func(string) {}
	}
	if o.Ended == nil {
		o.Ended = func(string, oauth.Code) {}
	}
	return &Flow{Options: o, running: map[string]*redemption{}}
}

// client returns the provider that is called name, and its configuration.
func (f *Flow) client(ctx context.Context, name string) (provider.Provider, store.Config, error) {
	p, ok := f.Providers[name]
	if !ok {
		return nil, store.Config{}, oauth.Errorf(oauth.NotFound, "there is no provider %q", name)
	}
	c, err := f.Store.Mount.Config(ctx, name)
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

// isSessionID reports whether s can be one: anything else is not looked up.
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

// connectCodeHash returns the hash of a connect code as a person typed it.
func connectCodeHash(code oauth.Secret) []byte {
	text := strings.ToUpper(code.Reveal())
	text = strings.NewReplacer("-", "", " ", "").Replace(text)
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func expired(s store.Session, now time.Time) bool { return !now.Before(s.ExpiresAt) }

// unfinished reports whether the session still waits for somebody.
func unfinished(s store.Session) bool {
	return s.Status == store.SessionPending || s.Status == store.SessionAuthorized
}
