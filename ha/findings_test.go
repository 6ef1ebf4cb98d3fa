package ha_test

import (
	"fmt"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// Findings are what Facebook's log of requests shows about a run.
type findings struct {
	codes, trades int      // how many codes were sent, and tokens exchanged
	codesTwice    []string // codes that were sent more than once
	givenUp       []string // codes that were sent again because their response was held until the engine gave up the call
	unexplained   []string // refreshes and interrupted sessions that no crash explains
	stalled       []string // those that a stall of the machine explains
	undue         []string // refreshes of tokens that were never due
}

// A record is what findings are made of.
type record struct {
	requests      []authpipetest.Request
	of            func(token string) string // its user
	due           map[string]bool           // tokens that were due
	interruptions []span
	stalls        *stalls
}

// A span is the time of a session, until its application gets its outcome.
type span struct{ begun, ended time.Time }

// analyze analyzes Facebook's log of requests.
func (l *load) analyze(incidents []*incident) findings {
	l.mu.Lock()
	defer l.mu.Unlock()
	return record{l.facebook.Requests(), func(token string) string {
		seen, _ := l.facebook.Inspect(token)
		return seen.User
	}, l.due, l.interruptions, &l.stalls}.analyze(incidents)
}

// analyze attributes failures to the incidents that explain them. A token is due at most once, so if it was exchanged twice it was due
// twice, or the first response was lost: a crash between the two, or during the first, explains that.
func (l record) analyze(incidents []*incident) findings {
	var r findings
	codes, trades := map[string][]time.Time{}, map[string][]time.Time{}
	for _, request := range l.requests {
		switch {
		case !request.Served: // it had no effect
		case request.Endpoint == authpipetest.EndpointAccessToken:
			codes[parameter(request, "code")] = append(codes[parameter(request, "code")], request.Time)
		case request.Endpoint == authpipetest.EndpointExchangeToken:
			trades[parameter(request, "fb_exchange_token")] = append(trades[parameter(request, "fb_exchange_token")], request.Time)
		}
	}
	r.codes, r.trades = len(codes), len(trades)
	for _, at := range codes {
		for i := range at[1:] {
			if gaveUp(incidents, at[i], at[i+1]) {
				r.givenUp = append(r.givenUp, fmt.Sprint(at))
			} else {
				r.codesTwice = append(r.codesTwice, fmt.Sprint(at))
			}
		}
	}
	for token, at := range trades {
		if !l.due[token] {
			r.undue = append(r.undue, fmt.Sprintf("a token of %s, at %s", l.of(token), at[0].Format(time.StampMilli)))
		}
		for i := range at[1:] {
			what := fmt.Sprintf("a token of %s, at %s and at %s", l.of(token), at[i].Format(time.StampMilli), at[i+1].Format(time.StampMilli))
			if b := between(incidents, at[i], at[i+1]); b != nil {
				b.traded = append(b.traded, what)
			} else {
				l.unexplained(&r, span{at[i], at[i+1]}, what)
			}
		}
	}
	for _, at := range l.interruptions {
		if b := last(incidents, at.ended); b != nil && at.begun.Before(b.settled) {
			b.interrupted++
		} else {
			l.unexplained(&r, at, fmt.Sprintf("a session that began at %s, and was interrupted by %s",
				at.begun.Format(time.StampMilli), at.ended.Format(time.StampMilli)))
		}
	}
	return r
}

// unexplained notes what no incident explains. If the machine stalled, Vault may have changed its leader, which interrupts the engine.
func (l record) unexplained(r *findings, in span, what string) {
	if l.stalls.within(in.begun.Add(-unrest), in.ended) > leaderLease {
		r.stalled = append(r.stalled, what)
	} else {
		r.unexplained = append(r.unexplained, what)
	}
}

// leaderLease is about how long a leader stays leader without contact to the others.
const leaderLease = 500 * time.Millisecond

// gaveUp reports whether a code was sent again because the machine was so slow that the engine gave up the first call, whose response
// was held before the fault.
func gaveUp(incidents []*incident, first, second time.Time) bool {
	for _, b := range incidents {
		if !first.Before(b.held) && second.Before(b.begun) {
			return second.Sub(first) >= callTimeout
		}
	}
	return false
}

func parameter(r authpipetest.Request, name string) string {
	if value := r.Form.Get(name); value != "" {
		return value
	}
	return r.Query.Get(name)
}

// between returns the incident that explains why the first of two calls was in vain; nil: none does.
func between(incidents []*incident, first, second time.Time) *incident {
	for _, b := range incidents {
		if !first.Before(b.held) && !first.After(b.settled) && second.After(b.begun) {
			return b
		}
	}
	return nil
}

// last returns the last incident that had begun by then; nil: none had.
func last(incidents []*incident, then time.Time) (b *incident) {
	for _, other := range incidents {
		if !other.begun.After(then) {
			b = other
		}
	}
	return b
}

// outside returns the times at which no incident was going on.
func outside(moments []time.Time, incidents []*incident) (rest []time.Time) {
	for _, at := range moments {
		if b := last(incidents, at); b == nil || at.After(b.settled) {
			rest = append(rest, at)
		}
	}
	return rest
}
