package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
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
// shared with whoever else has read it: it is replaced, never changed.
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
	// its readers may have been told of, if NextRefresh is earlier now. Zero: it is
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
	// credential by itself, NextNotice when it will tell that the token or the
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

	// ToldAt is when the provider told by itself that the grant is gone, until it
	// was asked whether that is so. Zero: there is no such doubt.
	ToldAt time.Time `json:"told_at,omitzero"`

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
	// Concerns and Remedy say whom the refusal is about and what helps. "" in
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
func (c *Credential) Gone() bool { return c.Status == Revoked && c.ToldAt.IsZero() }

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
			token.AccessToken = former.AccessToken
			tokens = append(tokens, token)
		}
	}
	return append(tokens, c.Token)
}

// Credential returns the credential that ref names, or ErrNotFound.
func (s *Store) Credential(ctx context.Context, ref tenant.Ref) (Credential, error) {
	if c, ok := s.credentials.recall(credentialKey(ref)); ok {
		return c, nil
	}
	return s.storedCredential(ctx, ref)
}

// storedCredential is Credential for who decides a write by it.
func (s *Store) storedCredential(ctx context.Context, ref tenant.Ref) (Credential, error) {
	return load(ctx, s, s.credentials, credentialKey(ref), s.opener(ctx, ref))
}

// opener returns what opens the bytes of ref's credential.
func (s *Store) opener(ctx context.Context, ref tenant.Ref) func([]byte) (Credential, error) {
	return func(b []byte) (Credential, error) {
		var r credentialAtRest
		if err := s.openSealed(ctx, ref.Tenant, credentialKey(ref), b, &r); err != nil {
			return Credential{}, err
		}
		r.Credential.Token.AccessToken, r.Credential.Formers = oauth.NewSecret(r.AccessToken), r.formers()
		if err := r.openStatic(ref); err != nil {
			return Credential{}, err
		}
		return r.Credential, nil
	}
}

// putCredential stores the record itself.
func (s *Store) putCredential(ctx context.Context, ref tenant.Ref, c Credential) error {
	key := credentialKey(ref)
	b, err := s.sealed(ctx, ref.Tenant, key, nil, credentialAtRest{
		Credential: c, AccessToken: c.Token.AccessToken.Reveal(), FormerTokens: formersAtRest(c.Formers), StaticValue: c.staticValue(),
	})
	if err != nil {
		return err
	}
	return save(ctx, s, s.credentials, &logical.StorageEntry{Key: key, Value: b}, s.opener(ctx, ref))
}

// UpdateCredential stores what change makes of ref's credential, under its
// record lock. old is nil if there is none. An error of change is returned,
// and nothing is stored; so are [ErrRemoving] and [ErrDeleting]. New hints come
// before the record and outdated ones go after it.
func (s *Store) UpdateCredential(ctx context.Context, ref tenant.Ref, change func(old *Credential) (Credential, error)) (Credential, error) {
	defer s.records.lock(credentialKey(ref))()
	unlock, err := s.sealing(ctx, ref.Tenant)
	if err != nil {
		return Credential{}, err
	}
	defer unlock()
	old, err := s.oldCredential(ctx, ref)
	if err != nil {
		return Credential{}, err
	}
	c, err := change(old)
	if err != nil {
		return Credential{}, err
	}
	if old == nil {
		if err := s.ensureTenant(ctx, ref.Tenant); err != nil {
			return Credential{}, err
		}
	} else {
		// That its pages were fetched changes nothing that a call could depend on.
		c.Revision = old.Revision
		if c.PagesAt == old.PagesAt {
			c.Revision++
		}
		c.keepPromise(*old)
	}
	if err := s.replan(ctx, ref, old, &c); err != nil {
		return Credential{}, err
	}
	outdated, err := s.putNewHints(ctx, ref, old, &c)
	if err != nil {
		return Credential{}, err
	}
	stale, err := s.scheduleStale(ctx, ref, outdated)
	if err != nil {
		return Credential{}, err
	}
	if err := s.putCredential(ctx, ref, c); err != nil {
		return Credential{}, err
	}
	// The record is stored, and that is what was asked for. A hint that cannot
	// be deleted is harmless: whoever follows it finds it outdated.
	s.deleteHintsLater(ctx, outdated, stale)
	s.Note(s.eventsOf(ref, old, &c)...)
	return c, nil
}

// oldCredential returns the credential that is to be changed, or nil.
func (s *Store) oldCredential(ctx context.Context, ref tenant.Ref) (*Credential, error) {
	removal, err := removalIn(ctx, s.Tenant, ref) // read from storage just now, while sealing began
	if err != nil {
		return nil, err
	}
	if removal != nil {
		return nil, ErrRemoving
	}
	c, err := s.storedCredential(ctx, ref)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) {
		// What does not open can only be replaced.
		return nil, nil
	}
	return &c, err
}

// DeleteCredential forgets the credential that ref names if allow, called with
// it under its record lock, returns no error. ErrNotFound is returned if there
// is none.
func (s *Store) DeleteCredential(ctx context.Context, ref tenant.Ref, allow func(Credential) error) error {
	defer s.records.lock(credentialKey(ref))()
	c, err := s.storedCredential(ctx, ref)
	if err != nil {
		return err
	}
	if err := allow(c); err != nil {
		return err
	}
	return s.deleteCredential(ctx, ref, c)
}

// Discard deletes a record that does not open. Its hints are found outdated by
// who follows them.
func (s *Store) Discard(ctx context.Context, ref tenant.Ref) error {
	defer s.records.lock(credentialKey(ref))()
	if _, err := s.storedCredential(ctx, ref); !errors.Is(err, ErrCorrupt) {
		return err
	}
	return s.discard(ctx, ref)
}

func (s *Store) discard(ctx context.Context, ref tenant.Ref) error {
	if err := s.storage.Delete(ctx, credentialKey(ref)); err != nil {
		return err
	}
	s.Note(s.eventsOf(ref, nil, nil)...)
	return nil
}

// deleteCredential deletes the record and then its hints. Of a tenant that is being
// deleted the hints go first: one that is left would not be met again, and the deletion is
// repeated until the record is gone.
func (s *Store) deleteCredential(ctx context.Context, ref tenant.Ref, c Credential) error {
	hints, err := s.hints(ctx, ref, &c, true)
	if err != nil {
		return err
	}
	switch err := s.deleting(ctx, s.Tenant, ref.Tenant); {
	case errors.Is(err, ErrDeleting):
		if err := s.deleteHints(ctx, hints); err != nil {
			return err
		}
		hints = nil
	case err != nil:
		return err
	}
	stale, err := s.scheduleStale(ctx, ref, hints)
	if err != nil {
		return err
	}
	if err := s.storage.Delete(ctx, credentialKey(ref)); err != nil {
		return err
	}
	s.deleteHintsLater(ctx, hints, stale) // as in UpdateCredential
	s.Note(s.eventsOf(ref, &c, nil)...)
	return nil
}
