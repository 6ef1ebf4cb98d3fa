package store

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
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
	// then names no account.
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
// asked for at a time: 128 bits that cannot be guessed. It is the same each
// time, so that a request that comes twice is one.
func (m *Mount) DataDeletionCode(ctx context.Context, provider, account string, asked time.Time) (oauth.Secret, error) {
	// No provider's name has a colon, so that this is no entry of the index.
	name, err := m.keyrings.accountName(ctx, "deletion:"+provider, account+"\x00"+strconv.FormatInt(asked.Unix(), 10), true)
	if err != nil {
		return oauth.Secret{}, err
	}
	return oauth.NewSecret(name[:DataDeletionCodeLength]), nil
}

// DataDeletionCodeLength is how many hexadecimal digits a confirmation code has.
const DataDeletionCodeLength = 32

// DataDeletionID returns the id of the deletion that code confirms. It does not
// show the code.
func DataDeletionID(code oauth.Secret) string {
	sum := sha256.Sum256([]byte(code.Reveal()))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// DataDeletion returns the deletion with that id, or ErrNotFound.
func (m *Mount) DataDeletion(ctx context.Context, id string) (DataDeletion, error) {
	key := dataDeletionKey(id)
	b, err := m.get(ctx, key)
	switch {
	case err != nil:
		return DataDeletion{}, err
	case b == nil:
		return DataDeletion{}, ErrNotFound
	}
	var d DataDeletion
	return d, m.keyrings.openMount(ctx, key, b, &d)
}

// UpdateDataDeletion stores what change makes of the deletion with that id, and
// when the worker shall next continue it; zero: at once. old is nil if there is none. An error
// of change is returned, and nothing is stored.
func (m *Mount) UpdateDataDeletion(ctx context.Context, id string, change func(old *DataDeletion) (DataDeletion, time.Time, error)) error {
	key := dataDeletionKey(id)
	defer m.locks.lock(key)()
	var old *DataDeletion
	former := ""
	switch d, err := m.DataDeletion(ctx, id); {
	case err == nil:
		old, former = &d, d.Due
	case !errors.Is(err, ErrNotFound):
		return err
	}
	d, at, err := change(old)
	if err != nil {
		return err
	}
	return m.putWithDue(ctx, work{DueDataDeletion, id, cmp.Or(at, m.now()), former}, func(due string) error {
		d.Due = due
		sealed, err := m.keyrings.sealedMount(ctx, key, d)
		if err != nil {
			return err
		}
		return m.put(ctx, key, sealed)
	})
}

// DeleteDataDeletion deletes the deletion, and then the due entry that led to it.
func (m *Mount) DeleteDataDeletion(ctx context.Context, d due.Entry) error {
	defer m.locks.lock(dataDeletionKey(d.ID))()
	if err := m.storage.Delete(ctx, dataDeletionKey(d.ID)); err != nil {
		return err
	}
	return m.due.Delete(ctx, d)
}
