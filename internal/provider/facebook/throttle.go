package facebook

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// maxRegain is the longest pause that is believed: Facebook counts by the hour
// or the day.
const maxRegain = 24 * time.Hour

// traceHeader has the trace of an answer whose body has none.
const traceHeader = "X-Fb-Trace-Id"

// withHeaders completes a refusal with what only the headers of the answer say.
func (p *graph) withHeaders(e *provider.Error, header http.Header) error {
	if e.TraceID == "" {
		e.TraceID = clean(header.Get(traceHeader))
	}
	if e.Class == provider.Throttled {
		e.Until = p.regained(header)
	}
	return e
}

// regained is when a throttled caller is let through again, as the headers of
// an answer have it, or zero (Meta: "Rate Limits", business use case rate
// limits). Facebook sends no Retry-After, and for an app's or a user's limit it
// does not say.
func (p *graph) regained(header http.Header) time.Time {
	// By the id of a business object; each may be under several limits.
	var usage map[string][]struct {
		Minutes float64 `json:"estimated_time_to_regain_access"`
	}
	if json.Unmarshal([]byte(header.Get("X-Business-Use-Case-Usage")), &usage) != nil {
		return time.Time{}
	}
	var longest float64
	for _, limits := range usage {
		for _, limit := range limits {
			longest = max(longest, limit.Minutes)
		}
	}
	if longest <= 0 {
		return time.Time{}
	}
	return p.now().Add(time.Duration(min(longest, maxRegain.Minutes()) * float64(time.Minute))).UTC()
}
