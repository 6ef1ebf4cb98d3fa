package facebook

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// maxRegain is the longest pause that is believed: Facebook counts by the hour
// or the day.
const maxRegain = 24 * time.Hour

// throttled completes an error of class Throttled with the time until which
// the answer's headers say that it lasts (Meta: "Rate Limits", business use
// case rate limits). Facebook sends no Retry-After, and for an app's or a
// user's limit it does not say.
func (p *Provider) throttled(err error, header http.Header) error {
	var e *provider.Error
	if !errors.As(err, &e) || e.Class != provider.Throttled {
		return err
	}
	// By the id of a business object; each may be under several limits.
	var usage map[string][]struct {
		Minutes float64 `json:"estimated_time_to_regain_access"`
	}
	if json.Unmarshal([]byte(header.Get("X-Business-Use-Case-Usage")), &usage) != nil {
		return err
	}
	var longest float64
	for _, limits := range usage {
		for _, limit := range limits {
			longest = max(longest, limit.Minutes)
		}
	}
	if longest > 0 {
		e.Until = p.now().Add(min(time.Duration(min(longest, maxRegain.Minutes())*float64(time.Minute)), maxRegain)).UTC()
	}
	return err
}
