package call

import (
	"context"
	"errors"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// record records the result of a call that began with the credential before: the
// answer, or its error, cause. It returns what the call's callers get.
func (cs *Calls) record(ctx context.Context, ref tenant.Ref, op operation, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	fresh := cause == nil && op.name == refresh && !sameTokens(answer, before.Token)
	if fresh {
		cs.unstored.hold(ref, unstored{before, answer})
	}
	after, err := cs.storeResult(ctx, ref, op, before, config, answer, cause)
	cs.Ended(ref.Provider, op.name, outcomeOf(op.name, before, after, err))
	switch {
	case fresh && (err == nil || errors.Is(err, ErrSuperseded) || oauth.CodeOf(err) != ""):
		cs.unstored.release(ref)
	case fresh:
		cs.Log.Error("a fresh token could not be stored; it is held in memory and stored at the next sweep", "ref", ref.String(), "error", err)
	}
	if cause == nil && !sameTokens(answer, before.Token) && (errors.Is(err, ErrSuperseded) || oauth.CodeOf(err) == oauth.NotFound) {
		// The answer is a fresh token that no record has: its credential was deleted or
		// connected again meanwhile. The credential's own token was dealt with then.
		cs.Revoker.Unstored(ctx, ref, answer)
	}
	if errors.Is(err, ErrSuperseded) {
		return admission.Credential(ctx, cs.Store, ref)
	}
	if before.Status == store.Active && after.Status == store.Revoked && after.LastError.Concerns == string(provider.ConcernsAccount) {
		// The account's other credentials rest on the same grant, in other tenants too.
		if err := cs.Revoker.CheckOthers(context.WithoutCancel(ctx), ref.Provider, ref, after.Token.Account); err != nil {
			cs.Log.Warn("the other credentials of the account could not be marked for a check", "ref", ref.String(), "error", err)
		}
	}
	return after, err
}

func sameTokens(a, b oauth.Token) bool {
	return a.AccessToken == b.AccessToken && a.RefreshToken == b.RefreshToken
}

// ErrSuperseded is returned if the credential has changed since a call began.
var ErrSuperseded = errors.New("the credential has changed since the call began")

// storeResult stores the result, or returns ErrSuperseded if the record has changed since
// the call began.
func (cs *Calls) storeResult(ctx context.Context, ref tenant.Ref, op operation, before store.Credential, config store.Config, answer oauth.Token, cause error) (store.Credential, error) {
	var refused *provider.Error
	switch {
	case cause != nil && !errors.As(cause, &refused):
		return store.Credential{}, cause // an error of storage, or the mount's shutdown
	case cause != nil && cs.providerWide(ctx, ref.Provider, refused) && !limitOutlasts(before, refused, cs.Now()):
		return before, provider.Refusal(cause)
	case cause == nil && before.Page == nil && answer.Account != before.Token.Account:
		cause = &provider.Error{Class: provider.Transient, Op: op.name, Message: "the provider answered for another account"}
	case cause != nil:
		cause = about(before, refused)
	}
	// The answer is stored even if the mount shuts down now.
	after, err := cs.Store.Credentials.Update(context.WithoutCancel(ctx), ref, func(old *store.Credential) (store.Credential, error) {
		if old == nil || old.Birth != before.Birth || old.Generation != before.Generation {
			return store.Credential{}, ErrSuperseded
		}
		if old.Revision != before.Revision && !outweighs(op, before, *old, answer, cause) {
			return store.Credential{}, ErrSuperseded
		}
		if op.name == check && cs.unstored.holds(ref) {
			return store.Credential{}, ErrSuperseded // the check was about a token that is replaced
		}
		c, now := *old, cs.Now().UTC()
		if cause != nil {
			recordFailure(&c, op.name, cause, now)
			return c, nil
		}
		op.apply(&c, answer, now)
		if !plan.SameNotices(*old, c) || old.Status != store.Active {
			plan.Notice(&c, now)
		}
		plan.Check(ref, &c, config, now)
		if op.name == refresh || old.Status != store.Active || !old.Token.ExpiresAt.Equal(c.Token.ExpiresAt) {
			plan.Refresh(ref, &c, now)
		}
		return c, nil
	})
	switch {
	case errors.Is(err, store.ErrRemoving):
		return store.Credential{}, admission.NoCredential(ref)
	case err != nil:
		return store.Credential{}, err
	case cause != nil:
		cs.Log.Warn(op.name+" failed", "ref", ref.String(), "error", cause)
	case after.Generation != before.Generation:
		cs.Log.Info("refreshed", "ref", ref.String(), "expires_at", after.Token.ExpiresAt)
	}
	return after, refusal(after, cause)
}

// outweighs reports whether a result is stored although the record has changed from before
// to old. A fresh token is, if a check alone has changed it. A check that meets a token
// whose refresh token has just been spent may call it dead: then the answer to the refresh
// is the grant's only token, and the credential becomes active again. A notification that
// the grant has ended is no such verdict.
func outweighs(op operation, before, old store.Credential, answer oauth.Token, cause error) bool {
	if op.name != refresh || cause != nil {
		return false
	}
	rotated := answer.Refreshable() && !sameTokens(answer, before.Token)
	return old.Status == store.Active || rotated && old.NotifiedAt.IsZero()
}

// limitOutlasts reports whether a rate limit has prevented a refresh until a week after
// the token expired. Before that the caller gets the limit's error. From then on the limit
// counts as a failure of the credential.
func limitOutlasts(c store.Credential, e *provider.Error, now time.Time) bool {
	return e.Class == provider.Throttled && c.Status == store.Active && !c.Token.ExpiresAt.IsZero() && !c.Token.Live(now.Add(-givenUpAfter))
}

// providerWide reports whether a failure is the provider's, and not to be recorded on the
// credential.
func (cs *Calls) providerWide(ctx context.Context, name string, e *provider.Error) bool {
	switch e.Class {
	case provider.Throttled:
		return true
	case provider.Misconfigured:
		return cs.Breaker.Open(ctx, breaker.Subject{Provider: name}) != nil
	}
	return errors.Is(e, provider.ErrCircuitOpen)
}

// Succeeded is the outcome of a successful "refresh" or "check".
func Succeeded(name string) string {
	if name == check {
		return "alive"
	}
	return "refreshed"
}

// outcomeOf is the outcome of a call that began with the credential before.
func outcomeOf(name string, before, after store.Credential, err error) string {
	var refused *provider.Error
	switch {
	case errors.Is(err, provider.ErrCircuitOpen):
		return "left_alone"
	case errors.As(err, &refused):
		return string(refused.Class)
	case errors.Is(err, ErrSuperseded), oauth.CodeOf(err) == oauth.NotFound:
		return "superseded"
	case err != nil:
		return "error"
	case name != check && after.Generation == before.Generation:
		return "not_extended"
	}
	return Succeeded(name)
}

// StorageError returns err, unless it has a code of the API: such an error is recorded on
// the credential, and background work has nothing to add.
func StorageError(err error) error {
	if oauth.CodeOf(err) != "" {
		return nil
	}
	return err
}
