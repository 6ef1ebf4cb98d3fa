package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/due"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// What is left of a tenant or a credential after its records are deleted are its name in
// events, and index entries that only its records could have named. The methods here remove
// those.

// ScheduleRedaction has the worker remove the ref and the reason from the events of subject,
// once it is deleted, but for the event of its deletion; a week later from these,
// too. It is called before subject is deleted, so that a crash leaves an entry in the due index
// too many and never one too few. Subject is a tenant's id or a ref in its text form; what
// stands under it is meant too.
func (r *Removals) ScheduleRedaction(ctx context.Context, subject string) error {
	id := strings.ReplaceAll(subject, "/", ",")
	for _, at := range []time.Time{r.now(), r.now().Add(event.DeletionShown)} { // the latter should the event of the deletion be lost
		if _, err := r.due.Schedule(ctx, at, time.Time{}, DueRedaction, id); err != nil {
			return err
		}
	}
	return nil
}

// Redact is the due work that [Removals.ScheduleRedaction] schedules. Of a subject that was
// created again, the events since then stay.
func (r *Removals) Redact(ctx context.Context, entries []due.Entry) error {
	var names []string
	for _, d := range entries {
		if name := subjectOf(d); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	again, err := r.events.Redact(ctx, names, r.exists)
	if err != nil {
		return err
	}
	for _, d := range entries {
		if err := r.redactAgain(ctx, d, again[subjectOf(d)]); err != nil {
			return err
		}
		if err := r.due.Delete(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

func subjectOf(d due.Entry) string { return strings.ReplaceAll(d.ID, ",", "/") }

// redactAgain schedules the work again: for the time at, if it is not zero, or a day later
// if the subject is still being removed.
func (r *Removals) redactAgain(ctx context.Context, d due.Entry, at time.Time) error {
	if ref, err := tenant.ParseFlat(d.ID); err == nil && at.IsZero() {
		switch _, err := r.tenants.Removal(ctx, ref); {
		case err == nil:
			at = r.now().Add(24 * time.Hour)
		case !errors.Is(err, ErrNotFound) && !errors.Is(err, ErrCorrupt):
			return err
		}
	}
	if at.IsZero() {
		return nil
	}
	_, err := r.due.Schedule(ctx, at, time.Time{}, DueRedaction, d.ID)
	return err
}

// exists reports whether there is the subject: a tenant or a credential, also one that is
// being deleted.
func (r *Removals) exists(ctx context.Context, subject string) (bool, error) {
	var err error
	if strings.Contains(subject, "/") {
		ref, parseErr := tenant.ParseRef(subject)
		if parseErr != nil {
			return false, nil
		}
		_, err = r.credentials.stored(ctx, ref)
	} else {
		_, err = r.tenants.stored(ctx, tenant.ID(subject))
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return false, nil
	case err == nil, errors.Is(err, ErrCorrupt):
		return true, nil
	}
	return false, err
}

// DeleteEntries deletes the tenant's entries of the account and due indexes, whatever they
// lead to, but for those of the deletion itself. The entries of records that do not open any
// more are found by going through both indexes. It goes on after the
// directory after, "" being before the first, for as long as more allows, and returns
// the last one that it was in. through says that none is left.
func (r *Removals) DeleteEntries(ctx context.Context, id tenant.ID, after string, more func() bool) (last string, through bool, err error) {
	accounts, err := r.subdirectories(ctx, accountPrefix)
	if err != nil {
		return after, false, err
	}
	dirs := []string{}
	for _, provider := range accounts {
		names, err := r.subdirectories(ctx, provider)
		if err != nil {
			return after, false, err
		}
		dirs = append(dirs, names...)
	}
	minutes, err := r.subdirectories(ctx, due.Prefix)
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
		if err := r.deleteEntriesIn(ctx, id, dir); err != nil {
			return after, false, err
		}
		after = dir
	}
	return after, true, nil
}

// subdirectories returns the directories in dir with their whole paths, sorted.
func (r *Removals) subdirectories(ctx context.Context, dir string) ([]string, error) {
	names, err := r.storage.List(ctx, dir)
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

func (r *Removals) deleteEntriesIn(ctx context.Context, id tenant.ID, dir string) error {
	names, err := r.storage.List(ctx, dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !leadsTo(id, dir, name) {
			continue
		}
		if err := r.storage.Delete(ctx, dir+name); err != nil {
			return err
		}
	}
	return nil
}

// leadsTo reports whether the entry of the account or due index is one of the
// tenant's.
func leadsTo(id tenant.ID, dir, name string) bool {
	if strings.HasPrefix(dir, due.Prefix) {
		part := strings.SplitN(name, ",", 3)
		if len(part) < 3 {
			return false
		}
		if kind, known := dueKinds[part[1]]; known && !kind.endsWithTenant {
			return false
		}
		name = part[2]
	}
	return name == string(id) || strings.HasPrefix(name, string(id)+",")
}
