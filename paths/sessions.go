package paths

import (
	"context"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var completeFields = joined(answerFields, map[string]*framework.FieldSchema{
	"actor":        {Type: framework.TypeString, Required: true, Description: "Your application's own id of the person who is signed in to it now. It must be the actor of the session."},
	"connect_code": {Type: framework.TypeString, Description: "The code that the callback page shows, or hands to return_url.", DisplayAttrs: secret("")},
	// Some providers send both, if the authorization URL asks for them.
	"granted_scopes": {Type: framework.TypeString, Description: "The provider's granted_scopes. It is ignored: the engine asks the provider what was granted."},
	"denied_scopes":  {Type: framework.TypeString, Description: "The provider's denied_scopes, ignored likewise."},
})

var sessionAnswer = joined(refAnswer, answer{
	"session_id": {Type: framework.TypeString, Required: true, Description: "The id of the session."},
	"ref":        {Type: framework.TypeString, Required: true, Description: "What the session connects."},
	"status": {Type: framework.TypeString, Required: true, Description: "pending; authorized, when the code is parked; redeeming; completed; failed, with error; expired.",
		AllowedValues: oneOf(store.SessionPending, store.SessionAuthorized, store.SessionRedeeming, store.SessionCompleted, store.SessionFailed, store.SessionExpired)},
	"actor":             {Type: framework.TypeString, Required: true, Description: "Who began it: the application's own id of that person."},
	"scopes":            {Type: framework.TypeStringSlice, Required: true, Description: "The scopes that are asked for."},
	"completion":        {Type: framework.TypeString, Required: true, Description: "Who redeems the code: confirm, the application that completes the session; callback, the callback.", AllowedValues: oneOf(flow.Confirm, flow.Callback)},
	"grant":             {Type: framework.TypeString, Required: true, Description: "How it is authorized: code, in a browser; device, by a user code; sdk, by the provider's JavaScript SDK.", AllowedValues: oneOf("code", "device", "sdk")},
	"created_at":        {Type: framework.TypeTime, Required: true, Description: "When it was begun."},
	"expires_at":        {Type: framework.TypeTime, Required: true, Description: "When it ends, if it is not finished."},
	"redirect_uri":      {Type: framework.TypeString, Description: "Where the provider sends the browser."},
	"return_url":        {Type: framework.TypeString, Description: "Where the callback page sends the browser on to."},
	"error":             {Type: framework.TypeString, Description: "Why it failed: one of the codes of errors."},
	"error_description": {Type: framework.TypeString, Description: "Why it failed, in words."},
})

type sessionPaths struct {
	flow *flow.Flow
	now  func() time.Time
}

func sessions(f *flow.Flow, now func() time.Time) []*framework.Path {
	s := sessionPaths{f, now}
	return []*framework.Path{s.one(), s.completion()}
}

func (s sessionPaths) one() *framework.Path {
	return &framework.Path{
		Pattern:      "sessions/" + tenantSegment + "/" + sessionSegment,
		Fields:       fields(nil, "tenant", "session"),
		DisplayAttrs: on("session"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: forwarded(s.read, "Read the state of a session.",
				answers("The session.", sessionAnswer)),
			logical.DeleteOperation: forwarded(s.cancel, "Cancel an unfinished session.", named("cancel"),
				says("Deleting cancels it."),
				answersNothing("The session is cancelled.")),
		},
		HelpSynopsis:    "The state of a session.",
		HelpDescription: "status is pending, authorized (the code is parked), redeeming, completed, failed (with error) or expired. A deleted session reads as failed until its record is deleted.",
	}
}

func (s sessionPaths) completion() *framework.Path {
	return &framework.Path{
		Pattern:      "sessions/" + tenantSegment + "/" + sessionSegment + "/complete",
		Fields:       fields(completeFields, "tenant", "session"),
		DisplayAttrs: on("session"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(s.complete, "Complete a session.", named("complete"),
				says("Takes `actor`, with `connect_code`, or with `state` and `code` (or `error` …) as the provider sent them, or with nothing, for a device; polls the provider once."),
				answers("The connection.", connectionAnswer)),
		},
		HelpSynopsis: "Complete a session.",
		HelpDescription: "Name as actor who is signed in to your application now, and bring the proof: the connect_code, or, if your application hosts the redirect URI, " +
			"state with code or error as the provider sent them; nothing for a session on a device, which polls the provider once. Answers the connection. It may be repeated.",
	}
}

func (s sessionPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	session, err := s.flow.Session(ctx, id, d.Get("session").(string))
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: sessionView(session)}, nil
}

func sessionView(s store.Session) map[string]any {
	view := refView(s.Ref)
	for name, value := range map[string]any{
		"session_id": s.ID,
		"ref":        s.Ref.String(),
		"status":     string(s.Status),
		"actor":      s.Actor,
		"scopes":     append([]string{}, s.Scopes...),
		"completion": s.Completion,
		"grant":      grantOf(s),
		"created_at": timestamp(s.CreatedAt),
		"expires_at": timestamp(s.ExpiresAt),
	} {
		view[name] = value
	}
	if s.RedirectURI != "" {
		view["redirect_uri"] = s.RedirectURI
	}
	if s.ReturnURL != "" {
		view["return_url"] = s.ReturnURL
	}
	if s.Error != "" {
		view["error"], view["error_description"] = string(s.Error), s.Message
	}
	return view
}

func grantOf(s store.Session) string {
	switch {
	case s.Device:
		return "device"
	case s.SDK:
		return "sdk"
	}
	return "code"
}

func (s sessionPaths) cancel(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	return nil, s.flow.Cancel(ctx, id, d.Get("session").(string))
}

func (s sessionPaths) complete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	id, err := tenant.ParseID(d.Get("tenant").(string))
	if err != nil {
		return nil, err
	}
	proof := flow.Proof{ConnectCode: oauth.NewSecret(d.Get("connect_code").(string))}
	for name := range answerFields {
		if _, named := d.Raw[name]; named {
			answer := answerOf(d)
			proof.Answer = &answer
		}
	}
	done, err := s.flow.Complete(ctx, flow.Completion{
		Tenant: id, SessionID: d.Get("session").(string), Actor: d.Get("actor").(string), Proof: proof,
	})
	if err != nil {
		return nil, err
	}
	return warned(connectionView(done.Ref, done.Credential, s.now()), done.Warning), nil
}
