package flow

import (
	"context"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// Verify asks the provider whether its client is set up as it should be. It
// changes nothing but what is known of which secret is accepted.
func (f *Flow) Verify(ctx context.Context, name string) ([]provider.Finding, error) {
	p, config, err := f.client(ctx, name)
	if err != nil {
		return nil, err
	}
	var findings []provider.Finding
	if v, ok := p.(provider.Verifier); ok {
		calls, cancel := provider.Budget(ctx)
		defer cancel()
		client := config.Client()
		client.Secret, client.OtherSecret = config.ClientSecret, config.FormerSecret
		findings = v.Verify(calls, client)
	}
	return append(findings, verifyRedirects(config.RedirectURIs)), nil
}

// verifyRedirects looks at what can be told of redirect URIs without a browser:
// whether they are registered, the provider's dialog alone tells.
func verifyRedirects(uris []string) provider.Finding {
	for _, uri := range uris {
		if !strings.HasPrefix(uri, "https://") {
			return provider.Finding{Check: "redirect_uris", Detail: uri + " is not https: providers accept it for an app in development only"}
		}
	}
	return provider.Finding{Check: "redirect_uris", OK: true, Detail: "all are https; that they are registered to the letter shows when somebody logs in"}
}
