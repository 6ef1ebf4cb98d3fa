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

// statusKept is for how long a deletion's status can be read. A request is refused after a
// day, so none comes back after its status is deleted.
const statusKept = 90 * 24 * time.Hour

// DataDeletions delete the data of people that requested it at the provider.
type DataDeletions struct{ Options }

// NewDataDeletions returns DataDeletions.
func NewDataDeletions(o Options) *DataDeletions { return &DataDeletions{o} }

// Begin applies the request of a person that took their grant away and wants
// their data deleted. It takes the credentials that rest on the grant out of service, as
// [notification.Receiver.Deauthorize] does. The worker deletes them when a check confirms
// that the grant is gone. The check waits until the provider's own servers agree, because a
// deletion that was rejected is final. The code confirms the deletion; the same request has
// the same code.
func (ds *DataDeletions) Begin(ctx context.Context, name, signed string) (code oauth.Secret, err error) {
	notice, err := ds.Notifications.Open(ctx, name, signed)
	if err != nil {
		return oauth.Secret{}, err
	}
	if code, err = ds.Store.Mount.DataDeletionCode(ctx, name, notice.Account, notice.At); err != nil {
		return oauth.Secret{}, err
	}
	ctx = context.WithoutCancel(ctx)
	ended := false
	err = ds.Store.Mount.UpdateDataDeletion(ctx, store.DataDeletionID(code), func(old *store.DataDeletion) (store.DataDeletion, time.Time, error) {
		if old != nil {
			ended = old.Status != store.DataDeletionPending
			return store.DataDeletion{}, time.Time{}, errUnchanged
		}
		return store.DataDeletion{Provider: name, Status: store.DataDeletionPending, Account: notice.Account, AskedAt: notice.At}, ds.Now().Add(notification.Believed), nil
	})
	if err = ignore(err, errUnchanged); err != nil || ended {
		return code, err
	}
	_, err = ds.Notifications.Apply(ctx, name, notice)
	return code, err
}

// Status returns the status of the deletion that code confirms.
func (ds *DataDeletions) Status(ctx context.Context, name string, code oauth.Secret) (store.DataDeletionStatus, error) {
	if len(code.Reveal()) != store.DataDeletionCodeLength {
		return "", errNoDeletion
	}
	d, err := ds.Store.Mount.DataDeletion(ctx, store.DataDeletionID(code))
	if errors.Is(err, store.ErrNotFound) || err == nil && d.Provider != name {
		return "", errNoDeletion
	}
	return d.Status, err
}

var errNoDeletion = oauth.Errorf(oauth.NotFound, "there is no such deletion, or it ended long ago")

// Continue is the due work at a deletion: it carries it out, and deletes its record when
// its status need not be readable any more.
func (ds *DataDeletions) Continue(ctx context.Context, entry due.Entry) error {
	if dropped, err := ds.Store.DeleteIfStale(ctx, entry); dropped || err != nil {
		return err
	}
	d, err := ds.Store.Mount.DataDeletion(ctx, entry.ID)
	if err != nil {
		return err
	}
	if d.Status != store.DataDeletionPending {
		return ds.Store.Mount.DeleteDataDeletion(ctx, entry)
	}
	status, err := ds.deletePerson(ctx, d)
	if err != nil {
		ds.Log.Warn("a data deletion failed", "error", err)
	}
	return ds.Store.Mount.UpdateDataDeletion(ctx, entry.ID, func(old *store.DataDeletion) (store.DataDeletion, time.Time, error) {
		if old == nil {
			return store.DataDeletion{}, time.Time{}, store.ErrNotFound
		}
		after, now := *old, ds.Now().UTC()
		if status == store.DataDeletionPending {
			after.Attempts++
			return after, now.Add(plan.Backoff(after.Attempts)), nil
		}
		after.Status, after.Account, after.EndedAt = status, "", now
		return after, now.Add(statusKept), nil
	})
}

// deletePerson deletes the credentials that the deletion is about, and returns its status.
// The error says why it is still pending. All credentials are checked before one is
// deleted: if one lives the grant was not taken away, and any dead token has died of
// something else.
func (ds *DataDeletions) deletePerson(ctx context.Context, d store.DataDeletion) (store.DataDeletionStatus, error) {
	holders, err := ds.Store.Credentials.Holders(ctx, d.Provider, d.Account)
	if err != nil {
		return store.DataDeletionPending, err
	}
	var errs []error
	dead, status := map[tenant.Ref]store.Credential{}, store.DataDeletionCompleted
	for _, holder := range holders {
		switch c, verdict, err := ds.examine(ctx, d, holder.Ref); {
		case err != nil:
			errs = append(errs, err)
		case verdict == tokenLives:
			status = store.DataDeletionRejected
		case verdict == tokenDead:
			dead[holder.Ref] = c
		}
	}
	if status != store.DataDeletionRejected {
		for ref, c := range dead {
			errs = append(errs, ds.deleteOwned(ctx, ref, c))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return store.DataDeletionPending, err
	}
	if status == store.DataDeletionCompleted {
		// This deletes the account's stale index entries.
		if _, err := ds.Store.Credentials.Holders(ctx, d.Provider, d.Account); err != nil {
			return store.DataDeletionPending, err
		}
	}
	return status, nil
}

// A verdict is the result of a check for a deletion.
type verdict int

const (
	notConcerned verdict = iota // the deletion is not about the credential, or it is gone
	tokenDead
	tokenLives
)

// examine checks a credential, and returns it as it is afterwards. A deletion is not about
// a credential that was connected after the person's request.
func (ds *DataDeletions) examine(ctx context.Context, d store.DataDeletion, ref tenant.Ref) (store.Credential, verdict, error) {
	if err := ds.Budget.Wait(ctx); err != nil {
		return store.Credential{}, notConcerned, err
	}
	_, refusal := ds.Calls.Check(ctx, ref)
	c, err := ds.Store.Credentials.Read(ctx, ref)
	switch {
	case err != nil, notification.Precedes(d.AskedAt, c):
		return c, notConcerned, ignore(err, store.ErrNotFound)
	case refusal == nil && c.Status == store.Active:
		return c, tokenLives, nil
	case c.Status == store.NeedsReauth, c.Gone():
		return c, tokenDead, nil
	}
	return c, notConcerned, cmp.Or(refusal, errSuperseded) // the check brought no verdict
}

// deleteOwned deletes one credential, with its pages.
func (ds *DataDeletions) deleteOwned(ctx context.Context, ref tenant.Ref, c store.Credential) error {
	if err := ds.Store.Removals.ScheduleRedaction(ctx, ref.String()); err != nil {
		return err
	}
	// The pages are deleted first: without the credential above they would not be found.
	if err := ds.Store.Credentials.DeletePages(ctx, ref); err != nil {
		return err
	}
	if err := ds.Store.Credentials.Delete(ctx, ref, unchanged(c)); err != nil {
		return ignore(err, store.ErrNotFound)
	}
	ds.Log.Info("deleted at the person's request", "ref", ref.String())
	return ds.Store.Credentials.DeletePages(ctx, ref) // those fetched meanwhile
}

// errUnchanged is returned by a change that there is no need to store.
var errUnchanged = errors.New("nothing changes")

// ignore returns err, or nil if it is the expected one.
func ignore(err, expected error) error {
	if errors.Is(err, expected) {
		return nil
	}
	return err
}
