package event

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	// DeletionShown is for how long the event of a deletion names the deleted tenant or
	// credential, so that applications learn of it.
	DeletionShown = 7 * 24 * time.Hour
	// clockSlack is how far ahead a clock may have been when an event was recorded.
	clockSlack = 24 * time.Hour
)

// subjects are the deleted tenants and credentials whose events are redacted, by id or by
// ref in its text form.
type subjects map[string]*subject

type subject struct {
	// alive says that it was created again, or was not deleted after all.
	alive bool
	// last is the id of the last event until it was deleted, that of the deletion. Zero:
	// none is known.
	last int64
	// ended is set by findEnds between the subject's deletion and its next event.
	ended bool
	// again is when the event of its deletion is to be redacted. Zero: nothing is left.
	again time.Time
}

// of returns the subjects that ref is, or that it stands under.
func (s subjects) of(ref string) (found []*subject) {
	add := func(name string) {
		if subject := s[name]; subject != nil {
			found = append(found, subject)
		}
	}
	add(ref)
	for i := range ref {
		if ref[i] == '/' {
			add(ref[:i])
		}
	}
	if above, _, ok := strings.Cut(ref, "/pages/"); ok {
		add(above + "/installation") // whose pages stand beside it
	}
	return found
}

// tellsDeletion reports whether the event is one of a deletion.
func tellsDeletion(e Event) bool { return e.Type == ConnectionDeleted || e.Type == TenantDeleted }

// Redact removes Ref and Reason from the events of deleted tenants and credentials, and of
// what stood under them, but for recent events of their deletion: it returns when those are
// to be redacted, by name. Alive reports whether one of names exists (again): the events
// since then stay. It reads the ring twice, however many names there are.
func (r *Ring) Redact(ctx context.Context, names []string, alive func(ctx context.Context, name string) (bool, error)) (again map[string]time.Time, err error) {
	if err := r.Flush(ctx); err != nil {
		return nil, err
	}
	last, err := r.lastID(ctx) // an event after it may be of a subject that is just being created
	if err != nil {
		return nil, err
	}
	found := subjects{}
	for _, name := range names {
		alive, err := alive(ctx, name)
		if err != nil {
			return nil, err
		}
		found[name] = &subject{alive: alive}
	}
	if err := r.findEnds(ctx, found); err != nil {
		return nil, err
	}
	if err := r.redact(ctx, found, last); err != nil {
		return nil, err
	}
	again = map[string]time.Time{}
	for name, subject := range found {
		if !subject.again.IsZero() {
			again[name] = subject.again
		}
	}
	return again, nil
}

// redact redacts the events up to the one with the id last.
func (r *Ring) redact(ctx context.Context, found subjects, last int64) error {
	recent := r.now().Add(clockSlack - DeletionShown)
	wanted := func(e Event) (wanted bool) {
		if e.Ref == "" || e.ID > last || strings.HasPrefix(string(e.Type), "provider.") {
			return false
		}
		for _, subject := range found.of(e.Ref) {
			switch {
			case subject.alive && e.ID > subject.last:
			case tellsDeletion(e) && e.At.After(recent):
				if at := e.At.Add(DeletionShown); at.After(subject.again) {
					subject.again = at
				}
			default:
				wanted = true
			}
		}
		return wanted
	}
	return r.eachPage(ctx, func(p *page) (changed bool) {
		for i, e := range p.Events {
			if wanted(e) {
				p.Events[i].Ref, p.Events[i].Reason, changed = "", "", true
			}
		}
		return changed
	})
}

// lastID returns the id of the newest event.
func (r *Ring) lastID(ctx context.Context) (int64, error) {
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.load(ctx); err != nil {
		return 0, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.newest.last(), nil
}

// findEnds sets the last event of each subject: that of its last deletion, or one of the
// deletions of its pages that follow, before it is created again.
func (r *Ring) findEnds(ctx context.Context, found subjects) error {
	var events []Event
	err := r.eachPage(ctx, func(p *page) bool {
		for _, e := range p.Events {
			if len(found.of(e.Ref)) > 0 {
				events = append(events, e)
			}
		}
		return false
	})
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	for _, e := range events {
		for _, subject := range found.of(e.Ref) {
			subject.ended = tellsDeletion(e) && (subject == found[e.Ref] || subject.ended)
			if subject.ended {
				subject.last = e.ID
			}
		}
	}
	return err
}

// eachPage calls change with each page of the ring, and stores those that it has changed.
// Events can be written between two pages. Pages that cannot be read are skipped, as
// readers do.
func (r *Ring) eachPage(ctx context.Context, change func(*page) bool) error {
	names, err := r.storage.List(ctx, Prefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := r.changePage(ctx, Prefix+name, change); err != nil {
			return err
		}
	}
	return nil
}

func (r *Ring) changePage(ctx context.Context, name string, change func(*page) bool) error {
	r.writing.Lock()
	defer r.writing.Unlock()
	if err := r.load(ctx); err != nil {
		return err
	}
	p, err := r.page(ctx, name)
	if errors.Is(err, errUnreadable) {
		return nil
	}
	if err != nil || !change(&p) {
		return err
	}
	if err := r.putPage(ctx, p); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.newest.Number == p.Number {
		r.newest = p
	}
	return nil
}
