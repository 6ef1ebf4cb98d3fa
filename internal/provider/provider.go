// Package provider is the seam between the engine and the authorization
// servers whose tokens it keeps. A dialect (package facebook) implements
// [Provider], and the optional interfaces for what else its server can do.
package provider

import (
	"context"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// CallTimeout is how long all calls to a provider may take together that serve
// one request or one piece of background work. Vault holds locks while a
// request runs: a slow provider must not delay a change of leader.
const CallTimeout = 10 * time.Second

type budgetKey struct{}

// WithBudget returns a context that carries the time by which the provider
// calls of one request must be over, all together. It is no deadline of ctx
// itself: what the calls brought is still to be stored after them.
func WithBudget(ctx context.Context) context.Context {
	return context.WithValue(ctx, budgetKey{}, time.Now().Add(CallTimeout))
}

// Patience returns a context for who waits for calls that others make: it ends
// with ctx, and with the budget that ctx carries, if it carries one.
func Patience(ctx context.Context) (context.Context, context.CancelFunc) {
	if end, ok := ctx.Value(budgetKey{}).(time.Time); ok {
		return context.WithDeadline(ctx, end)
	}
	return context.WithCancel(ctx)
}

// Within returns a context for provider calls: it ends with ctx, and with the
// budget that ctx carries, or [CallTimeout] from now if it carries none.
func Within(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Value(budgetKey{}).(time.Time); !ok {
		ctx = WithBudget(ctx)
	}
	return Patience(ctx)
}

// Budget is like [Within], but does not end with ctx: a code that was sent is
// spent, so the answer is waited for and stored even if the caller has gone.
func Budget(ctx context.Context) (context.Context, context.CancelFunc) {
	return Within(context.WithoutCancel(ctx))
}

// A Provider speaks one authorization server's dialect of OAuth 2.0. It keeps
// no state and is safe for concurrent use.
//
// Each method that calls the server returns an [*Error] if the server refused,
// failed or could not be reached.
type Provider interface {
	// Defaults returns what a configuration falls back on.
	Defaults() Defaults

	// AuthorizationURL returns the authorization request (RFC 6749, section
	// 4.1.1) that r describes. It calls nobody.
	AuthorizationURL(c oauth.Client, r AuthorizationRequest) (string, error)

	// Exchange redeems an authorization code (RFC 6749, section 4.1.3). The
	// token may be short-lived, and little may be known of it: see Settle.
	// The error wraps [ErrCodeUsed] or [ErrCodeExpired] if that is why.
	Exchange(ctx context.Context, c oauth.Client, g Grant) (oauth.Token, error)

	// Settle makes of a new token one worth keeping: it trades a short-lived
	// token for a long-lived one, and asks the server for what it knows of it.
	// It returns an error of class [Caller] if the token is not c's. Settle may
	// be called again after an error.
	Settle(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error)

	// Refresh trades a living token for a fresh one. The fresh one may expire
	// no later than the old: the caller compares. It must return an error of
	// class [NeedsReauth] or [Revoked] if only the resource owner can help; any
	// other error is taken to be passing, and Refresh is tried again.
	Refresh(ctx context.Context, c oauth.Client, old oauth.Token) (oauth.Token, error)

	// Inspect asks the server about a token: whose it is, its scopes, when it
	// expires. Its errors are as those of Refresh.
	Inspect(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error)
}

// A BatchInspector is a [Provider] that can be asked about many tokens at
// once.
type BatchInspector interface {
	// BatchLimit is how many tokens fit into one call.
	BatchLimit() int
	// InspectAll is like Inspect for each of tokens, of which there are at most
	// BatchLimit, in one call. The answers are in the order of the tokens.
	InspectAll(ctx context.Context, c oauth.Client, tokens []oauth.Token) []Inspection
}

// An Inspection is what Inspect returns for one token.
type Inspection struct {
	Token oauth.Token
	Err   error
}

// A Revoker is a [Provider] that can take an account's grant away.
type Revoker interface {
	// Revoke ends the grant under which t was issued, and so every token of t's
	// account at this client. A grant that is gone already is no error.
	Revoke(ctx context.Context, c oauth.Client, t oauth.Token) error
}

// A TokenRevoker is a [Revoker] that revokes some tokens one by one.
type TokenRevoker interface {
	Revoker
	// RevokesAlone reports whether revoking t leaves the account's other tokens
	// alone.
	RevokesAlone(t oauth.Token) bool
}

// A Prover is a [Provider] that wants proof, with each use of a token, that
// its bearer knows the client secret.
type Prover interface {
	// Proof returns the fields that prove possession of t, by their API names.
	// If at is not zero, the proof says that it was made then and is valid for
	// a short time only.
	Proof(c oauth.Client, t oauth.Token, at time.Time) map[string]any
}

// A Pager is a [Provider] whose tokens open pages that have tokens of their
// own.
type Pager interface {
	// Pages returns the pages that t reaches, each with its own token, of which
	// little may be known. Its errors are as those of Refresh.
	Pages(ctx context.Context, c oauth.Client, t oauth.Token) ([]Page, error)
}

// A Page is one that a token reaches.
type Page struct {
	ID, Name string
	// Tasks are what the account may do on the page: "CREATE_CONTENT", ….
	Tasks []string
	Token oauth.Token
}

// A DeviceFlow is a [Provider] that can log a person in where there is no
// browser (RFC 8628).
type DeviceFlow interface {
	// BeginDevice asks for a device code and a user code (RFC 8628, section 3.1).
	BeginDevice(ctx context.Context, c oauth.Client, scopes []string) (DeviceCode, error)
	// PollDevice asks once whether the person has approved (RFC 8628, section
	// 3.4). The error wraps [ErrPending] or [ErrSlowDown] if they have not yet,
	// and [ErrCodeExpired] if it is too late. The token is as that of Exchange.
	PollDevice(ctx context.Context, c oauth.Client, code oauth.Secret) (oauth.Token, error)
}

// A DeviceCode is what a login on a device begins with (RFC 8628, section 3.2).
type DeviceCode struct {
	// Code is the device code, which stays with the engine; UserCode is what the
	// person types at VerificationURI.
	Code            oauth.Secret
	UserCode        string
	VerificationURI string
	// ExpiresIn is how long the codes last, Interval how long to wait between
	// polls.
	ExpiresIn, Interval time.Duration
}

// A Verifier is a [Provider] that can be asked whether a client is set up as it
// should be.
type Verifier interface {
	// Verify asks the server about c. OtherSecret, if there is one, is looked at
	// as well as Secret, and Accepted is told which it is. What cannot be found out is a finding, too.
	Verify(ctx context.Context, c oauth.Client) []Finding
}

// A RedirectVerifier is a [Provider] that can be asked, without a browser, whether
// redirect URIs are registered with a client.
type RedirectVerifier interface {
	// VerifyRedirects returns a finding "redirect_uri" for each of uris, in their
	// order. OtherSecret is as for Verify.
	VerifyRedirects(ctx context.Context, c oauth.Client, uris []string) []Finding
}

// A Prober is a [Provider] that can be asked whether it answers at all, and
// answers this client.
type Prober interface {
	// Probe makes one call that succeeds if the server works and accepts c: its
	// id, its secret and its API version. It concerns no token.
	Probe(ctx context.Context, c oauth.Client) error
}

// A Named is a [Provider] that has a name by which people know it.
type Named interface {
	// DisplayName returns it: "Facebook".
	DisplayName() string
}

// A Witness is a [Provider] that remembers what the last answer told of the
// server.
type Witness interface {
	// Skew returns by how much our clock was ahead of the server's, to the second;
	// false if it has not answered yet.
	Skew() (ahead time.Duration, known bool)
	// Served returns the API version by which it answered, or "".
	Served() string
}

// A Versioned is a [Provider] whose API has versions.
type Versioned interface {
	// Versions returns those that this build knows and that have not ended, oldest
	// first.
	Versions() []string
}

// A ScopeLister is a [Provider] whose scopes are known by name.
type ScopeLister interface {
	// Scopes returns the scopes that the server documents. It may have others:
	// what is not among them is worth a warning, and is not refused.
	Scopes() []string
}

// A ClientChecker is a [Provider] that knows the form of a client's settings.
type ClientChecker interface {
	// CheckClient returns an [oauth.InvalidRequest] error for the field of the provider's
	// configuration, with the rule and what to do, if the client's id or API version cannot
	// be one of the server's.
	CheckClient(c oauth.Client) error
}

// An ImportExplainer is a [Provider] that can say why it refuses a token that was
// obtained elsewhere.
type ImportExplainer interface {
	// ExplainImport says what is wrong with the token for which Settle returned e.
	// It shows neither the token nor any secret.
	ExplainImport(e *Error, token oauth.Secret) Explanation
}

// An Explanation is what is wrong with a token, for whoever brings it.
type Explanation struct {
	// Malformed says that it is no token, or not the whole of one.
	Malformed bool
	// Text says what is wrong, and what to do. Of a malformed token it goes on
	// after the field's name. "": the error is not about the token.
	Text string
}

// A Finding is the outcome of one check of a client.
type Finding struct {
	// Check names what was looked at: "client_secret", "graph_version", ….
	Check string
	OK    bool
	// Expected says that what is not OK is as it should be for the time being.
	Expected bool
	// Detail says what was found and, if that is not well, what to do.
	Detail string
}

// A PKCEBinder is a [Provider] that binds PKCE challenges (RFC 7636) in some
// requests only.
type PKCEBinder interface {
	// BindsPKCE reports whether a request for scopes would bind a challenge.
	BindsPKCE(scopes []string) bool
}

// Defaults are a provider's own values for fields of its configuration.
type Defaults struct {
	InstallationScopes []string
	UserScopes         []string
	APIVersion         string
	AuthorizationBase  string
	APIBase            string
	// CodeLife is how long an authorization code lasts; a parked one is given
	// up after it.
	CodeLife time.Duration
}

// An AuthorizationRequest says what to ask the resource owner for.
type AuthorizationRequest struct {
	State       oauth.Secret
	RedirectURI string
	Scopes      []string
	// ConfigID names a configuration that is kept at the provider, in place of
	// Scopes; "": none.
	ConfigID string
	// Verifier is the PKCE code verifier, or "" to send no challenge.
	Verifier oauth.Secret
	// Nonce binds the ID token of an OpenID Connect request to it (OpenID Connect
	// Core 1.0, section 3.1.2.1); "": it is none.
	Nonce oauth.Secret
	// Reauthorize asks again for permissions that were declined before, and for the
	// choice of pages.
	Reauthorize bool
	// RenewDataAccess has the person confirm the app's access to their data, which
	// has ended or is about to.
	RenewDataAccess bool
}

// A Grant is an authorization code and what must be repeated with it.
type Grant struct {
	Code        oauth.Secret
	RedirectURI string
	// Verifier is the PKCE code verifier, or "" if no challenge was sent.
	Verifier oauth.Secret
	// Nonce is what the ID token must hold, or "" if none was asked for.
	Nonce oauth.Secret
}
