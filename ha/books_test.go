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
	unexplained   []string // refreshes and interrupted sessions that no crash explains
}

// reckon goes through Facebook's books. Each token is due once, so what is traded in a second time was due twice, or the first
// answer was lost: a crash between the two, or in the middle of the first, explains that.
func (l *load) reckon(blows []*blow) reckoning {
	var r reckoning
	codes, trades := map[string][]time.Time{}, map[string][]time.Time{}
	for _, request := range l.facebook.Requests() {
		switch {
		case request.Endpoint == authpipetest.EndpointAccessToken:
			codes[parameter(request, "code")] = append(codes[parameter(request, "code")], request.Time)
		case request.Endpoint == authpipetest.EndpointExchangeToken && request.Served:
			trades[parameter(request, "fb_exchange_token")] = append(trades[parameter(request, "fb_exchange_token")], request.Time)
		}
	}
	r.codes, r.trades = len(codes), len(trades)
	for _, at := range codes {
		if len(at) > 1 {
			r.codesTwice = append(r.codesTwice, fmt.Sprint(at))
		}
	}
	for token, at := range trades {
		for i := range at[1:] {
			seen, _ := l.facebook.Inspect(token)
			what := fmt.Sprintf("a token of %s, at %s and at %s", seen.User, at[i].Format(time.StampMilli), at[i+1].Format(time.StampMilli))
			if b := between(blows, at[i], at[i+1]); b != nil {
				b.traded = append(b.traded, what)
			} else {
				r.unexplained = append(r.unexplained, what)
			}
		}
	}
	for _, at := range l.interruptions {
		if b := last(blows, at); b != nil && at.Before(b.settled.Add(aftermath)) {
			b.interrupted++
		} else {
			r.unexplained = append(r.unexplained, "a session was interrupted at "+at.Format(time.StampMilli))
		}
	}
	return r
}

func parameter(r authpipetest.Request, name string) string {
	if value := r.Form.Get(name); value != "" {
		return value
	}
	return r.Query.Get(name)
}

// aftermath is how long after a blow an application may learn what became of its session: it asks again until it does.
const aftermath = 15 * time.Second

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
