package backend_test

import (
	"net/http"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A trouble is a way in which the world is bad for a while.
type trouble string

const (
	outage      trouble = "the provider is down"
	broken      trouble = "connections to the provider break"
	throttling  trouble = "the provider throttles"
	wrongSecret trouble = "the app secret is wrong"
	fast        trouble = "the clock is a day ahead"
	slow        trouble = "the clock is a day behind"
	failing     trouble = "storage fails at random"
	standstill  trouble = "no engine runs"
	crashing    trouble = "the process is killed"
	lostAnswers trouble = "the provider's answers are lost"
)

// echo is for how long a trouble is felt after it is over.
var echo = map[trouble]time.Duration{
	// Work that waits for a provider comes back to it when a pause is over, which
	// is six hours at most and spread over one more, be it found to work before or
	// not. A check that is not due meanwhile is not late.
	outage:      longestWait,
	broken:      longestWait,
	lostAnswers: longestWait,
	wrongSecret: longestWait,
	// Of an app's limit Facebook does not say how long it lasts: it is asked again
	// after an hour at most.
	throttling: 3 * time.Hour,
	// What was planned by a clock that stood ahead comes a day late.
	fast: clockStep,
	slow: 0,
	// The next sweep finds what the last one left.
	failing: 0, crashing: 0, standstill: 0,
}

const (
	clockStep   = 24 * time.Hour
	longestWait = 7 * time.Hour
)

// strike brings a trouble about for d.
func (w *world) strike(what trouble, d time.Duration) {
	w.T.Helper()
	w.T.Logf("%s: for %v, %s", w.day(), d, what)
	if mend := w.mends[what]; mend != nil {
		mend()
	}
	w.until[what] = w.Clock.Now().Add(d)
	w.mends[what] = w.cause(what)
	w.budget.lose()
}

func (w *world) cause(what trouble) (mend func()) {
	switch what {
	case outage:
		return w.Facebook.Fail(authpipetest.Fault{Status: http.StatusServiceUnavailable, Body: "<html>down</html>"})
	case broken:
		return w.Facebook.Fail(authpipetest.Fault{Reset: true})
	case lostAnswers:
		return w.Facebook.Fail(authpipetest.Fault{AfterEffect: true, Truncate: true})
	case throttling:
		return w.Facebook.Throttle(authpipetest.Throttle{App: enginetest.AppID, CallCount: 100})
	case wrongSecret:
		return w.resetSecret()
	case fast, slow:
		step := clockStep
		if what == slow {
			step = -step
		}
		w.step(step)
		return func() { w.step(-step) }
	}
	return func() {}
}

func (w *world) step(by time.Duration) {
	w.skew.Add(int64(by))
	w.budget.pass(w, max(by, 0))
}

// resetSecret is what happens where somebody resets the app's secret in the
// dashboard; the operator of the mount learns of it a day later.
func (w *world) resetSecret() (mend func()) {
	secret := "s3cr3t-number-" + w.Clock.Now().Format(time.DateOnly) + "-0123456789"
	w.Facebook.SetAppSecret(enginetest.AppID, secret)
	return func() {
		w.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": secret})
	}
}

// pass ends the troubles that are over. An engine that was not there runs
// again first.
func (w *world) pass() {
	w.T.Helper()
	if w.in(standstill) && !w.Clock.Now().Before(w.until[standstill]) {
		w.end(standstill)
		w.start()
	}
	for what, at := range w.until {
		if !w.Clock.Now().Before(at) && w.mends[what] != nil && !(what == wrongSecret && w.in(standstill)) {
			w.end(what)
		}
	}
}

func (w *world) end(what trouble) {
	w.mends[what]()
	w.mends[what] = nil
	w.until[what] = w.Clock.Now().Add(echo[what]) // kept, for calm
}

// in reports whether a trouble is there.
func (w *world) in(what trouble) bool { return w.mends[what] != nil }

// calm reports whether there is no trouble, and none is felt any more.
func (w *world) calm() bool {
	for _, until := range w.until {
		if w.Clock.Now().Before(until) {
			return false
		}
	}
	return true
}
