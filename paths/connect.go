package paths

import (
	"context"
	"slices"

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
	"scopes":               {Type: framework.TypeCommaStringSlice, Description: "The scopes to ask for instead of the configuration's; openid stays if it is among those."},
	"completion":           {Type: framework.TypeString, Description: "confirm, where the configuration says callback. It may only tighten.", AllowedValues: oneOf(flow.Confirm, flow.Callback)},
	"grant":                {Type: framework.TypeString, Description: "code (the default); device: a login where there is no browser; sdk: a login by the provider's JavaScript SDK, whose code the application relays.", AllowedValues: oneOf("code", "device", "sdk")},
	"reauthorize":          {Type: framework.TypeBool, Description: "Ask again for permissions that were declined before, and for the choice of pages."},
	"allow_account_change": {Type: framework.TypeBool, Description: "Let another account of the provider take the place of the one that is connected."},
}

var connectAnswer = answer{
	"session_id":        {Type: framework.TypeString, Required: true, Description: "The session, to be read and completed at sessions/<tenant>/<session_id>."},
	"expires_at":        {Type: framework.TypeTime, Required: true, Description: "When the session ends, if it is not finished."},
	"completion":        {Type: framework.TypeString, Required: true, Description: "Who redeems the code: confirm, the application that completes the session; callback, the callback.", AllowedValues: oneOf(flow.Confirm, flow.Callback)},
	"authorization_url": {Type: framework.TypeString, Description: "Where to send the browser to. Only with grant=code."},
	"state":             {Type: framework.TypeString, Description: "With grant=sdk: what to relay with the code.", DisplayAttrs: secret("")},
	"user_code":         {Type: framework.TypeString, Description: "With grant=device: the code that the person enters at verification_uri."},
	"verification_uri":  {Type: framework.TypeString, Description: "With grant=device: where the person enters the user_code."},
	"interval":          {Type: framework.TypeInt64, Description: "With grant=device: how many seconds to wait between two tries to complete the session."},
}

type connectPaths struct{ flow *flow.Flow }

func connect(f *flow.Flow) []*framework.Path {
	c := connectPaths{f}
	return []*framework.Path{
		c.path(connectable[0], "Begin a session that installs the app for a tenant.", "Answers the authorization URL to send an admin's browser to."),
		c.path(connectable[1], "Begin a session that connects a person within a tenant.", "Answers the authorization URL to send the person's browser to."),
	}
}

func (c connectPaths) path(l leaf, synopsis, description string) *framework.Path {
	return &framework.Path{
		Pattern:      "connect/" + refPrefix + l.pattern,
		Fields:       fields(connectFields, l.names...),
		DisplayAttrs: on(l.noun),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(c.begin, synopsis, named("connect"),
				says("Takes `actor`, `return_url`, `redirect_uri`, `scopes`, `completion`, `reauthorize`, `allow_account_change`, `grant` (`code`, `device` or `sdk`)."),
				answers("The session that was begun.", connectAnswer)),
		},
		HelpSynopsis: "Begin a session that connects a credential.",
		HelpDescription: synopsis + " " + description + " Only grant=device calls the provider. " +
			"When the browser comes back, complete the session at sessions/<tenant>/<session_id>/complete.",
	}
}

func (c connectPaths) begin(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	grant := d.Get("grant").(string)
	if !slices.Contains([]string{"", "code", "device", "sdk"}, grant) {
		return nil, oauth.Invalid("grant", "must be code, device or sdk")
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
		SDK:                grant == "sdk",
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
	switch device := begun.Device; {
	case device != nil:
		view["user_code"], view["verification_uri"], view["interval"] = device.UserCode, device.VerificationURI, seconds(device.Interval)
	case !begun.State.IsZero():
		view["state"] = begun.State.Reveal()
	default:
		view["authorization_url"] = begun.AuthorizationURL
	}
	return &logical.Response{Data: view, Warnings: scopeWarnings(c.flow.Providers[ref.Provider], ref.Provider, "scopes", d.Get("scopes").([]string))}, nil
}
