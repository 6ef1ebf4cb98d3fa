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

// debugger tells apps about their tokens.
type debugger struct {
	*settings
	graph     *graph
	directory *directory
	tokens    *tokens
}

// debugToken tells an app about a token of its own ("Debug Token"). That the token is dead is an answer, with status 200;
// an error is about the token that the call is made with.
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
	if input.client && input.grant.gone {
		// Seen on v26.0; the report has no text.
		return nil, methodError(codeInvalid, 0, "(#100) Unsupported request")
	}
	if flaw := d.tokens.flaw(input); flaw != nil {
		return debugged(d.dead(input, flaw)), nil
	}
	return debugged(d.live(input)), nil
}

func debugged(a debugAnswer) map[string]debugAnswer { return map[string]debugAnswer{"data": a} }

func (d *debugger) dead(t *token, flaw *GraphError) debugAnswer {
	return debugAnswer{
		AppID: d.appID(t.app), Type: d.typeOf(t), ExpiresAt: new(unix(t.expires)), Scopes: []string{},
		Error: &debugError{Code: flaw.Code, Message: flaw.Message, Subcode: flaw.Subcode},
	}
}

func (d *debugger) live(t *token) debugAnswer {
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

// typeOf is the token's kind as it is told.
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

func (d *debugger) appID(id string) any { return asNumber(id, d.options().AppIDAsNumber) }

func asNumber(id string, number bool) any {
	if number {
		return json.Number(id)
	}
	return id
}
