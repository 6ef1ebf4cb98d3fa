package authpipetest

import (
	"encoding/json"
	"slices"
)

const (
	wrongDebugger = "(#100) You must provide an app access token, or a user access token that is an owner or developer of the app"
	wrongApp      = "(#100) The App_id in the input_token did not match the Viewing App"
)

// debugAnswer is the member data of debug_token's answer ("Debug Token").
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

// granularScope is a scope that is granted page by page. Without target_ids it is for all pages.
type granularScope struct {
	Scope     string `json:"scope"`
	TargetIDs []any  `json:"target_ids,omitempty"`
}

// debugError is an error in debugAnswer. Its subcode is called error_subcode everywhere else.
type debugError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Subcode int    `json:"subcode,omitempty"`
}

// debugger is the endpoint debug_token.
type debugger struct {
	*settings
	graph     *graph
	directory *directory
	tokens    *tokens
}

// debugToken describes one of an app's tokens to the app ("Debug Token"). An invalid input_token is an answer with
// status 200. Errors are about the token that the call is made with.
func (d *debugger) debugToken(c *call) (any, error) {
	caller, err := d.graph.authenticate(c)
	switch {
	case err != nil:
		return nil, err
	case caller.kind != KindApp && !slices.Contains(c.app.Developers, caller.person):
		return nil, oauthError(codeInvalid, wrongDebugger)
	case c.param("input_token") == "":
		return nil, oauthError(codeInvalid, "(#100) The parameter input_token is required")
	}
	input, err := d.tokens.find(c.param("input_token"))
	if err != nil {
		return debugged(debugAnswer{Scopes: []string{}, Error: &debugError{Code: codeToken, Message: notAToken}}), nil
	}
	if input.app != caller.app {
		return nil, oauthError(codeInvalid, wrongApp)
	}
	if input.client && input.grant.ended {
		// Seen on v26.0; the report has no text.
		return nil, methodError(codeInvalid, 0, "(#100) Unsupported request")
	}
	if reason := d.tokens.validate(input); reason != nil {
		return debugged(d.invalid(input, reason)), nil
	}
	return debugged(d.valid(input)), nil
}

func debugged(a debugAnswer) map[string]debugAnswer { return map[string]debugAnswer{"data": a} }

func (d *debugger) invalid(t *token, reason *GraphError) debugAnswer {
	return debugAnswer{
		AppID: d.appID(t.app), Type: d.typeOf(t), ExpiresAt: new(unix(t.expires)), Scopes: []string{},
		Error: &debugError{Code: reason.Code, Message: reason.Message, Subcode: reason.Subcode},
	}
}

func (d *debugger) valid(t *token) debugAnswer {
	a := debugAnswer{
		AppID: d.appID(t.app), Type: d.typeOf(t), Application: d.directory.apps[t.app].Name, IsValid: true, Scopes: []string{},
	}
	if t.kind == KindApp {
		return a
	}
	a.ExpiresAt, a.DataAccessExpiresAt = new(unix(t.expires)), new(unix(t.dataAccessExpires()))
	a.ProfileID, a.UserID = t.page, scopedID(t.app, t.person)
	a.Scopes = append(a.Scopes, t.effective()...)
	a.GranularScopes = d.granularScopes(t)
	if o := d.options(); !o.OmitsIssuedAt && !(o.PageTokenOmitsIssuedAt && t.kind == KindPage) {
		a.IssuedAt = unix(t.issued)
	}
	return a
}

// typeOf is the token's type in the answer.
func (d *debugger) typeOf(t *token) string {
	if t.client && t.kind == KindSystemUser {
		return d.options().IntegrationTokenType
	}
	return t.kind
}

func (d *debugger) granularScopes(t *token) []granularScope {
	var granular []granularScope
	for _, scope := range t.effective() {
		if !perAsset(scope) {
			continue
		}
		g := granularScope{Scope: scope}
		targets := t.targets(scope)
		if d.options().OmitsTargetIDs {
			targets = nil
		}
		for _, page := range targets {
			g.TargetIDs = append(g.TargetIDs, asNumber(page, d.options().TargetIDsAsNumbers))
		}
		granular = append(granular, g)
	}
	return granular
}

// targets returns the assets to which a permission is restricted. Empty: all.
func (t *token) targets(scope string) []string {
	switch {
	case t.business != "" && scope == managesBusinesses:
		return []string{t.business}
	case t.assets != nil:
		return t.assets
	}
	return t.grant.targets(scope)
}

func (d *debugger) appID(id string) any { return asNumber(id, d.options().AppIDAsNumber) }

func asNumber(id string, number bool) any {
	if number {
		return json.Number(id)
	}
	return id
}
