package paths

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var signedFields = map[string]*framework.FieldSchema{
	"signed_request": {Type: framework.TypeString, Required: true, Description: "What the provider posts: a payload that it has signed with the client's secret.", DisplayAttrs: secret("")},
}

var deletionFields = map[string]*framework.FieldSchema{
	"signed_request":    signedFields["signed_request"],
	"confirmation_code": {Type: framework.TypeString, Query: true, Description: "The code that confirms a deletion, to read its status."},
}

var deliveryFields = map[string]*framework.FieldSchema{
	"payload":   {Type: framework.TypeString, Required: true, Description: "The bytes of the delivery's body, as they came, in base64."},
	"signature": {Type: framework.TypeString, Required: true, Description: "The delivery's header X-Hub-Signature-256."},
}

// The answers to the provider have no envelope of Vault's.
var (
	confirmationAnswer = answer{
		"url":               {Type: framework.TypeString, Required: true, Description: "Where the person can read the status."},
		"confirmation_code": {Type: framework.TypeString, Required: true, Description: "The code that confirms the deletion."},
	}
	deletionAnswer = answer{
		"status": {Type: framework.TypeString, Description: "The status of the deletion that confirmation_code confirms. Without one the answer is empty.",
			AllowedValues: oneOf(store.DataDeletionPending, store.DataDeletionCompleted, store.DataDeletionRejected)},
	}
	deliveryAnswer = answer{
		"marked": {Type: framework.TypeInt, Required: true, Description: "How many credentials were marked."},
	}
)

type webhookPaths struct {
	store         *store.Store
	deletions     *removal.DataDeletions
	notifications *notification.Receiver
}

// webhooks are the paths of a provider's notifications. Those that it posts to need no
// token. It may post more fields than these.
func webhooks(s *store.Store, r *removal.DataDeletions, n *notification.Receiver) []*framework.Path {
	w := webhookPaths{s, r, n}
	return []*framework.Path{w.deauthorization(), w.dataDeletion(), w.delivery()}
}

func (w webhookPaths) deauthorization() *framework.Path {
	return &framework.Path{
		Pattern:             "webhooks/" + providerSegment + "/deauthorize",
		Fields:              fields(signedFields, "provider"),
		TakesArbitraryInput: true,
		DisplayAttrs:        on("deauthorization"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(w.greet, "Answer a provider's test of the URL.", named("greet"),
				shows(http.StatusOK, "text/plain", "The URL works.")),
			logical.UpdateOperation: forwarded(w.deauthorize, "Apply that a person took their grant away.", named("receive"),
				shows(http.StatusOK, "text/plain", "It is applied.")),
		},
		HelpSynopsis:    "Where the provider posts that a person took their grant away.",
		HelpDescription: "It needs no token; a request that the provider has not signed changes nothing.",
	}
}

func (w webhookPaths) dataDeletion() *framework.Path {
	return &framework.Path{
		Pattern:             "webhooks/" + providerSegment + "/data-deletion",
		Fields:              fields(deletionFields, "provider"),
		TakesArbitraryInput: true,
		DisplayAttrs:        on("data-deletion"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: forwarded(w.deletion, "Read the status of a deletion.",
				says("A GET with `confirmation_code` answers the status of that deletion."),
				answers("The status, without Vault's envelope.", deletionAnswer)),
			logical.UpdateOperation: forwarded(w.delete, "Begin the deletion of a person's data.", named("receive"),
				answers("The provider's confirmation, without Vault's envelope.", confirmationAnswer)),
		},
		HelpSynopsis:    "Where the provider posts a person's request for the deletion of their data.",
		HelpDescription: "It needs no token; a request that the provider has not signed changes nothing. A read with a confirmation_code answers the status of that deletion: pending, completed or rejected.",
	}
}

func (w webhookPaths) delivery() *framework.Path {
	return &framework.Path{
		Pattern:      "webhooks/" + providerSegment + "/notify",
		Fields:       fields(deliveryFields, "provider"),
		DisplayAttrs: on("webhook-delivery"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(w.notify, "Apply a delivery that the application's webhook has received.", named("relay"),
				says("Takes `payload`, the body's bytes in base64, and `signature`, its `X-Hub-Signature-256`; answers how many credentials were `marked`."),
				answers("The result.", deliveryAnswer)),
		},
		HelpSynopsis:    "Apply a delivery that the application's webhook has received.",
		HelpDescription: "The signature is over the bytes of the body, which Vault passes to no plugin: so the application relays both. Answers how many credentials were marked.",
	}
}

// errWrapped refuses a wrapped answer on a path that needs no token: Vault stores each
// wrapped answer, so that anyone could fill its storage.
var errWrapped = oauth.Errorf(oauth.InvalidRequest, "the answer cannot be wrapped")

func wrapped(req *logical.Request) bool { return req.WrapInfo != nil && req.WrapInfo.TTL > 0 }

// greet answers an empty 200, which a provider may require. Without an HTTP body Vault
// would answer 204.
func (webhookPaths) greet(_ context.Context, req *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	if wrapped(req) {
		return nil, errWrapped
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:         http.StatusOK,
		logical.HTTPContentType:        "text/plain; charset=utf-8",
		logical.HTTPCacheControlHeader: "no-store",
	}}, nil
}

func (w webhookPaths) deauthorize(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	if wrapped(req) {
		return nil, errWrapped
	}
	if err := w.notifications.Deauthorize(ctx, d.Get("provider").(string), d.Get("signed_request").(string)); err != nil {
		return nil, err
	}
	return w.greet(ctx, req, d)
}

func (w webhookPaths) delete(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	if wrapped(req) {
		return nil, errWrapped
	}
	name := d.Get("provider").(string)
	code, err := w.deletions.Begin(ctx, name, d.Get("signed_request").(string))
	if err != nil {
		return nil, err
	}
	config, err := w.store.Mount.Config(ctx, name)
	if err != nil {
		return nil, err
	}
	mount := publicURL(name, config)
	if mount == "" {
		// The deletion is carried out. The provider repeats its request until it gets the
		// URL of the status.
		return nil, oauth.Errorf(oauth.Misconfigured, "it is not known where browsers reach this mount; set public_url in config/%s", name)
	}
	q := url.Values{"confirmation_code": {code.Reveal()}}
	return jsonAnswer(map[string]string{
		"url":               mount + "/webhooks/" + name + "/data-deletion?" + q.Encode(),
		"confirmation_code": code.Reveal(),
	})
}

func (w webhookPaths) deletion(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	code := d.Get("confirmation_code").(string)
	if code == "" || wrapped(req) {
		return w.greet(ctx, req, d)
	}
	status, err := w.deletions.Status(ctx, d.Get("provider").(string), oauth.NewSecret(code))
	if err != nil {
		return nil, err
	}
	return jsonAnswer(map[string]string{"status": string(status)})
}

// jsonAnswer answers with v alone, without Vault's envelope.
func jsonAnswer(v any) (*logical.Response, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:         http.StatusOK,
		logical.HTTPContentType:        "application/json",
		logical.HTTPRawBody:            b,
		logical.HTTPCacheControlHeader: "no-store",
	}}, nil
}

func (w webhookPaths) notify(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	body, err := base64.StdEncoding.DecodeString(d.Get("payload").(string))
	if err != nil || len(body) == 0 {
		return nil, oauth.Invalid("payload", "must be the bytes of the delivery's body in base64")
	}
	marked, err := w.notifications.Deliver(ctx, d.Get("provider").(string), body, d.Get("signature").(string))
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{"marked": marked}}, nil
}
