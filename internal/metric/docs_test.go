package metric_test

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"gopkg.in/yaml.v3"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/metric"
)

// described returns the sorted labels of each metric, by its name.
func described() map[string][]string {
	m := metric.New(metric.Options{Providers: []string{"facebook"}, Now: time.Now})
	m.Watch(nil, nil, nil)
	descriptions := make(chan *prometheus.Desc)
	go func() { m.Describe(descriptions); close(descriptions) }()
	form := regexp.MustCompile(`fqName: "([^"]+)".*variableLabels: \{([^}]*)\}`)
	all := map[string][]string{}
	for d := range descriptions {
		found := form.FindStringSubmatch(d.String())
		if !strings.HasPrefix(found[1], "authpipe_") {
			continue
		}
		labels := []string{}
		if found[2] != "" {
			labels = strings.Split(found[2], ",")
		}
		slices.Sort(labels)
		all[found[1]] = labels
	}
	return all
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var quoted = regexp.MustCompile("`([^`]+)`")

func TestDocumentListsAllMetrics(t *testing.T) {
	exist := described()
	if len(exist) < 25 {
		t.Fatalf("only %d metrics were found", len(exist))
	}
	documented := map[string]bool{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(authpipe_[a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\| [^|]+ \\|$").FindAllStringSubmatch(read(t, "metrics.md"), -1) {
		name, labels := row[1], []string{}
		for _, label := range quoted.FindAllStringSubmatch(row[3], -1) {
			labels = append(labels, label[1])
		}
		want, there := exist[name]
		if !there || documented[name] {
			t.Errorf("there is no %s, or it has two rows", name)
		}
		if documented[name] = true; !slices.Equal(labels, want) {
			t.Errorf("%s has the labels %v, and is documented with %v", name, want, labels)
		}
		if (row[2] == "counter") != strings.HasSuffix(name, "_total") {
			t.Errorf("%s is no %s by its name", name, row[2])
		}
	}
	for name := range exist {
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
}

func TestAlertsUseExistingMetrics(t *testing.T) {
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(read(t, "prometheus-alerts.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			check(t, rule.Alert, rule.Expr)
			if seen[rule.Alert] || !strings.HasPrefix(rule.Alert, "Authpipe") {
				t.Errorf("the name %s occurs twice, or lacks the engine's prefix", rule.Alert)
			}
			seen[rule.Alert] = true
			if rule.Labels["severity"] == "" || rule.Annotations["summary"] == "" {
				t.Errorf("%s has no severity or no summary", rule.Alert)
			}
			if !regexp.MustCompile(`vault |(?i)look|set the clock`).MatchString(rule.Annotations["description"]) {
				t.Errorf("%s does not say what to do next", rule.Alert)
			}
		}
	}
	if len(seen) < 10 {
		t.Errorf("there are only %d rules", len(seen))
	}
}

func TestDashboardUsesExistingMetrics(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "grafana-dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	drawn := ""
	for _, panel := range dashboard.Panels {
		if ids[panel.ID] || panel.GridPos.X+panel.GridPos.W > 24 || panel.Title == "" {
			t.Errorf("panel %d, %q, has the id of another, or no position", panel.ID, panel.Title)
		}
		ids[panel.ID] = true
		if len(panel.Targets) == 0 && panel.Type != "row" {
			t.Errorf("%s has no query", panel.Title)
		}
		for _, target := range panel.Targets {
			check(t, panel.Title, target.Expr)
			drawn += target.Expr + "\n"
		}
	}
	for name := range described() {
		if !strings.Contains(drawn, name) {
			t.Errorf("%s has no panel", name)
		}
	}
}

// check checks that an expression uses existing metrics and labels, and
// documented values.
func check(t *testing.T, where, expression string) {
	t.Helper()
	exist := described()
	metrics, labels, values := parse(expression)
	known := []string{"mount", "instance", "job", "le"} // labels of the scrape, and of histograms
	for _, name := range metrics {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		own, there := exist[name]
		if histogram, is := exist[base]; is {
			own, there = histogram, true
		}
		if !there && name != "up" && !strings.HasPrefix(name, "process_") {
			t.Errorf("%s: there is no metric %s", where, name)
		}
		known = append(known, own...)
	}
	for _, label := range labels {
		if !slices.Contains(known, label) {
			t.Errorf("%s: none of %v has a label %s", where, metrics, label)
		}
	}
	documented := read(t, "metrics.md")
	for _, value := range values {
		for _, word := range strings.Split(value, "|") {
			if word = strings.TrimSuffix(word, ".+"); !strings.HasPrefix(word, "$") && !strings.Contains(documented, "`"+word) {
				t.Errorf("%s: the label value %q is not documented", where, word)
			}
		}
	}
	if len(metrics) == 0 {
		t.Errorf("%s: %s uses no metric", where, expression)
	}
}

var (
	token   = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\$?[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9.]+[a-z]*|=~|!~|!=|==|>=|<=|\S`)
	word    = regexp.MustCompile(`^[a-zA-Z_:]`)
	grouped = []string{"by", "without", "on", "ignoring", "group_left", "group_right"}
	keyword = []string{"and", "or", "unless", "bool", "offset"}
)

// parse returns the names of the metrics in an expression of PromQL, its labels
// and the values that it compares them with.
func parse(expression string) (metrics, labels, values []string) {
	tokens := token.FindAllString(expression, -1)
	at := func(i int) string {
		if i < len(tokens) {
			return tokens[i]
		}
		return ""
	}
	for i := 0; i < len(tokens); i++ {
		switch tok := tokens[i]; {
		case slices.Contains(grouped, tok) && at(i+1) == "(":
			for i += 2; at(i) != ")" && at(i) != ""; i++ {
				if at(i) != "," {
					labels = append(labels, at(i))
				}
			}
		case tok == "{":
			for i++; at(i) != "}" && at(i) != ""; i++ {
				if word.MatchString(at(i)) {
					labels = append(labels, at(i))
				} else if strings.HasPrefix(at(i), `"`) && at(i-2) != "job" {
					values = append(values, strings.Trim(at(i), `"`))
				}
			}
		case word.MatchString(tok) && at(i+1) != "(" && !slices.Contains(keyword, tok) && !slices.Contains(grouped, at(i+1)):
			metrics = append(metrics, tok)
		}
	}
	return metrics, labels, values
}

func TestParseFindsMetricsLabelsAndValues(t *testing.T) {
	for expression, want := range map[string]string{
		`up{job="x"} == 0`: "[up] [job] []",
		`sum by (mount, le) (rate(a_total{outcome=~"b|c",d!="e"}[5m])) / on (mount) group_left () f > 0.05 and bool`: "[a_total f] [mount le outcome d mount] [b|c e]",
		`histogram_quantile(0.9, sum(rate(x_bucket[$__rate_interval])) without (y))`:                                 "[x_bucket] [y] []",
		`time() - max(z) by (mount) unless w offset 1h`:                                                              "[z w] [mount] []",
	} {
		metrics, labels, values := parse(expression)
		if got := fmt.Sprint(metrics, labels, values); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}
