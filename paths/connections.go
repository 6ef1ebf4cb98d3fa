package paths

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/admission"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

type connectionPaths struct {
	store   *store.Store
	refresh *refresh.Refresher
	pages   *pages.Pages
	now     func() time.Time
}

func connections(s *store.Store, r *refresh.Refresher, p *pages.Pages, now func() time.Time) []*framework.Path {
	c := connectionPaths{s, r, p, now}
	all := append(tree{s, p, "connections", "connection"}.paths(), c.static(),
		c.staticRefused("refresh", "a static credential has nothing to refresh; write a new value to creds/%s"),
		c.staticRefused("check", "a static credential has no provider that could check it; read it at creds/%s"))
	for _, leaf := range append(slices.Clone(connectable), pageRefs...) {
		all = append(all, c.state(leaf), c.refreshing(leaf), c.checking(leaf), c.accessible(leaf))
	}
	return all
}

func (c connectionPaths) static() *framework.Path {
	return &framework.Path{
		Pattern:      "connections/" + refPrefix + staticLeaf.pattern,
		Fields:       fields(nil, staticLeaf.names...),
		DisplayAttrs: on("static-connection"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(c.read, "Read the state of a static credential.",
				answers("The connection.", staticConnectionAnswer)),
		},
		HelpSynopsis:    "The state of a static credential, without the credential.",
		HelpDescription: "For callers that may see the state and not the credential: its type, who stored it and when, and the last outcomes.",
	}
}

// staticRefused is a path of other credentials' connections that always fails for a static
// one. Without the path, Vault's "unsupported path" would not say why.
func (c connectionPaths) staticRefused(verb, why string) *framework.Path {
	return &framework.Path{
		Pattern:      "connections/" + refPrefix + staticLeaf.pattern + "/" + verb,
		Fields:       fields(nil, staticLeaf.names...),
		DisplayAttrs: on("static-connection"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: local(func(_ context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
				ref, err := refOf(d)
				if err != nil {
					return nil, err
				}
				return nil, oauth.Errorf(oauth.InvalidRequest, why, ref)
			}, "Refused: a static credential has no provider.", named(verb), refuses("Always: with invalid_request, and what to do.")),
		},
		HelpSynopsis:    "Refused: a static credential has no provider.",
		HelpDescription: "It is served as it was written, and has no due work.",
	}
}

func (c connectionPaths) state(l leaf) *framework.Path {
	return &framework.Path{
		Pattern:      "connections/" + refPrefix + l.pattern,
		Fields:       fields(nil, l.names...),
		DisplayAttrs: on(l.noun + "-connection"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(c.read, "Read the state of a credential.",
				answers("The connection.", joined(connectionAnswer, removalAnswer))),
		},
		HelpSynopsis:    "The state of a credential, without any secret.",
		HelpDescription: "For callers that may see the state and not the token: status, who connected it and when, what is due next, the last error and the last outcomes.",
	}
}

func (c connectionPaths) refreshing(l leaf) *framework.Path {
	return &framework.Path{
		Pattern:      "connections/" + refPrefix + l.pattern + "/refresh",
		Fields:       fields(nil, l.names...),
		DisplayAttrs: on(l.noun + "-connection"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(c.calling(c.refresh.Refresh, notExtended), "Refresh the token now.", named("refresh"),
				answers("The connection.", connectionAnswer)),
		},
		HelpSynopsis:    "Refresh the token now.",
		HelpDescription: "Trades the token for a fresh one and answers the connection. The provider may give a token that lasts no longer; then the old one is kept, and a warning says so.",
	}
}

func (c connectionPaths) checking(l leaf) *framework.Path {
	return &framework.Path{
		Pattern:      "connections/" + refPrefix + l.pattern + "/check",
		Fields:       fields(nil, l.names...),
		DisplayAttrs: on(l.noun + "-connection"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.UpdateOperation: forwarded(c.calling(c.refresh.Check, nil), "Ask the provider now whether the token is alive.", named("check"),
				answers("The connection of a living token.", connectionAnswer)),
		},
		HelpSynopsis:    "Ask the provider now whether the token is alive.",
		HelpDescription: "What an application calls after the provider refused a token. Answers the connection; a dead token is answered with its error, a living one that was taken for dead is served again.",
	}
}

func (c connectionPaths) read(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
	ref, err := refOf(d)
	if err != nil {
		return nil, err
	}
	if err := c.store.Tenants.Deleting(ctx, ref.Tenant); err != nil {
		return nil, err
	}
	credential, err := c.store.Credentials.Read(ctx, ref)
	if errors.Is(err, store.ErrNotFound) {
		err = admission.NoCredential(ref)
	}
	if err != nil {
		return nil, err
	}
	view := connectionView(ref, credential, c.now())
	switch removal, err := c.store.Tenants.Removal(ctx, ref); {
	case err == nil:
		view["removal"] = removalView(removal)
	case !errors.Is(err, store.ErrNotFound):
		return nil, err
	}
	return &logical.Response{Data: view}, nil
}

// calling is an operation that makes a call about a credential and answers its connection,
// with the warning that warn has for it, if there is one.
func (c connectionPaths) calling(call func(context.Context, tenant.Ref) (store.Credential, error), warn func(store.Credential) string) framework.OperationFunc {
	return func(ctx context.Context, _ *logical.Request, d *framework.FieldData) (*logical.Response, error) {
		ref, err := refOf(d)
		if err != nil {
			return nil, err
		}
		credential, err := call(ctx, ref)
		if err != nil {
			return nil, err
		}
		warning := ""
		if warn != nil {
			warning = warn(credential)
		}
		return warned(connectionView(ref, credential, c.now()), warning), nil
	}
}

// notExtended is the warning of a refresh that did not extend the token's life.
func notExtended(c store.Credential) string {
	switch {
	case c.Page != nil:
		return "" // a new one was fetched
	case c.Token.ExpiresAt.IsZero():
		return "the token's life was not extended, for it does not expire; it was checked"
	case c.Exhausted:
		return "the token's life was not extended: the provider gave none that lasts longer than until " + timestamp(c.Token.ExpiresAt) +
			"; the engine tries again within a day, and if the end comes near, the person must connect again"
	}
	return ""
}
