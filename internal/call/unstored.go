package call

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// An unstored is the answer to a refresh, with fresh tokens, that storage has not taken. The
// provider may have spent the refresh token that the record has: the answer is held in
// memory until it is stored, and no call is made about the credential meanwhile. What is
// lost in a crash is in docs/decisions/refresh-tokens.md.
type unstored struct {
	before store.Credential
	answer oauth.Token
}

// unstoreds are the unstored answers by ref. The zero value is ready.
type unstoreds struct {
	mu sync.Mutex
	by map[tenant.Ref]unstored
}

func (u *unstoreds) hold(ref tenant.Ref, answer unstored) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.by == nil {
		u.by = map[tenant.Ref]unstored{}
	}
	u.by[ref] = answer
}

// of returns the answer that is held for ref. It is held until release.
func (u *unstoreds) of(ref tenant.Ref) (answer unstored, ok bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	answer, ok = u.by[ref]
	return answer, ok
}

func (u *unstoreds) release(ref tenant.Ref) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.by, ref)
}

func (u *unstoreds) holds(ref tenant.Ref) bool {
	_, ok := u.of(ref)
	return ok
}

func (u *unstoreds) refs() (refs []tenant.Ref) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for ref := range u.by {
		refs = append(refs, ref)
	}
	return refs
}

// storeUnstored stores the answer that is held for ref, if there is one. If its credential
// was deleted or connected again meanwhile, it is revoked.
func (cs *Calls) storeUnstored(ctx context.Context, ref tenant.Ref) error {
	if !cs.unstored.holds(ref) {
		return nil
	}
	_, err := cs.Refresh(ctx, ref, func(store.Credential) bool { return false })
	if store.Gone(err) || oauth.CodeOf(err) != "" {
		return nil
	}
	return err
}

// storeHeld records the answer that is held for ref, also if the mount shuts down.
func (cs *Calls) storeHeld(ctx context.Context, ref tenant.Ref, op operation, held unstored) (store.Credential, error) {
	ctx = context.WithoutCancel(ctx)
	config, err := cs.Store.Mount.Config(ctx, ref.Provider)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return store.Credential{}, err
	}
	return cs.record(ctx, ref, op, held.before, config, held.answer, nil)
}

// storeLast stores every answer that is held when no call can be made any more, within
// lastStoring.
func (cs *Calls) storeLast() {
	if !cs.Writable() || len(cs.unstored.refs()) == 0 {
		return
	}
	stored := make(chan struct{})
	go func() {
		defer close(stored)
		for _, ref := range cs.unstored.refs() {
			err := Guard(cs.Log, ref, func() error {
				held, ok := cs.unstored.of(ref)
				if !ok {
					return nil
				}
				_, err := cs.storeHeld(cs.Context, ref, cs.refreshing(ref.Provider, nil), held)
				return StorageError(err)
			})
			if err != nil && !store.Gone(err) {
				cs.Log.Error("a fresh token could not be stored before the shutdown, and is lost", "ref", ref.String(), "error", err)
			}
		}
	}()
	late := time.NewTimer(lastStoring)
	defer late.Stop()
	select {
	case <-stored:
	case <-late.C:
		cs.Log.Error("storage did not take all fresh tokens before the shutdown", "waited", lastStoring)
	}
}

// lastStoring is for how long a shutdown waits for storage to take what is held.
const lastStoring = 10 * time.Second

// StoreUnstored stores every answer that is held.
func (cs *Calls) StoreUnstored(ctx context.Context) error {
	var errs []error
	for _, ref := range cs.unstored.refs() {
		errs = append(errs, cs.storeUnstored(ctx, ref))
	}
	return errors.Join(errs...)
}
