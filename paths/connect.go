package paths

import (
	"context"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var connectFields = map[string]*framework.FieldSchema{
	"actor":                {Type: framework.TypeString, Description: "Your application's own id of the person who is signed in to it. For a user the default is the user's id; for an installation that is confirmed it is required."},
	"return_url":           {Type: framework.TypeString, Description: "Where the callback page sends the browser on to; one of the configuration's return_urls."},
	"redirect_uri":         {Type: framework.TypeString, Description: "One of the configuration's redirect_uris. Default: the first."},
	"scopes":               {Type: framework.TypeCommaStringSlice, Description: "The scopes to ask for instead of the configuration's."},
	"completion":           {Type: framework.TypeString, Description: "confirm, where the configuration says callback. It may only tighten."},
	"grant":                {Type: framework.TypeString, Description: "code (the default), or device: a login where there is no browser."},
	"reauthorize":          {Type: framework.TypeBool, Description: "Ask again for permissions that were declined before."},
	"allow_account_change": {Type: framework.TypeBool, Description: "Let another account of the provider take the place of the one that is connected."},
}

type connectPaths struct{ flow *flow.Flow }

func connect(f *flow.Flow) []*framework.Path {
	c := connectPaths{f}
	return []*framework.Path{
		{
			Pattern:      "connect/" + refPrefix + "/installation",
			Fields:       fields(connectFields, "tenant", "provider"),
			Operations:   map[logical.Operation]framework.OperationHandler{logical.UpdateOperation: forwarded(c.begin, "Begin to install the app for a tenant.")},
			HelpSynopsis: "Begin a session that installs the app for a tenant.",
			HelpDescription: "Answers the authorization URL to send an admin's browser to. Nothing is asked of the provider. " +
				"When the browser comes back, complete the session at sessions/<tenant>/<session_id>/complete.",
		},
		{
			Pattern:      "connect/" + refPrefix + "/users/" + userSegment,
			Fields:       fields(connectFields, "tenant", "provider", "user"),
			Operations:   map[logical.Operation]framework.OperationHandler{logical.UpdateOperation: forwarded(c.begin, "Begin to connect a person of a tenant.")},
			HelpSynopsis: "Begin a session that connects a person within a tenant.",
			HelpDescription: "Answers the authorization URL to send the person's browser to. Nothing is asked of the provider. " +
				"When the browser comes back, complete the session at sessions/<tenant>/<session_id>/complete.",
		},
	}
}

func (c connectPaths) begin(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	grant := d.Get("grant").(string)
	if grant != "" && grant != "code" && grant != "device" {
		return nil, oauth.Invalid("grant", "must be code or device")
	}
	begun, err := c.flow.Begin(ctx, flow.Request{
		Ref:                ref,
		Actor:              d.Get("actor").(string),
		ReturnURL:          d.Get("return_url").(string),
		RedirectURI:        d.Get("redirect_uri").(string),
		Scopes:             d.Get("scopes").([]string),
		Completion:         d.Get("completion").(string),
		Reauthorize:        d.Get("reauthorize").(bool),
		AllowAccountChange: d.Get("allow_account_change").(bool),
		Device:             grant == "device",
		By:                 store.Caller{EntityID: req.EntityID, DisplayName: req.DisplayName},
	})
	if err != nil {
		return nil, err
	}
	view := map[string]any{
		"session_id": begun.SessionID,
		"expires_at": timestamp(begun.ExpiresAt),
		"completion": begun.Completion,
	}
	if device := begun.Device; device != nil {
		view["user_code"], view["verification_uri"], view["interval"] = device.UserCode, device.VerificationURI, seconds(device.Interval)
	} else {
		view["authorization_url"] = begun.AuthorizationURL
	}
	return &logical.Response{Data: view}, nil
}
