package paths

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
)

var credsFields = map[string]*framework.FieldSchema{
	"min_ttl":              {Type: framework.TypeDurationSecond, Query: true, Description: "On a read: a token with less life than this is refreshed first."},
	"proof":                {Type: framework.TypeString, Query: true, Description: `On a read: "now" adds a proof of possession that is stamped with the time.`, AllowedValues: oneOf("now")},
	"force":                {Type: framework.TypeBool, Query: true, Description: "On a delete: delete the credential even if its grant could not be revoked."},
	"access_token":         {Type: framework.TypeString, Required: true, Description: "On a write: a token that was obtained elsewhere, for this client.", DisplayAttrs: secret("")},
	"actor":                {Type: framework.TypeString, Description: "On a write: your application's own id of the person who connected it, for the record."},
	"allow_account_change": {Type: framework.TypeBool, Description: "On a write: let another account of the provider take the place of the one that is connected."},
	"revoke":               {Type: framework.TypeBool, Query: true, Default: true, Description: "On a delete: whether the grant is revoked at the provider. Default true."},
}

type credsPaths struct {
	refresh *refresh.Refresher
	removal *removal.Remover
	store   func(context.Context, flow.Import) (c store.Credential, warning string, err error)
	now     func() time.Time
}

func creds(s *store.Store, r *refresh.Refresher, p *pages.Pages, m *removal.Remover, importToken func(context.Context, flow.Import) (store.Credential, string, error), now func() time.Time) []*framework.Path {
	c := credsPaths{r, m, importToken, now}
	var all []*framework.Path
	for _, leaf := range connectable {
		all = append(all, c.connectable(leaf))
	}
	for _, leaf := range pageRefs {
		all = append(all, c.page(leaf))
	}
	return append(all, tree{s, p, "creds", "credential"}.paths()...)
}

func (c credsPaths) connectable(l leaf) *framework.Path {
	return &framework.Path{
		Pattern:      "creds/" + refPrefix + l.pattern,
		Fields:       fields(credsFields, l.names...),
		DisplayAttrs: on(l.noun + "-credential"),
		Operations: map[logical.Operation]framework.OperationHandler{
			// Not forwarded: any node can serve a read that needs no call. A read that does
			// fails with ErrReadOnly on a node that may make none, and Vault forwards it.
			logical.ReadOperation: local(c.read, "Read a credential that is ready to use.",
				says("Takes `min_ttl`, `proof=now`."),
				answers("The credential.", credentialAnswer)),
			logical.UpdateOperation: forwarded(c.write, "Import a token that was obtained elsewhere.", named("import"),
				says("Writing `access_token` imports a token."),
				answers("The connection.", connectionAnswer)),
			logical.DeleteOperation: forwarded(c.delete, "Revoke the grant at the provider, and delete the credential.",
				says("Deleting revokes at the provider first; `force`, `revoke=false`."),
				answersNothing("The credential is deleted."),
				warns("The credential is deleted, or removed in the background; the warning says more.")),
		},
		HelpSynopsis: "A credential, ready to use.",
		HelpDescription: "There is no lease: the token is shared, and one reader's revocation must not end another's use. Come back after ttl seconds. " +
			"Writing imports a token, which the provider must know as this client's and alive. " +
			"Deleting revokes at the provider first; if that fails nothing is deleted, unless force=true. Deleting an installation removes everything under it.",
	}
}

func (c credsPaths) page(l leaf) *framework.Path {
	return &framework.Path{
		Pattern:      "creds/" + refPrefix + l.pattern,
		Fields:       fields(map[string]*framework.FieldSchema{"min_ttl": credsFields["min_ttl"], "proof": credsFields["proof"]}, l.names...),
		DisplayAttrs: on(l.noun + "-credential"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(c.read, "Read a page's own credential.",
				says("Takes `min_ttl`, `proof=now`."),
				answers("The credential.", credentialAnswer)),
		},
		HelpSynopsis: "A page's own credential, ready to use.",
		HelpDescription: "It is derived from the credential above it: fetched when it is first read and when that changes, and deleted with it. " +
			"Calls in the page's name need this token, not the user's.",
	}
}

func (c credsPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	minTTL := duration(d, "min_ttl")
	if minTTL < 0 {
		return nil, oauth.Invalid("min_ttl", "must not be negative")
	}
	proof := d.Get("proof").(string)
	if proof != "" && proof != "now" {
		return nil, oauth.Invalid("proof", `must be "now", or left out`)
	}
	served, err := c.refresh.Token(ctx, ref, minTTL)
	if err != nil {
		return nil, err
	}
	now := c.now()
	return &logical.Response{
		Data:     credentialView(ref, served, proofOf(served, proof == "now", now), now),
		Warnings: served.Warnings,
	}, nil
}

func proofOf(s refresh.Served, stamped bool, now time.Time) map[string]any {
	prover, ok := s.Provider.(provider.Prover)
	if !ok {
		return nil
	}
	if !stamped {
		now = time.Time{}
	}
	return prover.Proof(s.Client, s.Credential.Token, now)
}

func (c credsPaths) write(ctx context.Context, req *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	token, actor := text(d, "access_token"), d.Get("actor").(string)
	if err := checkToken(token); err != nil {
		return nil, err
	}
	if actor != "" {
		if err := flow.CheckActor(actor); err != nil {
			return nil, err
		}
	}
	credential, warning, err := c.store(ctx, flow.Import{
		Ref: ref, AccessToken: oauth.NewSecret(token), AllowAccountChange: d.Get("allow_account_change").(bool),
		By: store.Caller{Actor: actor, EntityID: req.EntityID, DisplayName: req.DisplayName},
	})
	if err != nil {
		return nil, err
	}
	return warned(connectionView(ref, credential, c.now()), warning), nil
}

// checkToken returns an error if the text cannot be an access token (RFC 6750, section
// 2.1). It says what has probably happened to the token, and shows no part of it.
func checkToken(token string) error {
	scheme, _, _ := strings.Cut(token, " ")
	switch {
	case token == "":
		return oauth.Invalid("access_token", "is required: 1 to %d visible ASCII characters", maxToken)
	case strings.EqualFold(scheme, "bearer") || strings.EqualFold(scheme, "oauth"):
		return oauth.Invalid("access_token", `must be the token alone, without the word "Bearer" of a header before it`)
	case strings.ContainsAny(token, "\"'`"):
		return oauth.Invalid("access_token", "must be the token alone, without quotes: it was copied with more than it, or with a part of a JSON text")
	case strings.ContainsFunc(token, unicode.IsSpace):
		return oauth.Invalid("access_token", "must have no white space in it: a line break came in when it was copied, or it is not one token")
	case strings.Contains(token, "…") || strings.HasSuffix(token, "..."):
		return oauth.Invalid("access_token", "was cut by what showed it: it has an ellipsis; take it from where it is whole")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return oauth.Invalid("access_token", "must be visible ASCII characters")
	case len(token) > maxToken:
		return oauth.Invalid("access_token", "must be %d characters at the most", maxToken)
	}
	return nil
}

// maxToken is longer than any token that a provider issues.
const maxToken = 4096

func (c credsPaths) delete(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	warning, err := c.removal.Disconnect(ctx, ref, removal.Disconnection{Revoke: d.Get("revoke").(bool), Force: d.Get("force").(bool)})
	if err != nil || warning == "" {
		return nil, err
	}
	return warned(nil, warning), nil
}
