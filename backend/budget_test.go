package backend_test

import (
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A budget is how many calls the engine may make, by what has passed.
//
// A credential is checked after 70 to 100 % of the check interval, so n of
// them cost at most n/0.7 inspections an interval. It is refreshed after 50 to
// 80 % of its token's 60 days, so that is n exchanges in 30 days at most, each
// with an inspection of what it brought. Beyond that:
//
//   - While the provider cannot be reached, what is due is tried again by the
//     table of backoffs: in the first day after 0, 1, 2, 3, 5, 8, 14 and 20
//     hours where sweeps are an hour apart, later each six hours.
//   - While it throttles and does not say until when, it is asked again after an
//     hour at most, by a batch of 50 perhaps.
//   - While it refuses the client, one probe a sweep finds out whether that is
//     over. What was under way when it began is lost besides.
//   - A kill loses what was under way, too.
//   - While storage fails at random, what was due may have to be done again, and
//     that a provider is to be left alone may be forgotten.
//   - A clock that steps forward makes due what that time would have.
type budget struct {
	inspections, exchanges float64
	was                    map[string]int
}

const (
	probe    = 1 + underWay
	underWay = 50 + 8
	// triesADay is how often the table of backoffs tries in the first day.
	triesADay = 9
	tokenLife = authpipetest.LongLife
)

// pass grants what d costs.
func (b *budget) pass(w *world, d time.Duration) {
	n := float64(w.living())
	b.inspections += n * float64(d) / (0.7 * float64(checkInterval))
	b.exchanges += n * float64(d) / (0.5 * float64(tokenLife))
}

// sweep grants what one sweep may cost in times of trouble.
func (b *budget) sweep(w *world) {
	n := float64(w.living())
	switch {
	case w.in(outage), w.in(broken), w.in(lostAnswers):
		b.inspections += n * triesADay * float64(sweepEvery) / float64(24*time.Hour)
		b.exchanges += n * triesADay * float64(sweepEvery) / float64(24*time.Hour) / 6 // those due in 3 days of the 18 between 50 and 80 %
	case w.in(throttling):
		b.inspections += probe
		b.exchanges += probe
	case w.in(wrongSecret):
		b.inspections += 2 // with either secret, if two are known
	}
	if w.in(failing) {
		b.pass(w, sweepEvery)
		b.lose()
	}
	if w.in(crashing) {
		b.lose()
	}
}

// lose grants what was under way and comes to nothing.
func (b *budget) lose() {
	b.inspections += underWay
	b.exchanges += underWay
}

// connected grants what a connect or a delete costs.
func (b *budget) connected() { b.inspections += 2 }

// settleUp holds what was spent since the last time against what was granted.
func (w *world) settleUp() {
	w.T.Helper()
	b := &w.budget
	spent := map[string]int{}
	for _, endpoint := range []string{"", authpipetest.EndpointDebugToken, authpipetest.EndpointExchangeToken} {
		spent[endpoint] = w.Facebook.Count(endpoint) - b.was[endpoint]
	}
	// What was due just before may have been done just after.
	n := float64(w.living())
	inspections, exchanges := b.inspections+b.exchanges+n/2, b.exchanges+n/2
	w.T.Logf("%s: %d credentials, %d inspections of %.0f, %d exchanges of %.0f, %d calls", w.day(), w.living(),
		spent[authpipetest.EndpointDebugToken], inspections, spent[authpipetest.EndpointExchangeToken], exchanges, spent[""])
	if got := spent[authpipetest.EndpointDebugToken]; float64(got) > inspections {
		w.wrong("%d inspections were made, and %.0f are the budget", got, inspections)
	}
	if got := spent[authpipetest.EndpointExchangeToken]; float64(got) > exchanges {
		w.wrong("%d exchanges were made, and %.0f are the budget", got, exchanges)
	}
	b.inspections, b.exchanges = 0, 0
	b.was = map[string]int{}
	for endpoint := range spent {
		b.was[endpoint] = w.Facebook.Count(endpoint)
	}
}

// living counts the credentials that the engine has work with.
func (w *world) living() (n int) {
	for _, k := range w.kept {
		if !k.gone && !k.noticed {
			n++
		}
	}
	return n
}
