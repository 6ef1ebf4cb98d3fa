package store

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// What is left of a tenant or a credential after its records are gone are its name
// in events, and index entries that only its records could have named. The functions
// here remove those.

// deletionTold is for how long the event that tells of a deletion names what was
// deleted, so that applications hear of it.
const deletionTold = 7 * 24 * time.Hour

// ForgetEvents takes the ref and the reason out of every event of subject, but for
// those that tell of its deletion, and has the worker do so with these in a week.
// Subject is a tenant's id, or a ref in its text form; what stands under it is meant
// too.
func (s *Store) ForgetEvents(ctx context.Context, subject string) error {
	if err := s.ForgetEventsLater(ctx, subject); err != nil {
		return err
	}
	return s.forgetEvents(ctx, subject, s.now(), ConnectionDeleted, TenantDeleted)
}

// ForgetEventsLater has the worker take subject out of all events that have happened
// by now, in a week.
func (s *Store) ForgetEventsLater(ctx context.Context, subject string) error {
	_, err := s.schedule(ctx, s.now().Add(deletionTold), time.Time{}, DueForgetting, strings.ReplaceAll(subject, "/", ","))
	return err
}

// ForgetDeleted is the due work that [Store.ForgetEvents] leaves for later. What has
// begun anew under the same name since keeps its events.
func (s *Store) ForgetDeleted(ctx context.Context, due Due) error {
	until := time.Unix(due.Minute*60, 0).Add(-deletionTold)
	if err := s.forgetEvents(ctx, strings.ReplaceAll(due.ID, ",", "/"), until); err != nil {
		return err
	}
	return s.Drop(ctx, due)
}

// forgetEvents goes through the whole ring. The events stay, with their ids, times
// and types.
func (s *Store) forgetEvents(ctx context.Context, subject string, until time.Time, except ...EventType) error {
	of := func(e Event) bool {
		return (e.Ref == subject || strings.HasPrefix(e.Ref, subject+"/")) && !e.At.After(until) &&
			!strings.HasPrefix(string(e.Type), "provider.") && !slices.Contains(except, e.Type)
	}
	if err := s.FlushEvents(ctx); err != nil {
		return err
	}
	s.events.writing.Lock()
	defer s.events.writing.Unlock()
	if err := s.loadEvents(ctx); err != nil {
		return err
	}
	names, err := s.storage.List(ctx, eventPrefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		page, err := s.eventPage(ctx, eventPrefix+name)
		switch {
		case errors.Is(err, ErrCorrupt):
			continue // it is passed over by readers, too
		case err != nil:
			return err
		case !slices.ContainsFunc(page.Events, of):
			continue
		}
		for i, e := range page.Events {
			if of(e) {
				page.Events[i].Ref, page.Events[i].Reason = "", ""
			}
		}
		b, err := json.Marshal(page)
		if err == nil {
			err = s.put(ctx, eventKey(page.Number), b)
		}
		if err != nil {
			return err
		}
		s.events.mu.Lock()
		if s.events.page.Number == page.Number {
			s.events.page = page
		}
		s.events.mu.Unlock()
	}
	return nil
}

// DropHints deletes the tenant's entries of the account and due indexes, whatever they
// lead to, but for those of the deletion itself. Nothing but a look at all of both
// indexes finds those of records that do not open any more. It goes on after the
// directory after, "" being before the first, for as long as more allows, and returns
// the last one that it was in. through says that none is left.
func (s *Store) DropHints(ctx context.Context, id tenant.ID, after string, more func() bool) (last string, through bool, err error) {
	accounts, err := s.subdirectories(ctx, accountPrefix)
	if err != nil {
		return after, false, err
	}
	dirs := []string{}
	for _, provider := range accounts {
		names, err := s.subdirectories(ctx, provider)
		if err != nil {
			return after, false, err
		}
		dirs = append(dirs, names...)
	}
	minutes, err := s.subdirectories(ctx, duePrefix)
	if err != nil {
		return after, false, err
	}
	for _, dir := range append(dirs, minutes...) { // in the order of their bytes
		switch {
		case dir <= after:
			continue
		case !more():
			return after, false, nil
		}
		if err := s.dropHintsIn(ctx, id, dir); err != nil {
			return after, false, err
		}
		after = dir
	}
	return after, true, nil
}

// subdirectories returns the directories in dir with their whole paths, sorted.
func (s *Store) subdirectories(ctx context.Context, dir string) ([]string, error) {
	names, err := s.storage.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	dirs := make([]string, 0, len(names))
	for _, name := range names {
		if strings.HasSuffix(name, "/") {
			dirs = append(dirs, dir+name)
		}
	}
	slices.Sort(dirs)
	return dirs, nil
}

func (s *Store) dropHintsIn(ctx context.Context, id tenant.ID, dir string) error {
	names, err := s.storage.List(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !leadsTo(id, dir, name) {
			continue
		}
		if err := s.storage.Delete(ctx, dir+name); err != nil {
			return err
		}
	}
	return nil
}

// leadsTo reports whether the entry of the account or due index is one of the
// tenant's.
func leadsTo(id tenant.ID, dir, name string) bool {
	if strings.HasPrefix(dir, duePrefix) {
		part := strings.SplitN(name, ",", 3)
		if len(part) < 3 || slices.Contains([]string{DueDeletion, DueForgetting, DueSession, DueDataDeletion}, part[1]) {
			return false
		}
		name = part[2]
	}
	return name == string(id) || strings.HasPrefix(name, string(id)+",")
}
