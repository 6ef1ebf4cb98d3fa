package flow

import (
	"context"
	"strings"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// Verify checks at the provider whether its client is set up as it should be. It stores
// nothing; the provider may note which of the client's secrets is accepted.
func (f *Flow) Verify(ctx context.Context, name string) ([]provider.Finding, error) {
	p, config, err := f.client(ctx, name)
	if err != nil {
		return nil, err
	}
	calls, cancel := provider.Budget(ctx)
	defer cancel()
	client := config.Client()
	client.Secret, client.OtherSecret = config.ClientSecret, config.FormerSecret
	findings := p.Verify(calls, client)
	if v, ok := p.(provider.RedirectVerifier); ok {
		return append(findings, v.VerifyRedirects(calls, client, config.RedirectURIs)...), nil
	}
	return append(findings, unverifiedRedirects(config.RedirectURIs)...), nil
}

// unverifiedRedirects returns the findings about redirect URIs for a provider that cannot
// check them.
func unverifiedRedirects(uris []string) (findings []provider.Finding) {
	for _, uri := range uris {
		detail := uri + " is https; the first login shows whether it is registered to the letter"
		if !strings.HasPrefix(uri, "https://") {
			detail = uri + " is http on a loopback host: providers accept that of an app in development"
		}
		findings = append(findings, provider.Finding{Check: "redirect_uri", OK: true, Detail: detail})
	}
	return findings
}
