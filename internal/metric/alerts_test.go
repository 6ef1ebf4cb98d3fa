package metric_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

var (
	counterSelector = regexp.MustCompile(`(?:increase|rate)\((authpipe_[a-z_]+_total)\{([^}]*)\}`)
	matcher         = regexp.MustCompile(`([a-z]+)(=~|=)"([^"]*)"`)
)

// TestAlertedSeriesBeginAtZero holds the alert rules to the series of a new process:
// Prometheus sees no increase of a series that begins at thirty, so the night in which all
// tokens are lost would raise no alert.
func TestAlertedSeriesBeginAtZero(t *testing.T) {
	told := enginetest.New(t, authpipetest.Options{}).Metrics()
	checked := 0
	for name, expression := range alerts(t) {
		for _, selector := range counterSelector.FindAllStringSubmatch(expression, -1) {
			for _, m := range matcher.FindAllStringSubmatch(selector[2], -1) {
				for value := range strings.SplitSeq(m[3], "|") {
					series := regexp.MustCompile(`^` + selector[1] + `\{(.*,)?` + m[1] + `="` + value + `"[,}]`)
					checked++
					if !anyMatches(told, series) {
						t.Errorf("%s: no series of %s begins with %s=%q", name, selector[1], m[1], value)
					}
				}
			}
		}
	}
	if checked < 20 {
		t.Errorf("only %d values were looked for", checked)
	}
}

// Sessions that fail are counted by outcome: the rule leaves out the outcomes that no
// operator can help.
func TestSessionOutcomesBeginAtZero(t *testing.T) {
	told := enginetest.New(t, authpipetest.Options{}).Metrics()
	for _, outcome := range []string{"completed", "access_denied", "cancelled", "actor_mismatch", "account_mismatch", "session_expired", "session_used", "interrupted", "misconfigured"} {
		if _, is := told[ofFacebook("sessions_ended_total", `outcome="`+outcome+`",facebook`)]; !is {
			t.Errorf("there is no series of sessions that end as %s", outcome)
		}
	}
}

// TestProcessThatNeverSweepsAlerts scrapes a process that never sweeps: there is no
// series of its last sweep's time, and a rule on that series alone stays silent.
func TestProcessThatNeverSweepsAlerts(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Clock.Advance(enginetest.Day)
	if _, told := e.Metrics()["authpipe_last_sweep_timestamp_seconds"]; told {
		t.Fatal("it tells of a last sweep")
	}
	rule := alerts(t)["AuthpipeNotSweeping"]
	for sides := range strings.SplitSeq(rule, "\nor ") {
		left, _, _ := strings.Cut(sides, "unless")
		if !strings.Contains(left, "authpipe_last_sweep_timestamp_seconds") && strings.Contains(left, "process_start_time_seconds") {
			return
		}
	}
	t.Errorf("nothing of it is over what such a process tells: %s", rule)
}

func anyMatches(told map[string]float64, series *regexp.Regexp) bool {
	for name := range told {
		if series.MatchString(name) {
			return true
		}
	}
	return false
}

// alerts are the expressions of the documented rules, by their names.
func alerts(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../../docs/prometheus-alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct{ Alert, Expr string }
		}
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			found[rule.Alert] = rule.Expr
		}
	}
	return found
}
