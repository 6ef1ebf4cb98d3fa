package refresh

import (
	"context"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// notify publishes that the credential's token or its access to data is about to end, and
// plans the next notice.
func (r *Refresher) notify(ctx context.Context, ref tenant.Ref) (store.Credential, error) {
	var reasons []string
	c, err := r.Store.Credentials.Update(ctx, ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil {
			return store.Credential{}, store.ErrNotFound
		}
		c, now := *old, r.Now().UTC()
		reasons = plan.Expiring(c, now)
		for _, reason := range reasons {
			c.Record(now, "expiring", reason)
		}
		plan.Notice(&c, now)
		return c, nil
	})
	if store.Gone(err) {
		return c, nil
	}
	if err != nil {
		return c, err
	}
	for _, reason := range reasons {
		r.Log.Warn("about to end", "ref", ref.String(), "reason", reason)
		r.Store.Events.Add(event.Event{At: r.Now().UTC(), Type: event.ConnectionExpiring, Ref: ref.String(), Reason: reason})
	}
	return c, nil
}
