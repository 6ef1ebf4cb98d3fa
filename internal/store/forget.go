package store

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// What is left of a tenant or a credential after its records are gone are its name in
// events, and index entries that only its records could have named. The functions here
// remove those.

// deletionTold is for how long the event that tells of a deletion names what was deleted,
// so that applications learn of it.
const deletionTold = 7 * 24 * time.Hour

// clockSlack is how far ahead a clock may have been when an event was recorded.
const clockSlack = 24 * time.Hour

// ForgetEvents has the worker take the ref and the reason out of the events of subject,
// once it is deleted, but for those that tell of its deletion; a week later out of these,
// too. It is called before subject is deleted, so that a crash leaves an entry in the due index
// too many and never one too few. Subject is a tenant's id or a ref in its text form; what
// stands under it is meant too.
func (s *Store) ForgetEvents(ctx context.Context, subject string) error {
	id := strings.ReplaceAll(subject, "/", ",")
	for _, at := range []time.Time{s.now(), s.now().Add(deletionTold)} { // the latter should the event of the deletion be lost
		if _, err := s.schedule(ctx, at, time.Time{}, DueForgetting, id); err != nil {
			return err
		}
	}
	return nil
}

// A forgotten subject is one whose events are to be forgotten.
type forgotten struct {
	name string
	// alive says that it has begun anew, or was not deleted after all.
	alive bool
}

// has reports whether ref is the subject's, or of what stands under it.
func (f forgotten) has(ref string) bool {
	if ref == f.name || strings.HasPrefix(ref, f.name+"/") {
		return true
	}
	// The pages of an installation stand beside it.
	above, installation := strings.CutSuffix(f.name, "/installation")
	return installation && strings.HasPrefix(ref, above+"/pages/")
}

// ForgetDeleted is the due work that [Store.ForgetEvents] plans. Of a subject that has
// begun anew, the events of its new life stay.
func (s *Store) ForgetDeleted(ctx context.Context, due []Due) error {
	if err := s.FlushEvents(ctx); err != nil {
		return err
	}
	last, err := s.lastEvent(ctx) // an event after it may be of a subject that begins anew just now
	if err != nil {
		return err
	}
	var subjects []forgotten
	for _, d := range due {
		f := forgotten{name: strings.ReplaceAll(d.ID, ",", "/")}
		if slices.ContainsFunc(subjects, func(other forgotten) bool { return other.name == f.name }) {
			continue
		}
		if f.alive, err = s.alive(ctx, f.name); err != nil {
			return err
		}
		subjects = append(subjects, f)
	}
	former, err := s.formerLives(ctx, subjects)
	if err != nil {
		return err
	}
	told := s.now().Add(clockSlack - deletionTold)
	again := map[string]time.Time{} // when what is told of a subject's deletion is to be forgotten
	forget := func(e Event) bool {
		if e.Ref == "" || e.ID > last || strings.HasPrefix(string(e.Type), "provider.") {
			return false
		}
		i := slices.IndexFunc(subjects, func(f forgotten) bool { return f.has(e.Ref) && (!f.alive || e.ID <= former[f.name]) })
		if i >= 0 && (e.Type == ConnectionDeleted || e.Type == TenantDeleted) && e.At.After(told) {
			if at := e.At.Add(deletionTold); at.After(again[subjects[i].name]) {
				again[subjects[i].name] = at
			}
			return false
		}
		return i >= 0
	}
	if err := s.eachEventPage(ctx, func(page *eventPage) (changed bool) {
		for i, e := range page.Events {
			if forget(e) {
				page.Events[i].Ref, page.Events[i].Reason, changed = "", "", true
			}
		}
		return changed
	}); err != nil {
		return err
	}
	for _, d := range due {
		if err := s.forgetAgain(ctx, d, again[strings.ReplaceAll(d.ID, ",", "/")]); err != nil {
			return err
		}
		if err := s.Drop(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// forgetAgain plans the work anew: at the time at, if it is not zero, or a day later if
// the subject is still being removed.
func (s *Store) forgetAgain(ctx context.Context, due Due, at time.Time) error {
	if ref, err := tenant.ParseFlat(due.ID); err == nil && at.IsZero() {
		switch _, err := s.Removal(ctx, ref); {
		case err == nil:
			at = s.now().Add(24 * time.Hour)
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt):
			return err
		}
	}
	if at.IsZero() {
		return nil
	}
	_, err := s.schedule(ctx, at, time.Time{}, DueForgetting, due.ID)
	return err
}

// alive reports whether the subject exists: a tenant or a credential, also one that is
// being deleted.
func (s *Store) alive(ctx context.Context, subject string) (bool, error) {
	if !strings.Contains(subject, "/") {
		_, err := s.storedTenant(ctx, tenant.ID(subject))
		return exists(err)
	}
	ref, err := tenant.ParseRef(subject)
	if err != nil {
		return false, nil
	}
	_, err = s.storedCredential(ctx, ref)
	return exists(err)
}

func exists(err error) (bool, error) {
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err == nil, errors.Is(err, ErrCorrupt):
		return true, nil
	}
	return false, err
}

// lastEvent returns the id of the newest event.
func (s *Store) lastEvent(ctx context.Context) (int64, error) {
	s.events.writing.Lock()
	defer s.events.writing.Unlock()
	if err := s.loadEvents(ctx); err != nil {
		return 0, err
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return s.events.page.last(), nil
}

// formerLives returns, for each subject, the id of the last event of its former life: that
// of its last deletion, or one of the deletions of its pages that follow, before it begins
// anew. Zero: none is known.
func (s *Store) formerLives(ctx context.Context, subjects []forgotten) (map[string]int64, error) {
	var events []Event
	err := s.eachEventPage(ctx, func(page *eventPage) bool {
		for _, e := range page.Events {
			if slices.ContainsFunc(subjects, func(f forgotten) bool { return f.has(e.Ref) }) {
				events = append(events, e)
			}
		}
		return false
	})
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	last, ended := map[string]int64{}, map[string]bool{}
	for _, e := range events {
		for _, f := range subjects {
			switch deletion := e.Type == ConnectionDeleted || e.Type == TenantDeleted; {
			case !f.has(e.Ref):
			case e.Ref == f.name && deletion, deletion && ended[f.name]:
				last[f.name], ended[f.name] = e.ID, true
			default:
				ended[f.name] = false
			}
		}
	}
	return last, err
}

// eachEventPage calls change with each page of the ring, and stores those that it has
// changed. Events can be written between two pages. A page that does not open is skipped,
// as readers do.
func (s *Store) eachEventPage(ctx context.Context, change func(*eventPage) bool) error {
	names, err := s.storage.List(ctx, eventPrefix)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.changeEventPage(ctx, eventPrefix+name, change); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) changeEventPage(ctx context.Context, key string, change func(*eventPage) bool) error {
	s.events.writing.Lock()
	defer s.events.writing.Unlock()
	if err := s.loadEvents(ctx); err != nil {
		return err
	}
	page, err := s.eventPage(ctx, key)
	if errors.Is(err, ErrCorrupt) {
		return nil
	}
	if err != nil || !change(&page) {
		return err
	}
	b, err := json.Marshal(page)
	if err == nil {
		err = s.put(ctx, key, b)
	}
	if err != nil {
		return err
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	if s.events.page.Number == page.Number {
		s.events.page = page
	}
	return nil
}

// DeleteStale is the due work at a credential that was deleted, or that has another
// account: it deletes the index entries that do not lead to it any more, should that not
// have been done at once.
func (s *Store) DeleteStale(ctx context.Context, due Due) error {
	ref, err := tenant.ParseFlat(due.ID)
	if err != nil {
		return s.Drop(ctx, due)
	}
	b, err := s.get(ctx, due.key())
	if err != nil || len(b) == 0 {
		return err
	}
	for key := range strings.SplitSeq(string(b[1:]), "\n") {
		if err := s.dropHint(ctx, ref, key); err != nil && !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	return s.Drop(ctx, due)
}

// scheduleStale has the worker delete the index entries if one of them names an account:
// those of the other indexes are met, and deleted then. It returns the entry in the due
// index, or "". The caller deletes that when it has deleted the others itself. It is called
// before the record is changed.
func (s *Store) scheduleStale(ctx context.Context, ref tenant.Ref, keys []string) (entry string, err error) {
	if !slices.ContainsFunc(keys, func(key string) bool { return strings.HasPrefix(key, accountPrefix) }) {
		return "", nil
	}
	due, err := s.scheduleWith(ctx, s.now(), time.Time{}, DueIndexEntry, ref.Flat(), strings.Join(keys, "\n"))
	return due.key(), err
}

// deleteHintsLater deletes the index entries, and then the entry in the due index that
// would do so. What cannot be deleted now, the worker deletes.
func (s *Store) deleteHintsLater(ctx context.Context, keys []string, entry string) {
	if s.deleteHints(ctx, keys) == nil && entry != "" {
		_ = s.storage.Delete(ctx, entry)
	}
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
		if len(part) < 3 || slices.Contains([]string{DueDeletion, DueForgetting, DueSession, DueDataDeletion, DueKeyAges, DueNewTenant}, part[1]) {
			return false
		}
		name = part[2]
	}
	return name == string(id) || strings.HasPrefix(name, string(id)+",")
}
