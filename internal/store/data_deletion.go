package store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// DataDeletionStatus is what has become of a deletion.
type DataDeletionStatus string

// The states of a deletion.
const (
	DataDeletionPending   DataDeletionStatus = "pending"   // the provider is still to confirm that the grant is gone
	DataDeletionCompleted DataDeletionStatus = "completed" // nothing is kept any more
	DataDeletionRejected  DataDeletionStatus = "rejected"  // the provider says that the grant stands
)

// A DataDeletion is a person's request to the provider that whatever is kept of
// them be deleted.
type DataDeletion struct {
	Provider string             `json:"provider"`
	Status   DataDeletionStatus `json:"status"`
	// Account is whose it is, while the deletion is pending: what remains of it
	// then names nobody.
	Account string `json:"account,omitempty"`
	// AskedAt is when the person asked for it, EndedAt when the deletion came to
	// its end.
	AskedAt time.Time `json:"asked_at"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Attempts is how often the worker could not bring it to its end.
	Attempts int `json:"attempts,omitempty"`
	// Due is the key of the deletion's entry in the due index.
	Due string `json:"due"`
}

// DataDeletionCode returns the confirmation code of the deletion that an account
// asked for at a time: 128 bits that nobody else can guess. It is the same each
// time, so that a request that comes twice is one.
func (s *Store) DataDeletionCode(ctx context.Context, provider, account string, asked time.Time) (oauth.Secret, error) {
	// No provider's name has a colon, so that this is no entry of the index.
	name, err := s.accountName(ctx, "deletion:"+provider, account+"\x00"+strconv.FormatInt(asked.Unix(), 10), true)
	if err != nil {
		return oauth.Secret{}, err
	}
	return oauth.NewSecret(name[:DataDeletionCodeLength]), nil
}

// DataDeletionCodeLength is how many hexadecimal digits a confirmation code has.
const DataDeletionCodeLength = 32

// DataDeletionID returns the id of the deletion that code confirms. It does not
// tell the code.
func DataDeletionID(code oauth.Secret) string {
	sum := sha256.Sum256([]byte(code.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// DataDeletion returns the deletion with that id, or ErrNotFound.
func (s *Store) DataDeletion(ctx context.Context, id string) (DataDeletion, error) {
	key := dataDeletionKey(id)
	b, err := s.get(ctx, key)
	switch {
	case err != nil:
		return DataDeletion{}, err
	case b == nil:
		return DataDeletion{}, ErrNotFound
	}
	k, err := s.mountKeyring(ctx, false)
	if errors.Is(err, ErrNotFound) {
		return DataDeletion{}, corrupt(key, err)
	}
	if err != nil {
		return DataDeletion{}, err
	}
	var d DataDeletion
	return d, open(k, key, b, &d)
}

// UpdateDataDeletion stores what change makes of the deletion with that id, and
// when the worker shall next see to it. old is nil if there is none. An error
// of change is returned, and nothing is stored.
func (s *Store) UpdateDataDeletion(ctx context.Context, id string, change func(old *DataDeletion) (DataDeletion, time.Time, error)) error {
	key := dataDeletionKey(id)
	defer s.records.lock(key)()
	var old *DataDeletion
	switch d, err := s.DataDeletion(ctx, id); {
	case err == nil:
		old = &d
	case !errors.Is(err, ErrNotFound):
		return err
	}
	d, at, err := change(old)
	if err != nil {
		return err
	}
	due, err := s.schedule(ctx, at, time.Time{}, DueDataDeletion, id)
	if err != nil {
		return err
	}
	d.Due = due.key()
	k, err := s.mountKeyring(ctx, true)
	if err != nil {
		return err
	}
	sealed, err := seal(k, key, d)
	if err != nil {
		return err
	}
	if err := s.put(ctx, key, sealed); err != nil || old == nil || old.Due == d.Due {
		return err
	}
	_ = s.storage.Delete(ctx, old.Due) // a hint, as in UpdateCredential
	return nil
}

// ForgetDataDeletion deletes the deletion, and then the hint that led to it.
func (s *Store) ForgetDataDeletion(ctx context.Context, due Due) error {
	defer s.records.lock(dataDeletionKey(due.ID))()
	if err := s.storage.Delete(ctx, dataDeletionKey(due.ID)); err != nil {
		return err
	}
	return s.storage.Delete(ctx, due.key())
}
