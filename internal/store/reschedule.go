package store

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// RescheduleWork gives the tenant's removals, its rotation and the next one another
// entry in the due index where no sweep will find their own.
func (r *Removals) RescheduleWork(ctx context.Context, id tenant.ID) error {
	t, err := r.tenants.Read(ctx, id)
	if err != nil {
		return err
	}
	for provider := range t.Removals {
		err := r.Update(ctx, tenant.Ref{Tenant: id, Provider: provider}, func(old *Removal) (Removal, time.Time, error) {
			if old == nil {
				return Removal{}, time.Time{}, errFound
			}
			found, err := r.due.WillBeFound(ctx, old.Due)
			if found {
				err = errFound
			}
			return *old, r.now(), err
		})
		if err != nil && !errors.Is(err, errFound) {
			return err
		}
	}
	if found, err := r.due.WillBeFound(ctx, t.NextRotation.Due); !found {
		if err == nil {
			err = r.tenants.PlanRotation(ctx, id)
		}
		if err != nil {
			return err
		}
	}
	_, err = r.tenants.UpdateScan(ctx, id, DueRotation, func(old *Scan) (Scan, time.Time, error) {
		if old == nil || !old.FinishedAt.IsZero() {
			return Scan{}, time.Time{}, errFound
		}
		found, err := r.due.WillBeFound(ctx, old.Due)
		if found {
			err = errFound
		}
		return *old, r.now(), err
	})
	if errors.Is(err, errFound) {
		return nil
	}
	return err
}

// errFound says that there is nothing to reschedule.
var errFound = errors.New("a sweep will find it")
