// Package monitoring stands in for the client of Google Cloud Monitoring, to which the telemetry sink Stackdriver writes.
package monitoring

import (
	"context"

	"google.golang.org/api/option"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// MetricClient is what [NewMetricClient] would return.
type MetricClient struct{}

// NewMetricClient returns an error. Vault calls it if telemetry has a stackdriver_project_id.
func NewMetricClient(context.Context, ...option.ClientOption) (*MetricClient, error) {
	return nil, without.Error("telemetry to Stackdriver")
}
