// Package provider is the seam between the engine and the authorization
// servers whose tokens it keeps. A dialect (package facebook) implements
// [Provider], and the optional interfaces for what only some servers can do.
// Package providertest holds a dialect against the contract.
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

// Patience returns a context for a caller that waits for the calls of others: it ends
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
// no state but a Witness's and is safe for concurrent use.
//
// Each method that calls the server returns an [*Error] if the server refused,
// failed or could not be reached. A call ends when its context ends. Where the
// server refuses the client, OtherSecret is tried in place of Secret: see
// [WithEither]. No error shows a secret.
type Provider interface {
	Description
	Granter
	Refresher
	Witness

	// Probe makes one call that succeeds if the server works and accepts c: its
	// id, its secret and its API version. It concerns no token.
	Probe(ctx context.Context, c oauth.Client) error

	// Verify asks the server whether c is set up as it should be. It tries Secret and,
	// if there is one, OtherSecret, and calls Accepted with the one that the server
	// accepts. What cannot be found out is a finding, too.
	Verify(ctx context.Context, c oauth.Client) []Finding
}

// A Description is what is known of a server without a call.
type Description interface {
	// DisplayName returns the name by which people know the server: "Facebook".
	DisplayName() string

	// Defaults returns what a configuration falls back on.
	Defaults() Defaults

	// Versions returns the versions of the server's API that this build knows and
	// that have not ended, oldest first. Nil: the API has no versions.
	Versions() []string

	// Scopes returns the scopes that the server documents. It may have others:
	// what is not among them is worth a warning, and is not refused. Nil: they are
	// not known.
	Scopes() []string

	// CheckScope returns the rule that scope breaks, "must be …", or "". The scope is
	// a scope-token (RFC 6749, section 3.3); the server may be stricter.
	CheckScope(scope string) (rule string)

	// CheckClient returns an [oauth.InvalidRequest] error for the field of the provider's
	// configuration, with the rule and what to do, if the client's id or API version cannot
	// be one of the server's.
	CheckClient(c oauth.Client) error

	// BindsPKCE reports whether a request for scopes would bind a PKCE challenge
	// (RFC 7636).
	BindsPKCE(scopes []string) bool
}

// A Granter obtains tokens.
type Granter interface {
	// AuthorizationURL returns the authorization request (RFC 6749, section
	// 4.1.1) that r describes. It makes no call.
	AuthorizationURL(c oauth.Client, r AuthorizationRequest) (string, error)

	// Exchange redeems an authorization code (RFC 6749, section 4.1.3). The
	// token may be short-lived, and little may be known of it: see Settle.
	// The error wraps [ErrCodeUsed], [ErrCodeExpired] or [ErrRedirectMismatch] if
	// that is why, and [ErrCodeRefused] if the server does not say which.
	Exchange(ctx context.Context, c oauth.Client, g Grant) (oauth.Token, error)

	// Settle makes of a new token one worth storing: it trades a short-lived
	// token for a long-lived one, and asks the server for what it knows of it.
	// It returns an error of class [Caller] if the token is not c's. Settle may
	// be called again after an error, so it spends nothing that the token needs.
	Settle(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error)

	// ExplainImport says what is wrong with a token that was obtained elsewhere,
	// for which Settle returned e. It shows neither the token nor any secret. The
	// zero Explanation: no more than e says.
	ExplainImport(e *Error, token oauth.Secret) Explanation
}

// A Refresher keeps tokens alive.
type Refresher interface {
	// Refresh trades a token for a fresh one: a living access token, or a refresh
	// token if it has one (RFC 6749, section 6). It is not called before
	// old.RefreshAfter. The fresh token has old's account and, if the server gave no
	// other, old's refresh token. It may be the same access token, and may expire no
	// later than the old: the caller compares.
	//
	// Refresh must return an error of class [NeedsReauth] or [Revoked] if only the
	// resource owner can help; any other error is taken to be passing, and Refresh is
	// tried again. A server that rotates refresh tokens has spent the old one once it
	// has answered: then Refresh returns the token, and makes no further call that
	// could lose it.
	Refresh(ctx context.Context, c oauth.Client, old oauth.Token) (oauth.Token, error)

	// Inspect asks the server about a token: whose it is, its scopes, when it
	// expires. Its errors are as those of Refresh. An access token that has ended
	// while its refresh token lives is no error: it is returned with an ExpiresAt
	// that is past.
	Inspect(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error)
}

// A Witness records what the server's last answer says of the server.
type Witness interface {
	// Skew returns by how much our clock was ahead of the server's, to the second;
	// false if it has not answered yet.
	Skew() (ahead time.Duration, known bool)
	// Served returns the API version by which it answered, or "".
	Served() string
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

// A Revoker is a [Provider] that can take grants away. Without it a grant lives on
// at the server when the engine deletes its credential.
type Revoker interface {
	// Revoke ends the grant under which t was issued, and so every token of it: its
	// refresh token too. A grant that is gone already is no error.
	Revoke(ctx context.Context, c oauth.Client, t oauth.Token) error
	// RevokesAlone reports whether revoking t leaves the account's other grants at
	// this client alone.
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
	// TaskFor returns the task that an account must have on a page for calls that need
	// scope; "": it needs none that is known.
	TaskFor(scope string) string
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

// A RedirectVerifier is a [Provider] that can be asked, without a browser, whether
// redirect URIs are registered with a client.
type RedirectVerifier interface {
	// VerifyRedirects returns a finding "redirect_uri" for each of uris, in their
	// order. OtherSecret is as for Verify.
	VerifyRedirects(ctx context.Context, c oauth.Client, uris []string) []Finding
}

// An Explanation is what is wrong with an imported token, for the caller.
type Explanation struct {
	// Malformed says that it is no token, or not the whole of one.
	Malformed bool
	// Text says what is wrong, and what to do. Of a malformed token it goes on
	// after the field's name. "": the error is not about the token.
	Text string
}

// A Finding is the outcome of one check of a client.
type Finding struct {
	// Check names what was looked at: a field of the configuration, such as
	// "client_secret", or "clock_skew".
	Check string
	OK    bool
	// Expected says that what is not OK is as it should be for the time being.
	Expected bool
	// Detail says what was found and, if that is not well, what to do.
	Detail string
}

// Defaults are a provider's own values for fields of its configuration.
type Defaults struct {
	InstallationScopes []string
	UserScopes         []string
	APIVersion         string
	AuthorizationBase  string
	APIBase            string
	// SDK names what of the provider's JavaScript SDK hands an authorization code to a
	// page, without a redirect URI. "": nothing does.
	SDK string
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
