package store

import "sync"

// keyedLocks is a read-write lock for each key. A lock that is neither held nor
// waited for takes no memory. The zero value is ready.
//
// No lock is held during a call to a provider. Locks of several kinds are
// taken in this order: an account's or that of the open sessions of an actor and
// ref, a credential's or session's, a code's, the tenant's keyring's, the tenant
// record's.
type keyedLocks struct {
	mu    sync.Mutex
	locks map[string]*keyedLock
}

type keyedLock struct {
	sync.RWMutex
	users int
}

// lock locks key.
func (l *keyedLocks) lock(key string) (unlock func()) {
	k := l.use(key)
	k.Lock()
	return func() { k.Unlock(); l.leave(key, k) }
}

// rlock locks key for reading: other callers of rlock get it at the same time.
func (l *keyedLocks) rlock(key string) (unlock func()) {
	k := l.use(key)
	k.RLock()
	return func() { k.RUnlock(); l.leave(key, k) }
}

func (l *keyedLocks) use(key string) *keyedLock {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks == nil {
		l.locks = map[string]*keyedLock{}
	}
	k := l.locks[key]
	if k == nil {
		k = &keyedLock{}
		l.locks[key] = k
	}
	k.users++
	return k
}

func (l *keyedLocks) leave(key string, k *keyedLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k.users--; k.users == 0 {
		delete(l.locks, key)
	}
}
