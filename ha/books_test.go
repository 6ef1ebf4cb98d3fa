package ha_test

import (
	"fmt"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// A reckoning is what Facebook's books say of a run.
type reckoning struct {
	codes, trades int      // how many there were
	codesTwice    []string // codes that were sent more than once
	givenUp       []string // codes that were sent again because their answer was held for longer than a call may take
	unexplained   []string // refreshes and interrupted sessions that no crash explains
	stoodStill    []string // those that the machine explains
	undue         []string // refreshes of tokens that were never due
}

// A ledger is what a reckoning is made of.
type ledger struct {
	requests      []authpipetest.Request
	of            func(token string) string // whom it is of
	due           map[string]bool           // tokens that were due
	interruptions []span
	stalls        *stalls
}

// A span is the time of a session, from when it was begun until its application learned what became of it.
type span struct{ begun, ended time.Time }

// reckon goes through Facebook's books.
func (l *load) reckon(blows []*blow) reckoning {
	l.mu.Lock()
	defer l.mu.Unlock()
	return ledger{l.facebook.Requests(), func(token string) string {
		seen, _ := l.facebook.Inspect(token)
		return seen.User
	}, l.due, l.interruptions, &l.stalls}.reckon(blows)
}

// reckon lays what went wrong at the door of the blows that explain it. Each token is due once at the most, so what is traded in a
// second time was due twice, or the first answer was lost: a crash between the two, or in the middle of the first, explains that.
func (l ledger) reckon(blows []*blow) reckoning {
	var r reckoning
	codes, trades := map[string][]time.Time{}, map[string][]time.Time{}
	for _, request := range l.requests {
		switch {
		case !request.Served: // it came no further than the door
		case request.Endpoint == authpipetest.EndpointAccessToken:
			codes[parameter(request, "code")] = append(codes[parameter(request, "code")], request.Time)
		case request.Endpoint == authpipetest.EndpointExchangeToken:
			trades[parameter(request, "fb_exchange_token")] = append(trades[parameter(request, "fb_exchange_token")], request.Time)
		}
	}
	r.codes, r.trades = len(codes), len(trades)
	for _, at := range codes {
		for i := range at[1:] {
			if gaveUp(blows, at[i], at[i+1]) {
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
			if b := between(blows, at[i], at[i+1]); b != nil {
				b.traded = append(b.traded, what)
			} else {
				l.unexplained(&r, span{at[i], at[i+1]}, what)
			}
		}
	}
	for _, at := range l.interruptions {
		if b := last(blows, at.ended); b != nil && at.begun.Before(b.settled) {
			b.interrupted++
		} else {
			l.unexplained(&r, at, fmt.Sprintf("a session that was begun at %s, and interrupted by %s",
				at.begun.Format(time.StampMilli), at.ended.Format(time.StampMilli)))
		}
	}
	return r
}

// unexplained notes what no crash explains. Where the machine has stood still Vault's leader may have changed by itself, which ends what
// the engine was at.
func (l ledger) unexplained(r *reckoning, in span, what string) {
	if l.stalls.within(in.begun.Add(-unrest), in.ended) > leaderLease {
		r.stoodStill = append(r.stoodStill, what)
	} else {
		r.unexplained = append(r.unexplained, what)
	}
}

// leaderLease is about how long a leader keeps its place that hears nothing from the others.
const leaderLease = 500 * time.Millisecond

// gaveUp reports whether a code was sent again because a machine was so slow that the engine gave the first call up, whose answer was
// held before the fault struck.
func gaveUp(blows []*blow, first, second time.Time) bool {
	for _, b := range blows {
		if !first.Before(b.caught) && second.Before(b.begun) {
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

// between finds the blow that explains why what happened first did not count; nil: none does.
func between(blows []*blow, first, second time.Time) *blow {
	for _, b := range blows {
		if !first.Before(b.caught) && !first.After(b.settled) && second.After(b.begun) {
			return b
		}
	}
	return nil
}

// last finds the last blow that had struck by then; nil: none had.
func last(blows []*blow, then time.Time) (b *blow) {
	for _, other := range blows {
		if !other.begun.After(then) {
			b = other
		}
	}
	return b
}

// calm leaves of moments those in which no blow was being dealt or got over.
func calm(moments []time.Time, blows []*blow) (rest []time.Time) {
	for _, at := range moments {
		if b := last(blows, at); b == nil || at.After(b.settled) {
			rest = append(rest, at)
		}
	}
	return rest
}
