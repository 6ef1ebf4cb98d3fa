package facebook

import (
	"context"
	"encoding/json"
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
		AppID               flexibleID `json:"app_id"`
		UserID              flexibleID `json:"user_id"`
		IsValid             *bool      `json:"is_valid"`
		IssuedAt            int64      `json:"issued_at"`
		ExpiresAt           int64      `json:"expires_at"`
		DataAccessExpiresAt int64      `json:"data_access_expires_at"`
		Scopes              []string   `json:"scopes"`
		Error               *struct {
			Code    int    `json:"code"`
			Subcode int    `json:"subcode"`
			Message string `json:"message"`
		} `json:"error"`
	} `json:"data"`
}

// flexibleID is an id that Facebook's reference shows as a string and its
// examples as a number.
type flexibleID string

// UnmarshalJSON implements [json.Unmarshaler].
func (id *flexibleID) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(id))
	}
	*id = flexibleID(strings.Trim(string(b), " "))
	return nil
}

// Inspect implements [provider.Provider].
func (p *Provider) Inspect(ctx context.Context, c oauth.Client, t oauth.Token) (oauth.Token, error) {
	const op = "inspecting the token"
	var answer inspection
	err := p.call(ctx, request{
		op:      op,
		method:  http.MethodGet,
		url:     c.APIBase + "/" + c.APIVersion + "/debug_token?" + url.Values{"input_token": {t.AccessToken.Reveal()}}.Encode(),
		bearer:  appToken(c),
		client:  true,
		secrets: []oauth.Secret{c.Secret, t.AccessToken},
	}, &answer)
	if err != nil {
		return oauth.Token{}, err
	}
	d := answer.Data
	switch {
	case d.IsValid == nil:
		// Not the answer that is documented: it says nothing of the token.
		return oauth.Token{}, &provider.Error{Class: provider.Transient, Op: op, Message: "the answer does not say whether the token is valid"}
	case !*d.IsValid && d.Error != nil:
		return oauth.Token{}, &provider.Error{
			Class: inspectedClass(d.Error.Code, d.Error.Subcode),
			Op:    op, Code: d.Error.Code, Subcode: d.Error.Subcode,
			Message: clean(d.Error.Message, c.Secret, t.AccessToken),
		}
	case !*d.IsValid:
		return oauth.Token{}, &provider.Error{Class: provider.NeedsReauth, Op: op, Message: "the token is not valid"}
	case string(d.AppID) != c.ID:
		return oauth.Token{}, &provider.Error{Class: provider.Caller, Op: op, Message: "the token belongs to another app"}
	case d.UserID == "":
		return oauth.Token{}, &provider.Error{Class: provider.Caller, Op: op, Message: "the token belongs to no person or system user"}
	}
	t.Account = string(d.UserID)
	t.Scopes = slices.Compact(slices.Sorted(slices.Values(d.Scopes)))
	t.ExpiresAt, t.ExpiryUnknown = unixTime(d.ExpiresAt), false
	t.DataAccessExpiresAt = unixTime(d.DataAccessExpiresAt)
	if d.IssuedAt > 0 {
		t.IssuedAt = unixTime(d.IssuedAt)
	}
	return t, nil
}

// unixTime returns the time of a Unix time stamp, and the zero time for 0,
// Facebook's "never".
func unixTime(s int64) time.Time {
	if s <= 0 {
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
