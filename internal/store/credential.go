package store

import (
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// Status is what can be said of a credential.
type Status string

// The states of a credential.
const (
	Active      Status = "active"
	NeedsReauth Status = "needs_reauth" // only the person can help
	Revoked     Status = "revoked"      // the person or the organization took it away
	Failed      Status = "failed"       // refresh kept failing, and the token has expired meanwhile
)

// A Credential is what the engine keeps for one ref. What it points to is
// shared with every caller that has read it: it is replaced, never changed.
type Credential struct {
	// Birth is random and new at each connect or import; Generation grows with
	// each token that is stored, Revision with whatever is stored. The answer to
	// a call that took a while is stored only if they are still what they were.
	Birth      string `json:"birth"`
	Generation uint64 `json:"generation"`
	Revision   uint64 `json:"revision"`

	Status Status      `json:"status"`
	Token  oauth.Token `json:"token"`
	// Formers are the access tokens that refreshes have replaced and that live on:
	// each is revoked when its readers have had the time that they were promised.
	Formers []Former `json:"-"`
	// PromisedUntil is the latest refresh that was planned for the token, and that
	// answers to its readers may have named, if NextRefresh is earlier now. Zero: it is
	// not.
	PromisedUntil time.Time `json:"promised_until,omitzero"`
	// AskedScopes are the scopes that were asked for, sorted; some may not have
	// been granted.
	AskedScopes []string `json:"asked_scopes,omitempty"`

	ConnectedAt time.Time `json:"connected_at"`
	ConnectedBy Caller    `json:"connected_by"`
	// Session is the id of the session that the credential was born of.
	Session     string    `json:"session,omitempty"`
	RefreshedAt time.Time `json:"refreshed_at,omitzero"`
	CheckedAt   time.Time `json:"checked_at,omitzero"`

	// NextRefresh and NextCheck are when the engine will next touch the
	// credential by itself, NextNotice when it will announce that the token or the
	// access to data is about to end. Zero: it will not.
	NextRefresh time.Time `json:"next_refresh,omitzero"`
	NextCheck   time.Time `json:"next_check,omitzero"`
	NextNotice  time.Time `json:"next_notice,omitzero"`

	// AskedAt is when the provider was last asked for a fresh token and gave one.
	AskedAt time.Time `json:"asked_at,omitzero"`
	// RetryAt is until when the provider is left alone about this credential,
	// after a failure. Zero: there was none.
	RetryAt time.Time `json:"retry_at,omitzero"`
	// Exhausted says that the last refresh brought no longer life: before
	// NextRefresh another would not either.
	Exhausted bool `json:"exhausted,omitempty"`

	// Page says what a page's credential is derived from. Nil: it is no page's.
	Page *Page `json:"page,omitempty"`
	// Static is what stands in place of Token if the ref is a static one. Nil: it
	// is not.
	Static *Static `json:"static,omitempty"`
	// PagesAt is the generation at which the pages under the credential were
	// fetched. Zero: they never were.
	PagesAt uint64 `json:"pages_at,omitempty"`

	// NotifiedAt is when the provider reported by itself that the grant is gone, until it
	// was asked whether that is so. Zero: there is no such doubt.
	NotifiedAt time.Time `json:"told_at,omitzero"`

	// DataAccessOverAt is when the provider refused a call because the app's access
	// to the person's data is over, until the person connects again or a refresh
	// succeeds. Zero: it did not.
	DataAccessOverAt time.Time `json:"data_access_over_at,omitzero"`

	// DeadSince is when the provider first called the token dead. While the
	// credential is active, that is not confirmed. Zero: it did not.
	DeadSince time.Time `json:"dead_since,omitzero"`

	LastError *Failure `json:"last_error,omitempty"`
	// Outlived says what the owner of the grant has to do at the provider, after a
	// revocation that the token outlived. It is what LastError says while nothing
	// else fails. Nil: there was none.
	Outlived *Failure `json:"outlived,omitempty"`
	// RefreshFailing says that the failures are of refreshes, which a check that
	// finds the token alive does not mend.
	RefreshFailing bool `json:"refresh_failing,omitempty"`
	// FailingSince is when the first of the consecutive failures was.
	FailingSince        time.Time `json:"failing_since,omitzero"`
	ConsecutiveFailures int       `json:"consecutive_failures,omitempty"`
	History             []Outcome `json:"history,omitempty"`

	// Due is the key of the credential's entry in the due index. Empty: none.
	Due string `json:"due,omitempty"`
}

// A Page is what is known of a page whose credential is kept.
type Page struct {
	Name  string   `json:"name"`
	Tasks []string `json:"tasks,omitempty"`
	// Birth and Generation are those of the credential that the page's token was
	// fetched with.
	Birth      string `json:"birth"`
	Generation uint64 `json:"generation"`
}

// FetchedWith reports whether the page's token was fetched with above as it is
// now.
func (p *Page) FetchedWith(above Credential) bool {
	return p != nil && p.Birth == above.Birth && p.Generation == above.Generation
}

// A Failure is the provider's last refusal, as its support desk wants it.
type Failure struct {
	Class string `json:"class"`
	// Concerns and Remedy say what the refusal is about and what helps. "" in
	// records of versions that did not know.
	Concerns string    `json:"concerns,omitempty"`
	Remedy   string    `json:"remedy,omitempty"`
	Code     int       `json:"code,omitempty"`
	Subcode  int       `json:"subcode,omitempty"`
	Message  string    `json:"message"`
	TraceID  string    `json:"fbtrace_id,omitempty"`
	At       time.Time `json:"at"`
}

// An Outcome is one line of a credential's history.
type Outcome struct {
	At     time.Time `json:"at"`
	Event  string    `json:"event"`
	Reason string    `json:"reason,omitempty"`
}

// historyKept is how many outcomes a credential remembers.
const historyKept = 20

// Record adds an outcome to the credential's history.
func (c *Credential) Record(at time.Time, event, reason string) {
	c.History = append(slices.Clone(c.History), Outcome{at, event, reason})
	if extra := len(c.History) - historyKept; extra > 0 {
		c.History = c.History[extra:]
	}
}

// NextDue returns the earliest of the next refresh, check, notice and revocation
// of a former token, or zero.
func (c *Credential) NextDue() (next time.Time) {
	for _, t := range []time.Time{c.NextRefresh, c.NextCheck, c.NextNotice, c.nextRevocation()} {
		if next.IsZero() || !t.IsZero() && t.Before(next) {
			next = t
		}
	}
	return next
}

// Gone reports whether the grant is known to be gone, so that there is nothing
// to be revoked.
func (c *Credential) Gone() bool { return c.Status == Revoked && c.NotifiedAt.IsZero() }

// MissingScopes returns the scopes that were asked for and not granted.
func (c *Credential) MissingScopes() []string {
	missing := []string{}
	for _, scope := range c.AskedScopes {
		if !slices.Contains(c.Token.Scopes, scope) {
			missing = append(missing, scope)
		}
	}
	return missing
}

// credentialAtRest is a Credential as it is sealed: with the secrets that a
// Credential does not marshal.
type credentialAtRest struct {
	Credential
	AccessToken  string         `json:"access_token"`
	RefreshToken string         `json:"refresh_token,omitempty"`
	FormerTokens []formerAtRest `json:"former_tokens,omitempty"`
	StaticValue  string         `json:"static_value,omitempty"`
	// FormerToken is in records of earlier versions.
	FormerToken string `json:"former_token,omitempty"`
}

// Tokens returns what of the credential can be revoked: the tokens that live on
// from before refreshes, if there are any, and its own.
func (c *Credential) Tokens() (tokens []oauth.Token) {
	for _, former := range c.Formers {
		if former.AccessToken != c.Token.AccessToken {
			token := c.Token
			token.AccessToken, token.RefreshToken = former.AccessToken, former.RefreshToken
			tokens = append(tokens, token)
		}
	}
	return append(tokens, c.Token)
}

// eventsOf returns what happened to the credential when old became c. old is
// nil if there was none, c if it was deleted.
func eventsOf(ref tenant.Ref, old, c *Credential, now time.Time) (events []event.Event) {
	note := func(t event.Type, reason string) {
		events = append(events, event.Event{At: now.UTC(), Type: t, Ref: ref.String(), Reason: reason})
	}
	reason := ""
	if c != nil && c.LastError != nil {
		reason = c.LastError.Message
	}
	switch {
	case c == nil:
		note(event.ConnectionDeleted, "")
		return events
	case old == nil:
		note(event.ConnectionCreated, "")
		return events
	case old.Birth != c.Birth:
		note(event.ConnectionReconnected, "")
	case old.Generation != c.Generation:
		note(event.ConnectionRefreshed, "")
	}
	switch {
	case old.Status == c.Status || old.Birth != c.Birth:
		if old.ConsecutiveFailures == 0 && c.ConsecutiveFailures > 0 && c.Status == Active {
			note(event.ConnectionRefreshFailed, reason)
		}
	case c.Status == Active:
		note(event.ConnectionRecovered, "")
	case c.Status == NeedsReauth:
		note(event.ConnectionNeedsReauth, reason)
	case c.Status == Revoked:
		note(event.ConnectionRevoked, reason)
	case c.Status == Failed:
		note(event.ConnectionFailed, "the token has expired: "+reason)
	}
	if !slices.Equal(old.Token.Scopes, c.Token.Scopes) {
		note(event.ScopesChanged, "")
	}
	return events
}
