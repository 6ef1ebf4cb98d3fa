package flow

import (
	"bytes"
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// maxWrongTries is how many wrong connect codes end a session.
const maxWrongTries = 5

// A Proof shows that the person that is signed in came back from the provider: the connect
// code from the callback page, or the provider's answer if the application hosts the
// redirect URI itself. The zero Proof is for a session on a device, whose completion polls
// the provider.
type Proof struct {
	ConnectCode oauth.Secret
	// Answer is nil if there is a ConnectCode.
	Answer *Answer
}

// A Completion is a request to complete a session.
type Completion struct {
	Tenant    tenant.ID
	SessionID string
	// Actor is the person that is signed in to the application now.
	Actor string
	Proof Proof
}

// A Completed is the credential of a completed session.
type Completed struct {
	Ref        tenant.Ref
	Credential store.Credential
	// Warning is for the caller. "": there is none.
	Warning string
}

// Complete redeems the session's code and stores the credential. It may be repeated: with
// the same proof it has the same result.
func (f *Flow) Complete(ctx context.Context, c Completion) (Completed, error) {
	if err := CheckActor(c.Actor); err != nil {
		return Completed{}, err
	}
	c.Proof = c.Proof.trimmed()
	if err := c.Proof.check(); err != nil {
		return Completed{}, err
	}
	if !isSessionID(c.SessionID) {
		return Completed{}, errNoSession
	}
	var (
		r       *redemption
		refused error // of a step that has changed the session
	)
	session, err := f.sessions.take(context.WithoutCancel(ctx), c.SessionID, func(s *store.Session) (err error) {
		r, refused, err = f.confirm(ctx, s, c)
		return err
	})
	var reuse *reuseError
	switch {
	case errors.As(err, &reuse):
		return Completed{}, f.refuseReused(ctx, session.ID, reuse.owner, *c.Proof.Answer)
	case gone(err):
		f.redeemer.undo(ctx, r, errNoSession) // its tenant may have been deleted just now
		return Completed{}, errNoSession
	case errors.Is(err, store.ErrTooManyCodes):
		return Completed{}, errAnotherAnswer
	case errors.Is(err, errRepeated):
	case err != nil:
		f.redeemer.undo(ctx, r, err)
		return Completed{}, err
	case refused != nil:
		return Completed{}, refused
	case r != nil:
		f.redeemer.redeem(ctx, session, r)
	}
	if r == nil {
		credential, err := f.Store.Credentials.Connected(ctx, session.Ref)
		if errors.Is(err, store.ErrNotFound) {
			err = oauth.Errorf(oauth.NotFound, "the session was completed, but %s has been deleted since", session.Ref)
		}
		warning := ""
		if err == nil && credential.Session == session.ID {
			warning, err = f.connector.sharedBusiness(ctx, session.Ref, credential.Token)
		}
		return Completed{session.Ref, credential, warning}, err
	}
	_, credential, err := r.await(ctx)
	if err != nil {
		return Completed{}, err
	}
	return Completed{session.Ref, credential, r.warning}, nil
}

var errNoSession = oauth.Errorf(oauth.NotFound, "the tenant has no such session, or it ended a while ago; begin again")

// refuseReused answers a completion that brought a code of the session owner.
func (f *Flow) refuseReused(ctx context.Context, id, owner string, a Answer) error {
	_, err := f.sessions.failReused(ctx, id, owner, a)
	switch {
	case gone(err):
		return errNoSession
	case err != nil:
		return err
	}
	return oauth.Errorf(oauth.SessionUsed, "the code belongs to another session, and nothing was connected; begin again")
}

// errAnotherAnswer refuses a second answer for one state.
var errAnotherAnswer = oauth.Errorf(oauth.SessionUsed, "another answer of the provider has come for this session; begin again")

// trimmed returns the proof without the end of a copied URL.
func (p Proof) trimmed() Proof {
	p.ConnectCode = withoutFragment(p.ConnectCode)
	if p.Answer != nil {
		answer := p.Answer.trimmed()
		p.Answer = &answer
	}
	return p
}

func (p Proof) check() error {
	switch {
	case p.Answer == nil:
		return nil
	case !p.ConnectCode.IsZero():
		return oauth.Invalid("connect_code", "cannot be given together with state")
	case !p.Answer.wellFormed():
		return oauth.Invalid("state", "must be the state of the authorization URL, with either code or error as the provider sent them")
	}
	return nil
}

// confirm is the step of a completion, under the session's lock. It returns the redemption
// that it starts, or errRepeated and the one that it joins, if that still runs. With the
// error refused, the changed session is stored; any other error leaves the session as it
// was.
func (f *Flow) confirm(ctx context.Context, s *store.Session, c Completion) (r *redemption, refused, err error) {
	if s.Ref.Tenant != c.Tenant {
		return nil, nil, errNoSession
	}
	// The code is claimed before the actor is compared: the provider accepts it, whichever
	// actor brings it.
	if a := c.Proof.Answer; a != nil && !s.Device && SessionID(a.State.Reveal()) == s.ID {
		if err := f.sessions.claim(ctx, s, *a); err != nil {
			return nil, nil, err
		}
	}
	running := f.redeemer.running(s.ID)
	if s.Status == store.SessionRedeeming && running == nil {
		if err := f.redeemer.resolve(ctx, s); err != nil {
			return nil, nil, err
		}
	}
	// Only a session that completes by its callback may have no actor.
	if s.Actor != "" && subtle.ConstantTimeCompare([]byte(s.Actor), []byte(c.Actor)) != 1 {
		refused := oauth.Errorf(oauth.ActorMismatch, "the session was begun for another actor; begin again as the person who is signed in")
		if !unfinished(*s) {
			return nil, nil, refused
		}
		s.Fail(oauth.ActorMismatch, "another actor tried to complete the session; begin again")
		return nil, refused, nil
	}
	if refused, err := f.prove(s, c.Proof); refused != nil || err != nil {
		return nil, refused, err
	}
	switch {
	case s.Status == store.SessionCompleted:
		return nil, nil, errRepeated
	case s.Status == store.SessionFailed:
		return nil, nil, failure(*s)
	case s.Status == store.SessionRedeeming:
		return running, nil, errRepeated
	case expired(*s, f.Now()):
		return nil, nil, oauth.Errorf(oauth.SessionExpired, "the session expired; begin again")
	}
	// A code is not spent on a ref that cannot be connected now. It stays parked.
	_, config, err := f.client(ctx, s.Ref.Provider)
	if err == nil {
		err = admission.Connect(ctx, f.Store, s.Ref, *config.RequireInstallation)
	}
	if err == nil {
		err = limited(s, f.Now())
	}
	switch {
	case err == nil:
		return f.redeemer.start(s), nil, nil
	case oauth.CodeOf(err) != "":
		return nil, err, nil
	}
	return nil, nil, err
}

// limited returns the error of a session whose code or token has met a rate limit that is
// not over, so that a repeated request costs no call.
func limited(s *store.Session, now time.Time) error {
	if left := s.RetryAt.Sub(now); left <= 0 || left > 24*time.Hour { // more: the clock was set back
		return nil
	}
	return oauth.Errorf(oauth.Throttled, "the provider has limited the calls for this account; try again after %s", s.RetryAt.Format(time.RFC3339))
}

// prove compares the proof with the session. A relayed answer is applied here, as a
// callback applies one. The results are those of confirm.
func (f *Flow) prove(s *store.Session, p Proof) (refused, err error) {
	switch {
	case s.Device && (p.Answer != nil || !p.ConnectCode.IsZero()):
		return nil, oauth.Invalid("connect_code", "and state are not taken by a device session: send only actor")
	case s.Device:
		return nil, mayPoll(*s, f.Now())
	case s.SDK && p.Answer == nil:
		return nil, oauth.Invalid("state", "is required, with the code that the provider's SDK handed to your page: the session was begun with grant=sdk, and has no connect_code")
	case p.Answer == nil && p.ConnectCode.IsZero():
		return nil, oauth.Invalid("connect_code", "is required, or state with what the provider sent to your redirect URI")
	case p.Answer == nil:
		return f.proveConnectCode(s, p.ConnectCode)
	}
	if SessionID(p.Answer.State.Reveal()) != s.ID {
		return nil, oauth.Invalid("state", "is not that of this session")
	}
	again := approves(s, *p.Answer)
	switch {
	case again:
	case s.Denied:
		return nil, nil // the person has declined again
	case s.CallbackHash != nil && !bytes.Equal(s.CallbackHash, p.Answer.hash()):
		return nil, errAnotherAnswer
	case s.CallbackHash != nil:
		return nil, nil
	}
	if s.Status != store.SessionPending && !again || expired(*s, f.Now()) {
		return nil, nil
	}
	authorize(s, f.Providers[s.Ref.Provider], *p.Answer, f.Now().UTC())
	if s.Status == store.SessionFailed {
		return failure(*s), nil
	}
	return nil, nil
}

func (f *Flow) proveConnectCode(s *store.Session, code oauth.Secret) (refused, err error) {
	right := s.ConnectCodeHash != nil && subtle.ConstantTimeCompare(s.ConnectCodeHash, connectCodeHash(code)) == 1
	switch {
	case right:
		return nil, nil
	case s.Status == store.SessionFailed:
		return nil, failure(*s)
	case s.Status == store.SessionPending && expired(*s, f.Now()):
		return nil, oauth.Errorf(oauth.SessionExpired, "the session expired; begin again")
	case s.Status == store.SessionPending:
		return nil, oauth.Errorf(oauth.Pending, "the person has not come back from the provider yet; complete when they have")
	case s.Status != store.SessionAuthorized:
		return nil, oauth.Errorf(oauth.SessionUsed, "the session was completed with another connect code; begin again")
	}
	if s.WrongTries++; s.WrongTries >= maxWrongTries {
		s.Fail(oauth.AccessDenied, "too many wrong connect codes; begin again")
		return failure(*s), nil
	}
	return oauth.Invalid("connect_code", "is not the one that the callback page shows; tries left: %d", maxWrongTries-s.WrongTries), nil
}

// failure returns the error of a session that has failed.
func failure(s store.Session) error {
	code := s.Error
	if code == oauth.Interrupted || code == oauth.Cancelled {
		code = oauth.SessionUsed
	}
	return oauth.Errorf(code, "%s", s.Message)
}
