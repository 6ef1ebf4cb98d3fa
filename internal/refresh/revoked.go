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
	// pruned is when the old ones were last dropped: not at each of the many that
	// a removal brings.
	pruned time.Time
}

func (r *revocations) note(provider, account string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[string]time.Time{}
	}
	if at.Sub(r.pruned).Abs() > time.Minute {
		maps.DeleteFunc(r.at, func(_ string, old time.Time) bool { return at.Sub(old) > revocationsKept })
		r.pruned = at
	}
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
