package refresh

import (
	"maps"
	"sync"
	"time"
)

// revocationsKept is for how long a revocation is remembered: longer than a
// session may last that was begun before it.
const revocationsKept = 2 * time.Hour

// revocations remembers which grants this process has lately revoked. A token
// that was obtained before, and is stored after, may be dead at birth.
type revocations struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (r *revocations) note(provider, account string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[string]time.Time{}
	}
	maps.DeleteFunc(r.at, func(_ string, old time.Time) bool { return at.Sub(old) > revocationsKept })
	r.at[provider+"\x00"+account] = at
}

func (r *revocations) since(provider, account string, begun time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[provider+"\x00"+account]
	return ok && !at.Before(begun)
}

// Suspects reports whether the provider's grant for the account was revoked by
// this process since begun: a token that was obtained meanwhile must be checked.
func (r *Refresher) Suspects(provider, account string, begun time.Time) bool {
	return r.revoked.since(provider, account, begun)
}
