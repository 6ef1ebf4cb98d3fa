package paths

import (
	"context"
	"net/http"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
)

// Metrics are answered as text: Prometheus reads no JSON.
type Metrics struct {
	ContentType string
	Text        func(context.Context) ([]byte, error)
}

func metrics(m Metrics) []*framework.Path {
	return []*framework.Path{{
		Pattern:      "metrics$",
		DisplayAttrs: on("metrics"),
		Operations: map[logical.Operation]framework.OperationHandler{
			logical.ReadOperation: local(m.read, "Read the mount's metrics, as Prometheus does.",
				says("[docs/metrics.md](docs/metrics.md) lists them, with alert rules and a Grafana dashboard."),
				shows(http.StatusOK, "text/plain", "The metrics.")),
		},
		HelpSynopsis: "The mount's metrics, in Prometheus' text exposition format.",
		HelpDescription: "Each node answers for itself, since its process began. No label names a tenant, a user or a ref. " +
			"Prometheus scrapes it with a Vault token that may read this path; by hand it is read with vault read -format=raw.",
	}}
}

func (m Metrics) read(ctx context.Context, _ *logical.Request, _ *framework.FieldData) (*logical.Response, error) {
	text, err := m.Text(ctx)
	if err != nil {
		return nil, err
	}
	return &logical.Response{Data: map[string]any{
		logical.HTTPStatusCode:         http.StatusOK,
		logical.HTTPContentType:        m.ContentType,
		logical.HTTPRawBody:            text,
		logical.HTTPCacheControlHeader: "no-store",
	}}, nil
}
