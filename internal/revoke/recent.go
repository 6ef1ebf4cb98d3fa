package revoke

import (
	"maps"
	"sync"
	"time"
)

// recentKept is for how long a revocation is remembered: longer than a session may last
// that was begun before it.
const recentKept = 2 * time.Hour

// recent are the grants that this process has revoked lately.
type recent struct {
	mu sync.Mutex
	at map[string]time.Time
	// pruned is when old entries were last deleted. A removal adds many at a time.
	pruned time.Time
}

func (r *recent) add(provider, account string, at time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = map[string]time.Time{}
	}
	if at.Sub(r.pruned).Abs() > time.Minute {
		maps.DeleteFunc(r.at, func(_ string, old time.Time) bool { return at.Sub(old) > recentKept })
		r.pruned = at
	}
	r.at[provider+"\x00"+account] = at
}

func (r *recent) since(provider, account string, begun time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	at, ok := r.at[provider+"\x00"+account]
	return ok && !at.Before(begun)
}
