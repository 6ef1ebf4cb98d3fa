package call

import (
	"context"
	"maps"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// A result is that of a call. done is closed when the other fields are set.
type result struct {
	done       chan struct{}
	credential store.Credential
	err        error
}

// underWay has the results of the calls under way, by name and ref. The zero value is
// ready.
type underWay struct {
	mu      sync.Mutex
	results map[string]*result
	closed  bool // no call begins any more
}

// errClosed is returned instead of a call that would begin while the mount shuts down:
// [Calls.Wait] would not wait for it.
var errClosed = oauth.Errorf(oauth.Unavailable, "the engine is shutting down; try again")

// join returns the result of the call under way for ref. If there is none, mine is
// true, and the caller must make the call and finish it. No call begins once ctx has
// ended.
func (u *underWay) join(ctx context.Context, name string, ref tenant.Ref) (res *result, mine bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := name + " " + ref.String()
	if res := u.results[key]; res != nil {
		return res, false, nil
	}
	if u.closed || ctx.Err() != nil {
		return nil, false, errClosed
	}
	if u.results == nil {
		u.results = map[string]*result{}
	}
	res = &result{done: make(chan struct{})}
	u.results[key] = res
	return res, true, nil
}

// finish passes the result to all callers that joined.
func (u *underWay) finish(name string, ref tenant.Ref, res *result) {
	u.mu.Lock()
	delete(u.results, name+" "+ref.String())
	u.mu.Unlock()
	close(res.done)
}

// Wait begins no more calls. It returns when the calls that are under way have ended, and what they left unstored
// has been tried once more. After [Options].Context the calls end within
// [provider.CallTimeout].
func (cs *Calls) Wait() {
	cs.underWay.mu.Lock()
	cs.underWay.closed = true
	results := slices.Collect(maps.Values(cs.underWay.results))
	cs.underWay.mu.Unlock()
	for _, res := range results {
		<-res.done
	}
	cs.storeLast()
}

// Wait returns the result of a shared call, or an error if ctx or its budget of provider
// calls ends before. The call goes on for other callers.
func Wait[T any](ctx context.Context, results <-chan T) (res T, err error) {
	patience, cancel := provider.Patience(ctx)
	defer cancel()
	select {
	case res = <-results:
		return res, nil
	case <-patience.Done():
	}
	if ctx.Err() != nil {
		return res, ctx.Err()
	}
	return res, oauth.Errorf(oauth.Unavailable, "the provider did not answer within %s; try again", provider.CallTimeout)
}

// Guard calls do, and turns a panic into a transient error and a log line.
func Guard(log hclog.Logger, ref tenant.Ref, do func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Error("panic while calling the provider", "ref", ref.String(), "panic", p, "stack", string(debug.Stack()))
			err = &provider.Error{Class: provider.Transient, Op: "calling the provider", Message: "internal error"}
		}
	}()
	return do()
}
