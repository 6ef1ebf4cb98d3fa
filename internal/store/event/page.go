package event

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/hashicorp/vault/sdk/logical"
)

// Prefix is that of the pages' storage keys.
const Prefix = "event/"

// Events are stored in a ring of pages, so that one more costs one write and no deletion:
// event/<slot> holds the page whose number leaves that rest. The newest eventsKept are
// there, and up to as many more.
const (
	formatVersion = 1

	eventsKept = 10_000
	// eventsPerPage is how many fill a page. Events that are added together are written
	// together, so there is room for as many more.
	eventsPerPage = 100
	idsPerPage    = 2 * eventsPerPage
	slots         = eventsKept/eventsPerPage + 1
	// lastPage is beyond what will ever be, and such that an id is a number.
	lastPage = math.MaxInt64 / idsPerPage / 2
)

// errUnreadable is returned if a page cannot be read, or is not of its place.
var errUnreadable = errors.New("page of events cannot be read")

// A page is what is stored of events: those of one number. The first of page n has the id
// n*idsPerPage+1.
type page struct {
	Version int     `json:"version"`
	Number  int64   `json:"number"`
	Events  []Event `json:"events"`

	lost bool // it cannot be read, so that the ids that it gave are not known
}

// full reports whether the next event goes to the page after.
func (p page) full() bool { return p.lost || len(p.Events) >= eventsPerPage }

// last returns the id of the page's last event.
func (p page) last() int64 { return p.Number*idsPerPage + int64(len(p.Events)) }

func key(number int64) string { return fmt.Sprintf("%s%03d", Prefix, number%slots) }

// page returns the page under key; its Number is -1 if there is none.
func (r *Ring) page(ctx context.Context, name string) (page, error) {
	e, err := r.storage.Get(ctx, name)
	if e == nil || err != nil {
		return page{Number: -1}, err
	}
	var p page
	if err := json.Unmarshal(e.Value, &p); err != nil || p.Version != formatVersion {
		return p, errUnreadable
	}
	// Under another number it would not be found, nor would one more event have a place.
	if p.Number < 0 || p.Number > lastPage || key(p.Number) != name || len(p.Events) > idsPerPage {
		return p, errUnreadable
	}
	return p, nil
}

func (r *Ring) putPage(ctx context.Context, p page) error {
	b, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return r.storage.Put(ctx, &logical.StorageEntry{Key: key(p.Number), Value: b})
}

// pages returns the number of the oldest page, and the newest page. That may be a lost
// one: the page after it must have other ids.
func (r *Ring) pages(ctx context.Context) (oldest int64, newest page, err error) {
	names, err := r.storage.List(ctx, Prefix)
	if err != nil {
		return 0, page{}, err
	}
	newest.Number, oldest = -1, math.MaxInt64
	lost := map[string]bool{}
	for _, name := range names {
		p, err := r.page(ctx, Prefix+name)
		switch {
		case errors.Is(err, errUnreadable):
			lost[Prefix+name] = true
			continue
		case err != nil:
			return 0, page{}, err
		}
		if 0 <= p.Number && p.Number < oldest {
			oldest = p.Number
		}
		if p.Number >= newest.Number {
			newest = p
		}
	}
	// An unreadable page where the next one belongs may be that one, or one that is as old
	// as the ring. Numbers are plenty: all such are skipped.
	for next := newest.Number + 1; len(lost) > 0 && lost[key(next)]; next++ {
		delete(lost, key(next))
		newest = page{Number: next, lost: true}
	}
	if newest.Number < 0 {
		newest = page{Version: formatVersion}
	}
	return oldest, newest, nil
}

// readable returns the page with that number or, if that cannot be read, the next one up
// to last that can. What was on the others is lost.
func (r *Ring) readable(ctx context.Context, number *int64, last int64) (p page, err error) {
	for ; *number <= last; *number++ {
		if p, err = r.page(ctx, key(*number)); !errors.Is(err, errUnreadable) {
			return p, err
		}
	}
	return page{Number: -1}, nil
}
