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

// forgotten are the subjects whose events are to be forgotten, by their names.
type forgotten map[string]*formerLife

// A formerLife is what of a subject is to be forgotten.
type formerLife struct {
	// alive says that the subject has begun anew, or was not deleted after all.
	alive bool
	// last is the id of the last event of its former life. Zero: none is known.
	last int64
	// ended is set while formerLives is between the subject's deletion and what comes next.
	ended bool
	// again is when what tells of its deletion is to be forgotten. Zero: nothing is left.
	again time.Time
}

// of returns the subjects that ref is, or that it stands under.
func (f forgotten) of(ref string) (lives []*formerLife) {
	add := func(name string) {
		if life := f[name]; life != nil {
			lives = append(lives, life)
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
	return lives
}

func tellsDeletion(e Event) bool { return e.Type == ConnectionDeleted || e.Type == TenantDeleted }

// ForgetDeleted is the due work that [Store.ForgetEvents] plans. Of a subject that has
// begun anew, the events of its new life stay. It goes through the ring twice, however many
// subjects there are.
func (s *Store) ForgetDeleted(ctx context.Context, due []Due) error {
	if err := s.FlushEvents(ctx); err != nil {
		return err
	}
	last, err := s.lastEvent(ctx) // an event after it may be of a subject that begins anew just now
	if err != nil {
		return err
	}
	subjects := forgotten{}
	for _, d := range due {
		name := subjectOf(d)
		if subjects[name] != nil {
			continue
		}
		alive, err := s.alive(ctx, name)
		if err != nil {
			return err
		}
		subjects[name] = &formerLife{alive: alive}
	}
	if err := s.formerLives(ctx, subjects); err != nil {
		return err
	}
	if err := s.forgetEvents(ctx, subjects, last); err != nil {
		return err
	}
	for _, d := range due {
		if err := s.forgetAgain(ctx, d, subjects[subjectOf(d)].again); err != nil {
			return err
		}
		if err := s.Drop(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func subjectOf(d Due) string { return strings.ReplaceAll(d.ID, ",", "/") }

// forgetEvents takes ref and reason out of the events of former lives up to the one with
// the id last, but for recent ones that tell of a deletion.
func (s *Store) forgetEvents(ctx context.Context, subjects forgotten, last int64) error {
	recent := s.now().Add(clockSlack - deletionTold)
	forget := func(e Event) (forget bool) {
		if e.Ref == "" || e.ID > last || strings.HasPrefix(string(e.Type), "provider.") {
			return false
		}
		for _, life := range subjects.of(e.Ref) {
			switch {
			case life.alive && e.ID > life.last:
			case tellsDeletion(e) && e.At.After(recent):
				if at := e.At.Add(deletionTold); at.After(life.again) {
					life.again = at
				}
			default:
				forget = true
			}
		}
		return forget
	}
	return s.eachEventPage(ctx, func(page *eventPage) (changed bool) {
		for i, e := range page.Events {
			if forget(e) {
				page.Events[i].Ref, page.Events[i].Reason, changed = "", "", true
			}
		}
		return changed
	})
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

// formerLives sets the last event of each subject's former life: that of its last
// deletion, or one of the deletions of its pages that follow, before it begins anew.
func (s *Store) formerLives(ctx context.Context, subjects forgotten) error {
	var events []Event
	err := s.eachEventPage(ctx, func(page *eventPage) bool {
		for _, e := range page.Events {
			if len(subjects.of(e.Ref)) > 0 {
				events = append(events, e)
			}
		}
		return false
	})
	slices.SortFunc(events, func(a, b Event) int { return cmp.Compare(a.ID, b.ID) })
	for _, e := range events {
		for _, life := range subjects.of(e.Ref) {
			life.ended = tellsDeletion(e) && (life == subjects[e.Ref] || life.ended)
			if life.ended {
				life.last = e.ID
			}
		}
	}
	return err
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
// lead to, but for those of the deletion itself. The entries of records that do not open any
// more are found by going through both indexes. It goes on after the
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
