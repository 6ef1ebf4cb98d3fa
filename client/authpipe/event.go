package authpipe

import (
	"context"
	"iter"
	"net/url"
	"strconv"
	"time"
)

// An Event is something that happened to a connection, a tenant or a provider.
type Event struct {
	ID     int64     `json:"id"` // a cursor: it increases
	At     time.Time `json:"at"`
	Type   string    `json:"type"` // connection.needs_reauth, connection.refreshed, provider.throttled, …
	Ref    string    `json:"ref"`  // what it happened to; "" if that was deleted since
	Reason string    `json:"reason"`
}

// How often is asked whether something has happened, when nothing had.
const (
	eventsRest = 5 * time.Second
	eventsPage = 1000
)

// Events returns what happened after the event with the id after (0: what the engine still remembers, its newest 10,000),
// oldest first, and then what happens, as it does: a few seconds late, for it asks. It goes on until the loop breaks or ctx ends.
//
// Trouble is yielded as an error with a zero Event, and does not end it: who goes on looping has it try again, at growing
// intervals. What was yielded is not yielded twice. Keep the last ID to go on from it another day; who was away while more than
// 10,000 events happened has missed some, so connections are the truth and events a hint. To follow them keeps the cache fresh
// too:
//
//	for event, err := range client.Events(ctx, last) {
//		if err != nil {
//			log.Print(err)
//			continue
//		}
//		if event.Type != "connection.refreshed" { // what it renewed is good still
//			client.Forget(event.Ref)
//		}
//	}
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		after, failures := after, 0 // of each loop its own
		for {
			page, err := c.events(ctx, after)
			switch {
			case ctx.Err() != nil:
				return
			case err == ErrClosed:
				yield(Event{}, err)
				return
			case err != nil:
				failures++
				if !yield(Event{}, err) {
					return
				}
			default:
				failures = 0
			}
			for _, event := range page {
				after = event.ID
				if !yield(event, nil) {
					return
				}
			}
			if len(page) < eventsPage && !c.rest(ctx, failures) {
				return
			}
		}
	}
}

// rest waits before the next question; false if ctx has ended. A closed client is found so by the question.
func (c *Client) rest(ctx context.Context, failures int) bool {
	wait := eventsRest
	if failures > 0 {
		wait = backoff(failures)
	}
	timer := time.NewTimer(spread(wait/2, wait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.life.Done():
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) events(ctx context.Context, after int64) ([]Event, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(eventsPage)}}
	got, err := get[struct {
		Events []Event `json:"events"`
	}](ctx, c, "reading events", "events", query)
	return got.Data.Events, err
}
