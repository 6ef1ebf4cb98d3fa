package refresh

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// errUnverified is what everybody is told whose words are not the provider's:
// the same whatever is wrong with them.
var errUnverified = oauth.Errorf(oauth.InvalidRequest, "this was not sent by the provider, or not for this mount; nothing was changed")

// TakeDeauthorization takes in what the provider posts when somebody takes
// their grant away. The credentials that live by it are out of service when it
// returns, and are checked soon, which brings those back that live after all.
func (r *Refresher) TakeDeauthorization(ctx context.Context, name, signed string) error {
	word, err := r.openSigned(ctx, name, signed)
	if err != nil {
		return err
	}
	_, err = r.heed(ctx, name, []provider.Word{word})
	return err
}

// openSigned returns the word in a signed request, which may be anybody's. It
// costs no storage call once the configuration is known.
func (r *Refresher) openSigned(ctx context.Context, name, signed string) (provider.Word, error) {
	if !r.Writable() {
		return provider.Word{}, store.ErrReadOnly
	}
	p, config, err := r.Breaker.Client(ctx, name)
	opener, ok := p.(provider.SignedRequests)
	switch {
	case err != nil && provider.ClassOf(err) != provider.Misconfigured:
		return provider.Word{}, err // storage's
	case err != nil, !ok:
		return provider.Word{}, errUnverified
	}
	word, err := opener.OpenSignedRequest(config.Client(), signed)
	return word, verified(err)
}

// TakeDelivery takes in what the provider delivered to the application's
// webhook: the bytes of the body, and their signature. It returns how many
// credentials were marked: taken out of service, or to be checked at once.
func (r *Refresher) TakeDelivery(ctx context.Context, name string, body []byte, signature string) (marked int, err error) {
	if !r.Writable() {
		return 0, store.ErrReadOnly
	}
	p, config, err := r.Breaker.Client(ctx, name)
	if err != nil {
		return 0, err
	}
	opener, ok := p.(provider.Notifier)
	if !ok {
		return 0, errUnverified
	}
	words, err := opener.OpenDelivery(config.Client(), body, signature)
	if err := verified(err); err != nil {
		return 0, err
	}
	return r.heed(ctx, name, words)
}

func verified(err error) error {
	if errors.Is(err, provider.ErrUnverified) {
		return errUnverified
	}
	return err
}

// heed takes in what the provider said, and returns how many credentials were
// marked for it. Who sent it may go away meanwhile: what was begun is done.
func (r *Refresher) heed(ctx context.Context, name string, words []provider.Word) (marked int, err error) {
	ctx = context.WithoutCancel(ctx)
	counts := make([]int, len(words))
	err = sweep.InParallel(ctx, sweep.Parallel, len(words), func(i int) (err error) {
		counts[i], err = r.heedOne(ctx, name, words[i])
		return err
	})
	for _, n := range counts {
		marked += n
	}
	return marked, err
}

// heedOne takes in one word. What keeps one credential from being marked keeps
// no other.
func (r *Refresher) heedOne(ctx context.Context, name string, w provider.Word) (marked int, err error) {
	holders, err := r.concerned(ctx, name, w)
	errs := []error{err}
	for _, holder := range holders {
		changed, err := r.mark(ctx, holder.Ref, w)
		if changed {
			marked++
		}
		errs = append(errs, err)
	}
	return marked, errors.Join(errs...)
}

// concerned returns the credentials that w is about. One that is being stored
// is among them, or is checked as soon as it is: its account is locked.
func (r *Refresher) concerned(ctx context.Context, name string, w provider.Word) ([]store.Holder, error) {
	account := w.Account
	if account == "" {
		account = store.BusinessAccount(w.Business)
	}
	defer r.Store.LockAccount(name, account)()
	if w.Gone {
		r.Revoker.Revoked(name, account)
	}
	return r.Store.Holders(ctx, name, account)
}

// mark takes w in at one credential, and reports whether that changed it.
func (r *Refresher) mark(ctx context.Context, ref tenant.Ref, w provider.Word) (bool, error) {
	var c store.Credential
	_, err := r.Store.UpdateCredential(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil {
			return store.Credential{}, errUnchanged
		}
		c = *old
		return c, told(&c, w, r.Now().UTC())
	})
	switch {
	case errors.Is(err, errUnchanged), gone(err):
		return false, nil
	case errors.Is(err, store.ErrCorrupt):
		// What does not open is not served, and will not open when it is told again.
		r.Log.Warn("passed over", "ref", ref.String(), "error", err)
		return false, nil
	case err != nil:
		return false, err
	case w.Gone:
		r.Log.Info("the provider tells of an ended grant", "ref", ref.String(), "status", c.Status)
	}
	return true, nil
}

// errUnchanged is returned if there is nothing to be stored.
var errUnchanged = errors.New("nothing changes")

// refuted is for how long a word is believed although a check has found the
// token alive since: the provider's own servers take a while to agree. The
// engine does not ask before.
const refuted = time.Minute

// told takes w in, or returns errUnchanged. A word that is older than the
// connection is about a former one, and one from the moments in which the token
// was obtained may be. Where there is doubt, the token is checked.
func told(c *store.Credential, w provider.Word, now time.Time) error {
	known := w.At.Add(refuted).Before(c.CheckedAt)
	switch {
	case c.Status == store.Revoked, !w.Gone && (c.Status != store.Active || known && !w.At.IsZero()):
		return errUnchanged
	case w.At.IsZero():
		return checkSoon(c, now)
	case precedes(w.At, *c):
		return errUnchanged
	case !w.Gone, known, before(w.At, c.ConnectedAt):
		return checkSoon(c, now)
	}
	c.Status, c.ToldAt = store.Revoked, now
	c.LastError = &store.Failure{Class: string(provider.Revoked), Concerns: string(provider.ConcernsAccount), Remedy: string(provider.RemedyPerson), Message: w.Reason, At: now}
	c.NextRefresh, c.NextCheck, c.NextNotice = time.Time{}, now.Add(refuted), time.Time{}
	c.ConsecutiveFailures = 0 // those of the check are counted
	c.Record(now, string(c.Status), w.Reason)
	return nil
}

// precedes reports whether what was said at a time was said before c's grant. By
// our clock alone that is not known: the token was obtained some time before it
// was stored, and the provider's clock may be behind.
func precedes(at time.Time, c store.Credential) bool {
	return before(at, c.ConnectedAt) && before(at, c.Token.IssuedAt)
}

// before compares a provider's time, which is in seconds, with ours.
func before(at, ours time.Time) bool { return at.Before(ours.Truncate(time.Second)) }

// checkSoon has the credential checked by the next sweep.
func checkSoon(c *store.Credential, now time.Time) error {
	if c.Status != store.Active || !c.NextCheck.IsZero() && !c.NextCheck.After(now) {
		return errUnchanged
	}
	c.NextCheck = now
	return nil
}
