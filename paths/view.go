package paths

import (
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/plan"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

// refView returns the parts of the ref that it has.
func refView(ref tenant.Ref) map[string]any {
	view := make(map[string]any, 24) // with room for what the others add
	view["tenant_id"] = string(ref.Tenant)
	view["provider"] = ref.Provider
	view["credential_for"] = string(ref.Kind())
	if ref.User != "" {
		view["user_id"] = ref.User
	}
	if ref.Page != "" {
		view["page_id"] = ref.Page
	}
	if ref.Name != "" {
		view["name"] = ref.Name
	}
	return view
}

// publicView has the fields that creds/ and connections/ both answer. Between two reads of
// the same token only the three rotation fields change.
func publicView(ref tenant.Ref, c store.Credential, now time.Time) map[string]any {
	view := refView(ref)
	if c.Static != nil {
		return staticView(view, c)
	}
	view["credential_type"] = "oauth_token"
	view["token_type"] = c.Token.Type
	if c.Token.Account != "" {
		view["provider_user_id"] = c.Token.Account
	}
	if c.Token.Business != "" {
		view["business_id"] = c.Token.Business
	}
	setPage(view, c.Page)
	view["scopes"] = append([]string{}, c.Token.Scopes...)
	view["missing_scopes"] = c.MissingScopes()
	if len(c.Token.Granular) > 0 {
		granular := make([]map[string]any, 0, len(c.Token.Granular))
		for _, g := range c.Token.Granular {
			granular = append(granular, map[string]any{"scope": g.Scope, "target_ids": slices.Clone(g.Targets)})
		}
		view["granular_scopes"] = granular
	}
	view["status"] = string(c.Status)
	setTime(view, "expires_at", c.Token.ExpiresAt)
	setTime(view, "data_access_expires_at", c.Token.DataAccessExpiresAt)
	if !c.NextRefresh.IsZero() {
		view["ttl"] = seconds(plan.TTL(c, now))
		view["rotation_period"] = seconds(max(c.NextRefresh.Sub(c.RefreshedAt), time.Second))
		view["last_vault_rotation"] = timestamp(c.RefreshedAt)
	}
	return view
}

// credentialView is the answer of creds/, with the token.
func credentialView(ref tenant.Ref, s refresh.Served, proof map[string]any, now time.Time) map[string]any {
	view := publicView(ref, s.Credential, now)
	view["access_token"] = s.Credential.Token.AccessToken.Reveal()
	for name, value := range proof {
		view[name] = value
	}
	return view
}

// connectionView is the answer of connections/, without any secret.
func connectionView(ref tenant.Ref, c store.Credential, now time.Time) map[string]any {
	view := publicView(ref, c, now)
	view["ref"] = ref.String()
	view["generation"] = c.Generation
	view["consecutive_failures"] = c.ConsecutiveFailures
	view["connected_by"] = map[string]any{
		"actor": c.ConnectedBy.Actor, "entity_id": c.ConnectedBy.EntityID, "display_name": c.ConnectedBy.DisplayName,
	}
	setTime(view, "connected_at", c.ConnectedAt)
	setTime(view, "refreshed_at", c.RefreshedAt)
	setTime(view, "checked_at", c.CheckedAt)
	setTime(view, "next_due_at", c.NextDue())
	if f := c.LastError; f != nil {
		view["last_error"] = failureView(*f)
	}
	history := make([]map[string]any, 0, len(c.History))
	for _, outcome := range c.History {
		line := map[string]any{"at": timestamp(outcome.At), "event": outcome.Event}
		if outcome.Reason != "" {
			line["reason"] = outcome.Reason
		}
		history = append(history, line)
	}
	view["history"] = history
	return view
}

func failureView(f store.Failure) map[string]any {
	view := map[string]any{
		"class": f.Class, "code": f.Code, "subcode": f.Subcode, "message": f.Message, "fbtrace_id": f.TraceID, "at": timestamp(f.At),
	}
	if f.Concerns != "" {
		view["concerns"], view["remedy"] = f.Concerns, f.Remedy
	}
	return view
}

func removalView(r store.Removal) map[string]any {
	return map[string]any{
		"started_at":      timestamp(r.StartedAt),
		"attempts":        r.Attempts,
		"removed":         r.Removed,
		"unrevoked":       append([]string{}, r.Unrevoked...),
		"unrevoked_count": r.UnrevokedCount,
	}
}

// warned returns an answer with a warning, unless that is "".
func warned(data map[string]any, warning string) *logical.Response {
	resp := &logical.Response{Data: data}
	if warning != "" {
		resp.AddWarning(warning)
	}
	return resp
}

// advised returns an answer of warnings alone, or nil if there are none.
func advised(warnings []string) *logical.Response {
	if len(warnings) == 0 {
		return nil
	}
	return &logical.Response{Warnings: warnings}
}

// setPage sets the fields of a page, unless p is nil.
func setPage(view map[string]any, p *store.Page) {
	if p != nil {
		view["name"], view["tasks"] = p.Name, append([]string{}, p.Tasks...)
	}
}

func setTime(view map[string]any, name string, t time.Time) {
	if !t.IsZero() {
		view[name] = timestamp(t)
	}
}
