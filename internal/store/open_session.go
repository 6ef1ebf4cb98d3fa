package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// LockOpen keeps other callers that lock the same ref and actor out until unlock
// is called, so that what [Sessions.ListOpen] returns stays true while a
// session is begun.
func (s *Sessions) LockOpen(ref tenant.Ref, actor string) (unlock func()) {
	return s.locks.lock(openPrefix + openOwner(ref, actor))
}

// An OpenSession is an index entry of a session that has not ended, as far as
// the index knows.
type OpenSession struct {
	ID  string
	key string
}

// ListOpen returns the sessions that are open for the ref and actor, oldest
// first, without those whose time is over. If they are limit or more, the index
// entries of the latter are deleted. It costs one List of its own folder.
func (s *Sessions) ListOpen(ctx context.Context, ref tenant.Ref, actor string, limit int) (open []OpenSession, err error) {
	dir, err := s.openDir(ctx, ref, actor)
	if err != nil {
		return nil, err
	}
	names, err := s.storage.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	slices.Sort(names) // the time when it was begun comes first in a name
	for _, name := range names {
		expiry, id, ok := parseOpen(name)
		if ok && s.now().Before(expiry) {
			open = append(open, OpenSession{id, dir + name})
		} else if len(names) >= limit {
			if err := s.storage.Delete(ctx, dir+name); err != nil {
				return nil, err
			}
		}
	}
	return open, nil
}

// DeleteOpen deletes the index entry of a session that has ended.
func (s *Sessions) DeleteOpen(ctx context.Context, o OpenSession) error {
	return s.storage.Delete(ctx, o.key)
}

func openOwner(ref tenant.Ref, actor string) string { return ref.Flat() + "\x00" + actor }

func (s *Sessions) openDir(ctx context.Context, ref tenant.Ref, actor string) (string, error) {
	name, err := s.keyrings.accountName(ctx, ref.Provider, "open:"+openOwner(ref, actor), true)
	return openPrefix + name + "/", err
}

// openKey is open/<HMAC of ref and actor>/<begun, in ns>,<expiry>,<session id>.
func (s *Sessions) openKey(ctx context.Context, session Session) (string, error) {
	dir, err := s.openDir(ctx, session.Ref, session.Actor)
	return fmt.Sprintf("%s%020d,%s,%s", dir, session.CreatedAt.UnixNano(), due.TenDigits(session.ExpiresAt.Unix()), session.ID), err
}

func parseOpen(name string) (expiry time.Time, id string, ok bool) {
	part := strings.SplitN(name, ",", 3)
	if len(part) != 3 {
		return time.Time{}, "", false
	}
	seconds, err := strconv.ParseInt(part[1], 10, 64)
	return time.Unix(seconds, 0), part[2], err == nil
}

// deleteOpenOf deletes the index entry that the session's due entry names. The
// session's record would name it too, but may not open any more.
func (s *Sessions) deleteOpenOf(ctx context.Context, d due.Entry) error {
	key, err := s.due.Value(ctx, d)
	if err != nil || !strings.HasPrefix(key, openPrefix) {
		return err
	}
	return s.storage.Delete(ctx, key)
}
