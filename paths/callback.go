package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/callbackpage"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// answerFields are what a provider sends to the redirect URI.
var answerFields = map[string]*framework.FieldSchema{
	"state":             {Type: framework.TypeString, Query: true, Description: "The state of the authorization URL.", DisplayAttrs: secret("")},
	"code":              {Type: framework.TypeString, Query: true, Description: "The authorization code.", DisplayAttrs: secret("")},
	"error":             {Type: framework.TypeString, Query: true, Description: "The provider's error."},
	"error_reason":      {Type: framework.TypeString, Query: true, Description: "The provider's error_reason."},
	"error_description": {Type: framework.TypeString, Query: true, Description: "The provider's error_description."},
	"error_code":        {Type: framework.TypeString, Query: true, Description: "The provider's error_code."},
	"error_message":     {Type: framework.TypeString, Query: true, Description: "The provider's error_message."},
}

func answerOf(d *framework.FieldData) flow.Answer {
	return flow.Answer{
		State:            oauth.NewSecret(d.Get("state").(string)),
		Code:             oauth.NewSecret(d.Get("code").(string)),
		Error:            d.Get("error").(string),
		ErrorReason:      d.Get("error_reason").(string),
		ErrorDescription: d.Get("error_description").(string),
		ErrorCode:        d.Get("error_code").(string),
		ErrorMessage:     d.Get("error_message").(string),
	}
}

func callback(f *flow.Flow) []*framework.Path {
	return []*framework.Path{{
		Pattern: "callback/" + providerSegment,
		Fields:  fields(answerFields, "provider"),
		// Providers send more than what is known here.
		TakesArbitraryInput: true,
		DisplayAttrs:        on("callback"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: forwarded(callbackPaths{f}.read, "Take a browser back from the provider.", named("receive"),
				shows(http.StatusOK, "text/html", "A page that says that the account is connected, or moves the browser on to where it will be."),
				shows(http.StatusBadRequest, "text/html", "A page that says that nothing was connected.")),
		},
		HelpSynopsis:    "Where the provider sends the browser back to.",
		HelpDescription: "Answers a browser with a small page, without authentication. A request without the state of a session changes nothing and learns nothing.",
	}}
}

type callbackPaths struct{ flow *flow.Flow }

func (c callbackPaths) read(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	if req.WrapInfo != nil && req.WrapInfo.TTL > 0 {
		// Wrapping is open to strangers here, and each wrapped page is a record in Vault's storage.
		return nil, oauth.Errorf(oauth.InvalidRequest, "the callback's page cannot be wrapped")
	}
	page, err := c.flow.Callback(ctx, d.Get("provider").(string), answerOf(d))
	if err != nil {
		return nil, err
	}
	shown, err := callbackpage.Render(page, http.Header(req.Headers).Values("Accept-Language"))
	if err != nil {
		return nil, err
	}
	return &logical.Response{
		Data: map[string]any{
			logical.HTTPStatusCode:         shown.Status,
			logical.HTTPContentType:        "text/html; charset=utf-8",
			logical.HTTPRawBody:            shown.HTML,
			logical.HTTPCacheControlHeader: "no-store",
		},
		Headers: shown.Header,
	}, nil
}
