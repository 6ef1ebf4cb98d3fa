package authpipetest

import (
	"encoding/json"
	"slices"
)

const (
	wrongDebugger = "(#100) You must provide an app access token, or a user access token that is an owner or developer of the app"
	wrongApp      = "(#100) The App_id in the input_token did not match the Viewing App"
)

// debugAnswer is the data of debug_token ("Debug Token").
type debugAnswer struct {
	AppID               any             `json:"app_id,omitempty"`
	Type                string          `json:"type,omitempty"`
	Application         string          `json:"application,omitempty"`
	DataAccessExpiresAt *int64          `json:"data_access_expires_at,omitempty"`
	ExpiresAt           *int64          `json:"expires_at,omitempty"`
	IsValid             bool            `json:"is_valid"`
	IssuedAt            int64           `json:"issued_at,omitempty"`
	ProfileID           string          `json:"profile_id,omitempty"`
	Scopes              []string        `json:"scopes"`
	GranularScopes      []granularScope `json:"granular_scopes,omitempty"`
	UserID              string          `json:"user_id,omitempty"`
	Error               *debugError     `json:"error,omitempty"`
}

// granularScope lacks target_ids if it is for all pages.
type granularScope struct {
	Scope     string `json:"scope"`
	TargetIDs []any  `json:"target_ids,omitempty"`
}

// debugError has a subcode, which everywhere else is called error_subcode.
type debugError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Subcode int    `json:"subcode,omitempty"`
}

// debugToken tells an app about a token of its own ("Debug Token"). That the token is dead is an answer, with status 200;
// an error is about the token that the call is made with.
func (f *Facebook) debugToken(c *call) (any, error) {
	caller, err := f.authenticate(c)
	switch {
	case err != nil:
		return nil, err
	case caller.kind != KindApp && !slices.Contains(c.app.Developers, caller.person):
		return nil, oauthError(codeInvalid, wrongDebugger)
	case c.param("input_token") == "":
		return nil, oauthError(codeInvalid, "(#100) The parameter input_token is required")
	}
	input, err := f.find(c.param("input_token"))
	if err != nil {
		return debugged(debugAnswer{Scopes: []string{}, Error: &debugError{Code: codeToken, Message: notAToken}}), nil
	}
	if input.app != caller.app {
		return nil, oauthError(codeInvalid, wrongApp)
	}
	if input.client && input.grant.gone {
		// Seen on v26.0; the report has no text.
		return nil, methodError(codeInvalid, 0, "(#100) Unsupported request")
	}
	if flaw := f.flaw(input); flaw != nil {
		return debugged(f.debugDead(input, flaw)), nil
	}
	return debugged(f.debugLive(input)), nil
}

func debugged(a debugAnswer) map[string]debugAnswer { return map[string]debugAnswer{"data": a} }

func (f *Facebook) debugDead(t *token, flaw *GraphError) debugAnswer {
	return debugAnswer{
		AppID: f.appID(t.app), Type: f.typeOf(t), ExpiresAt: new(unix(t.expires)), Scopes: []string{},
		Error: &debugError{Code: flaw.Code, Message: flaw.Message, Subcode: flaw.Subcode},
	}
}

func (f *Facebook) debugLive(t *token) debugAnswer {
	a := debugAnswer{
		AppID: f.appID(t.app), Type: f.typeOf(t), Application: f.books.apps[t.app].Name, IsValid: true, Scopes: []string{},
	}
	if t.kind == KindApp {
		return a
	}
	a.ExpiresAt, a.DataAccessExpiresAt = new(unix(t.expires)), new(unix(t.dataAccessExpires()))
	a.ProfileID, a.UserID = t.page, f.ScopedID(t.app, t.person)
	a.Scopes = append(a.Scopes, t.effective()...)
	a.GranularScopes = f.granularScopes(t)
	if o := f.options(); !o.OmitsIssuedAt && !(o.PageTokenOmitsIssuedAt && t.kind == KindPage) {
		a.IssuedAt = unix(t.issued)
	}
	return a
}

// typeOf is the token's kind as it is told.
func (f *Facebook) typeOf(t *token) string {
	if t.client && t.kind == KindSystemUser {
		return f.options().IntegrationTokenType
	}
	return t.kind
}

func (f *Facebook) granularScopes(t *token) []granularScope {
	var granular []granularScope
	for _, scope := range t.effective() {
		if !perAsset(scope) {
			continue
		}
		g := granularScope{Scope: scope}
		targets := t.targets(scope)
		if f.options().OmitsTargetIDs {
			targets = nil
		}
		for _, page := range targets {
			g.TargetIDs = append(g.TargetIDs, asNumber(page, f.options().TargetIDsAsNumbers))
		}
		granular = append(granular, g)
	}
	return granular
}

// targets are the assets that a permission is narrowed down to; none means all.
func (t *token) targets(scope string) []string {
	switch {
	case t.business != "" && scope == "business_management":
		return []string{t.business}
	case t.assets != nil:
		return t.assets
	}
	return t.grant.pages
}

func (f *Facebook) appID(id string) any { return asNumber(id, f.options().AppIDAsNumber) }

func asNumber(id string, number bool) any {
	if number {
		return json.Number(id)
	}
	return id
}
