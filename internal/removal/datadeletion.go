package removal

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// deletionKept is for how long it can be read what became of a deletion. A
// request is refused after a day, so none that was carried out comes back.
const deletionKept = 90 * 24 * time.Hour

// TakeDeletion takes in that somebody took their grant away and asks for what
// is kept of them to be deleted. The credentials that live by the grant are
// treated as by [notification.Receiver.Deauthorize]; the worker deletes them when the provider,
// asked, says that the grant is gone. It is not asked before its servers can
// agree: a deletion that was rejected is not taken up again. The code confirms
// the deletion; the same request has the same one.
func (r *Remover) TakeDeletion(ctx context.Context, name, signed string) (code oauth.Secret, err error) {
	notice, err := r.Notifications.Open(ctx, name, signed)
	if err != nil {
		return oauth.Secret{}, err
	}
	if code, err = r.Store.Mount.DataDeletionCode(ctx, name, notice.Account, notice.At); err != nil {
		return oauth.Secret{}, err
	}
	ctx = context.WithoutCancel(ctx)
	ended := false
	err = r.Store.Mount.UpdateDataDeletion(ctx, store.DataDeletionID(code), func(old *store.DataDeletion) (store.DataDeletion, time.Time, error) {
		if old != nil {
			ended = old.Status != store.DataDeletionPending
			return store.DataDeletion{}, time.Time{}, errUnchanged
		}
		return store.DataDeletion{Provider: name, Status: store.DataDeletionPending, Account: notice.Account, AskedAt: notice.At}, r.Now().Add(notification.Believed), nil
	})
	if err = ignore(err, errUnchanged); err != nil || ended {
		return code, err
	}
	_, err = r.Notifications.Apply(ctx, name, notice)
	return code, err
}

// Deletion returns what became of the deletion that code confirms, for whoever
// has the code.
func (r *Remover) Deletion(ctx context.Context, name string, code oauth.Secret) (store.DataDeletionStatus, error) {
	if len(code.Reveal()) != store.DataDeletionCodeLength {
		return "", errNoDeletion
	}
	d, err := r.Store.Mount.DataDeletion(ctx, store.DataDeletionID(code))
	if errors.Is(err, store.ErrNotFound) || err == nil && d.Provider != name {
		return "", errNoDeletion
	}
	return d.Status, err
}

var errNoDeletion = oauth.Errorf(oauth.NotFound, "there is no such deletion, or it ended long ago")

// Erase is the due work at a deletion: to carry it out, and to forget it when
// its time is over.
func (r *Remover) Erase(ctx context.Context, entry due.Entry) error {
	if dropped, err := r.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	d, err := r.Store.Mount.DataDeletion(ctx, entry.ID)
	if err != nil {
		return err
	}
	if d.Status != store.DataDeletionPending {
		return r.Store.Mount.DeleteDataDeletion(ctx, entry)
	}
	status, err := r.eraseAll(ctx, d)
	if err != nil {
		r.Log.Warn("a deletion could not be carried out", "error", err)
	}
	return r.Store.Mount.UpdateDataDeletion(ctx, entry.ID, func(old *store.DataDeletion) (store.DataDeletion, time.Time, error) {
		if old == nil {
			return store.DataDeletion{}, time.Time{}, store.ErrNotFound
		}
		after, now := *old, r.Now().UTC()
		if status == store.DataDeletionPending {
			after.Attempts++
			return after, now.Add(plan.Backoff(after.Attempts)), nil
		}
		after.Status, after.Account, after.EndedAt = status, "", now
		return after, now.Add(deletionKept), nil
	})
}

// eraseAll deletes the credentials that the deletion is about, and returns what
// has become of it. The error says why it is still pending. All are asked about
// before one is deleted: where one lives the grant stands, and a token that is
// dead all the same died of something else.
func (r *Remover) eraseAll(ctx context.Context, d store.DataDeletion) (store.DataDeletionStatus, error) {
	holders, err := r.Store.Credentials.Holders(ctx, d.Provider, d.Account)
	if err != nil {
		return store.DataDeletionPending, err
	}
	var errs []error
	perished, status := map[tenant.Ref]store.Credential{}, store.DataDeletionCompleted
	for _, holder := range holders {
		switch c, verdict, err := r.examine(ctx, d, holder.Ref); {
		case err != nil:
			errs = append(errs, err)
		case verdict == lives:
			status = store.DataDeletionRejected
		case verdict == dead:
			perished[holder.Ref] = c
		}
	}
	if status != store.DataDeletionRejected {
		for ref, c := range perished {
			errs = append(errs, r.eraseOne(ctx, ref, c))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return store.DataDeletionPending, err
	}
	if status == store.DataDeletionCompleted {
		// It drops the account's index entries that lead nowhere.
		if _, err := r.Store.Credentials.Holders(ctx, d.Provider, d.Account); err != nil {
			return store.DataDeletionPending, err
		}
	}
	return status, nil
}

// A verdict is what the provider, asked, says of a grant.
type verdict int

const (
	spared verdict = iota // it is not what the deletion is about, or is there no more
	dead
	lives
)

// examine asks the provider about a credential, and returns it as it then is.
// What was connected since the person asked is not what they asked about.
func (r *Remover) examine(ctx context.Context, d store.DataDeletion, ref tenant.Ref) (store.Credential, verdict, error) {
	if err := r.Budget.Wait(ctx); err != nil {
		return store.Credential{}, spared, err
	}
	_, refusal := r.Refresh.Check(ctx, ref)
	c, err := r.Store.Credentials.Read(ctx, ref)
	switch {
	case err != nil, notification.Precedes(d.AskedAt, c):
		return c, spared, ignore(err, store.ErrNotFound)
	case refusal == nil && c.Status == store.Active:
		return c, lives, nil
	case c.Status == store.NeedsReauth, c.Gone():
		return c, dead, nil
	}
	return c, spared, cmp.Or(refusal, errSuperseded) // it is not known
}

// eraseOne deletes one credential, with its pages.
func (r *Remover) eraseOne(ctx context.Context, ref tenant.Ref, c store.Credential) error {
	if err := r.Store.Removals.ScheduleRedaction(ctx, ref.String()); err != nil {
		return err
	}
	// First the pages: of a credential that is gone nobody would look for them.
	if err := r.Store.Credentials.DeletePages(ctx, ref); err != nil {
		return err
	}
	if err := r.Store.Credentials.Delete(ctx, ref, unchanged(c)); err != nil {
		return ignore(err, store.ErrNotFound)
	}
	r.Log.Info("deleted, as the person asked of the provider", "ref", ref.String())
	return r.Store.Credentials.DeletePages(ctx, ref) // what was fetched meanwhile
}

// errUnchanged is returned if there is nothing to be stored.
var errUnchanged = errors.New("nothing changes")

// ignore returns err, unless it is what is expected.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
