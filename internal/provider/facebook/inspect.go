package facebook

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// inspection is the answer of debug_token (Meta: "Debug-Token"). It comes with
// status 200 for a dead token too, and says subcode where other answers say
// error_subcode.
type inspection struct {
	Data struct {
		Type                string    `json:"type"`
		AppID               decimalID `json:"app_id"`
		UserID              decimalID `json:"user_id"`
		IsValid             *bool     `json:"is_valid"`
		IssuedAt            int64     `json:"issued_at"`
		ExpiresAt           *int64    `json:"expires_at"`
		DataAccessExpiresAt int64     `json:"data_access_expires_at"`
		Scopes              []string  `json:"scopes"`
		GranularScopes      []struct {
			Scope     string     `json:"scope"`
			TargetIDs []objectID `json:"target_ids"`
		} `json:"granular_scopes"`
		Error *struct {
			Code    number `json:"code"`
			Subcode number `json:"subcode"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"data"`

	trace string // of the answer, if its headers are known
}

// decimalID is an id that Facebook's reference shows as a string and its
// examples as a number: decimal digits either way.
type decimalID string

// maxID is more digits than any id has.
const maxID = 32

// UnmarshalJSON implements [json.Unmarshaler].
func (id *decimalID) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		return nil
	}
	digits := strings.Trim(string(b), `"`)
	if digits == "" || len(digits) > maxID || strings.Trim(digits, "0123456789") != "" {
		return errors.New("an id is not a decimal number")
	}
	*id = decimalID(digits)
	return nil
}

// objectID is the id of an object of any kind, such as "act_1", which is only
// shown: none makes an answer unreadable, and a scope with an odd target is not
// one that was granted for all.
type objectID string

// UnmarshalJSON implements [json.Unmarshaler].
func (id *objectID) UnmarshalJSON(b []byte) error {
	text := clean(strings.Trim(string(b), `"`))
	*id = objectID(text[:min(len(text), 2*maxID)])
	return nil
}

// inspector asks about tokens.
type inspector struct{ *graph }

// Inspect implements [provider.Provider].
func (p inspector) Inspect(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	return provider.WithEither(ctx, c, func(c oauth.Client) (oauth.Token, error) { return p.inspect(ctx, c, t) })
}

func (p inspector) inspect(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	answers, err := p.debugTokens(ctx, inspecting, c, t.AccessToken)
	if err != nil {
		return oauth.Token{}, err
	}
	return p.inspected(ctx, c, t, answers[0])
}

// inspected returns what the answer of debug_token says of t.
func (p inspector) inspected(ctx context.Context, c oauth.Client, t oauth.Token, a batchAnswer) (oauth.Token, error) {
	answer, err := a.read(c, t.AccessToken)
	if err == nil {
		return answer.of(c, t)
	}
	var e *provider.Error
	if errors.As(err, &e) && e.Class == provider.Caller && e.Code == 100 && !strings.Contains(e.Message, "did not match the Viewing App") {
		err = p.undescribed(ctx, c, t, e)
	}
	return oauth.Token{}, err
}

// undescribed calls the API with a token for which debug_token was refused with
// code 100, which does not name the reason: the token of a business that has
// removed the app, for one. It returns the refusal of that call. A token that is
// accepted lives, and the first refusal is the provider's failure.
func (p inspector) undescribed(ctx context.Context, c oauth.Client, t oauth.Token, refused *provider.Error) error {
	q := url.Values{"fields": {"id"}, "appsecret_proof": {proof(c, t.AccessToken.Reveal())}}
	err := p.call(ctx, request{
		op:      inspecting,
		method:  http.MethodGet,
		url:     c.APIBase + "/" + c.APIVersion + "/me?" + q.Encode(),
		bearer:  t.AccessToken,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &struct{}{})
	var e *provider.Error
	switch {
	case err == nil:
		failed := refused.Reclassified(provider.Transient, provider.ConcernsRequest)
		failed.Message = refused.Message + "; other calls accept the token"
		return failed
	case errors.As(err, &e) && (e.Class == provider.Caller || e.Class == provider.Permission):
		err = e.Reclassified(provider.Transient, provider.ConcernsRequest)
	}
	return integrationRemoved(err, t)
}

// Probe implements [provider.Provider]: it inspects the app's own token, with
// itself. Whatever is wrong with the client is wrong with that call.
func (p inspector) Probe(ctx context.Context, c oauth.Client) error {
	_, err := provider.WithEither(ctx, c, func(c oauth.Client) (inspection, error) { return p.probe(ctx, c) })
	return err
}

func (p inspector) probe(ctx context.Context, c oauth.Client) (inspection, error) {
	answers, err := p.debugTokens(ctx, inspecting, c, appToken(c))
	if err != nil {
		return inspection{}, err
	}
	answer, err := answers[0].read(c, appToken(c))
	if err == nil && answer.Data.IsValid == nil {
		err = &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the answer does not say whether the token is valid"}
	}
	return answer, err
}

// inspecting is what goes wrong where an inspection does.
const inspecting = "inspecting the token"

// of returns what the answer says of c's token t.
func (a *inspection) of(c oauth.Client, t oauth.Token) (oauth.Token, error) {
	d := a.Data
	switch {
	case d.IsValid == nil:
		// Not the answer that is documented: it says nothing of the token.
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the answer does not say whether the token is valid"}
	case !*d.IsValid && d.Error != nil:
		e := graphError{Code: d.Error.Code, Subcode: d.Error.Subcode, Message: d.Error.Message}
		refused := &provider.Error{
			Op: inspecting, Code: int(e.Code), Subcode: int(e.Subcode), TraceID: clean(a.trace),
			Message: clean(e.Message, c.Secret, t.AccessToken), Account: string(d.UserID),
		}
		if e.judgeToken(refused); e.Code == 0 {
			refused = refused.Reclassified(provider.NeedsReauth, "") // it is not valid, and there is no more to it
			refused.Uncertain = true
		}
		return oauth.Token{}, refused
	case !*d.IsValid:
		return oauth.Token{}, &provider.Error{Class: provider.NeedsReauth, Uncertain: true, Op: inspecting, Message: "the token is not valid"}
	case string(d.AppID) != c.ID:
		return oauth.Token{}, &provider.Error{Class: provider.Caller, Op: inspecting, Message: "the token belongs to another app"}
	case d.UserID == "":
		return oauth.Token{}, &provider.Error{Class: provider.Caller, Op: inspecting, Message: "the token belongs to no person or system user"}
	case t.ExpiryUnknown && (d.ExpiresAt == nil || *d.ExpiresAt < 0):
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: inspecting, Message: "the answer does not say when the token expires"}
	}
	t.Account, t.Kind = string(d.UserID), d.Type
	t.Scopes = slices.Compact(slices.Sorted(slices.Values(d.Scopes)))
	t.Granular = a.granular()
	if d.ExpiresAt != nil && *d.ExpiresAt >= 0 {
		t.ExpiresAt, t.ExpiryUnknown = unixTime(*d.ExpiresAt), false
	}
	t.DataAccessExpiresAt = time.Time{}
	if dataAccessEnds(t.Scopes) {
		t.DataAccessExpiresAt = unixTime(d.DataAccessExpiresAt)
	}
	if d.IssuedAt > 0 {
		t.IssuedAt = unixTime(d.IssuedAt)
	}
	return t, nil
}

// granular returns the scopes that were granted for some targets only. Without
// targets one was granted for all there are.
func (a *inspection) granular() (scopes []oauth.GranularScope) {
	for _, granular := range a.Data.GranularScopes {
		if len(granular.TargetIDs) == 0 {
			continue
		}
		targets := make([]string, len(granular.TargetIDs))
		for i, id := range granular.TargetIDs {
			targets[i] = string(id)
		}
		slices.Sort(targets)
		scopes = append(scopes, oauth.GranularScope{Scope: granular.Scope, Targets: targets})
	}
	return scopes
}

// unixTime returns the time of a Unix time stamp, and the zero time for 0,
// Facebook's "never", and for what lies beyond the year 9999, which no time
// stamp of the API can write.
func unixTime(s int64) time.Time {
	const year10000 = 253_402_300_800
	if s <= 0 || s >= year10000 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
