package paths

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

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
		// A provider may send more than is known here, and does.
		TakesArbitraryInput: true,
		DisplayAttrs:        on("callback"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: forwarded(callbackPaths{f}.read, "Take a browser back from the provider.", named("receive"),
				shows(http.StatusOK, "text/html", "A page that says that it is connected, or takes the browser on to where it will be."),
				shows(http.StatusBadRequest, "text/html", "A page that says that nothing was connected, and not why.")),
		},
		HelpSynopsis:    "Where the provider sends the browser back to.",
		HelpDescription: "Answers a browser with a small page. It is open to everybody; who brings no state of a session is told nothing.",
	}}
}

type callbackPaths struct{ flow *flow.Flow }

func (c callbackPaths) read(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	if req.WrapInfo != nil && req.WrapInfo.TTL > 0 {
		// Anybody could fill Vault's storage with wrapped pages.
		return nil, oauth.Errorf(oauth.InvalidRequest, "the callback's page cannot be wrapped")
	}
	page, err := c.flow.Callback(ctx, d.Get("provider").(string), answerOf(d))
	if err != nil {
		return nil, err
	}
	return callbackPage(page)
}

//go:embed callback.html
var callbackHTML string

//go:embed callback.css
var callbackCSS string

// The page has no script, and its policy allows none. Where a mount is tuned
// to let the headers pass, they add what a policy in the page cannot say.
var (
	callbackTemplate = template.Must(template.New("callback").Parse(callbackHTML))
	callbackPolicy   = func() string {
		sum := sha256.Sum256([]byte(callbackCSS))
		return "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}()
)

// callbackPage answers with the page. It does not say why something failed: the session
// has the reason, for the application.
func callbackPage(l flow.CallbackPage) (*logical.Response, error) {
	page := struct {
		Policy, Title, Text, ConnectCode, ReturnURL, Warning string
		Style                                                template.CSS
	}{
		Policy: callbackPolicy, Style: template.CSS(callbackCSS),
		Title: "Connected", Text: "You can close this page.",
		ReturnURL: l.ReturnURL,
	}
	status := http.StatusOK
	switch {
	case l.Unknown:
		status = http.StatusBadRequest
		page.Title, page.Text = "Not connected", "This link is not valid, or not any more. Go back to the application you came from and begin again."
	case l.Error != "":
		status = http.StatusBadRequest
		page.Title, page.Text = "Not connected", "Nothing was connected. Go back to the application you came from; you can begin again there."
	case !l.ConnectCode.IsZero() && l.ReturnURL == "":
		application := ""
		if l.Application != "" {
			application = " by " + l.Application
		}
		page.Title = "Almost connected"
		page.Text = "Your account at " + l.Provider + " is about to be used" + application + " for the organization “" + string(l.Tenant) + "”."
		page.Warning = "Did somebody send you a link to get here? Then close this page: nothing is connected."
		page.ConnectCode = l.ConnectCode.Reveal()
	case !l.ConnectCode.IsZero():
		page.Title, page.Text = "Almost connected", "You are being taken back to the application."
	}
	var html bytes.Buffer
	if err := callbackTemplate.Execute(&html, page); err != nil {
		return nil, err
	}
	return &logical.Response{
		Data: map[string]any{
			logical.HTTPStatusCode:         status,
			logical.HTTPContentType:        "text/html; charset=utf-8",
			logical.HTTPRawBody:            html.Bytes(),
			logical.HTTPCacheControlHeader: "no-store",
		},
		Headers: map[string][]string{
			"Content-Security-Policy": {callbackPolicy + "; frame-ancestors 'none'"},
			"Referrer-Policy":         {"no-referrer"},
			"X-Content-Type-Options":  {"nosniff"},
			"X-Frame-Options":         {"DENY"},
		},
	}, nil
}
