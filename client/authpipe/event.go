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
	ID     int64     `json:"id"` // increases: a cursor
	At     time.Time `json:"at"`
	Type   string    `json:"type"` // connection.needs_reauth, connection.refreshed, provider.throttled, …
	Ref    string    `json:"ref"`  // its subject; "" if that was deleted since
	Reason string    `json:"reason"`
}

const (
	eventsPoll = 5 * time.Second // between two requests, if the first returned no full page
	eventsPage = 1000
)

// Events returns the events after the one with the id after (0: from the oldest that the engine still has), oldest first, and then
// new ones, a few seconds late, because it polls. It goes on until the loop breaks or ctx ends.
//
// A failure is yielded as an error with a zero Event, and does not end the sequence: if the loop goes on, the request is tried
// again, at growing intervals. No event is yielded twice. Store the last ID to continue from it later. The engine has the newest
// 10,000 events: after a longer absence some are missing, so read the connections, too. Following the events also keeps the cache
// up to date:
//
//	for event, err := range client.Events(ctx, last) {
//		if err != nil {
//			log.Print(err)
//			continue
//		}
//		if event.Type != "connection.refreshed" { // the former token still works
//			client.Forget(event.Ref)
//		}
//	}
func (c *Client) Events(ctx context.Context, after int64) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		after, failures := after, 0 // each loop has its own
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
			if len(page) < eventsPage && !c.pause(ctx, failures) {
				return
			}
		}
	}
}

// pause waits before the next request; false if ctx has ended. If the client was closed, that request fails.
func (c *Client) pause(ctx context.Context, failures int) bool {
	wait := eventsPoll
	if failures > 0 {
		wait = backoff(failures)
	}
	timer := time.NewTimer(spread(wait/2, wait))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.mount.ctx.Done():
		return true
	case <-ctx.Done():
		return false
	}
}

func (c *Client) events(ctx context.Context, after int64) ([]Event, error) {
	query := url.Values{"after": {strconv.FormatInt(after, 10)}, "limit": {strconv.Itoa(eventsPage)}}
	got, err := get[struct {
		Events []Event `json:"events"`
	}](ctx, c.mount, "reading events", "events", query)
	return got.Data.Events, err
}
