package backend_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

const (
	threatModel      = "../docs/threat-model.md"
	beginningOfMoves = "<!-- attacks: made by make reference -->\n"
	endOfMoves       = "<!-- end of attacks -->\n"
)

// TestTableOfAttacks holds the table in the threat model to what TestAdversary tries, and to the tests that its other rows name.
func TestTableOfAttacks(t *testing.T) {
	text, err := os.ReadFile(threatModel)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), beginningOfMoves)
	got, after, ended := strings.Cut(rest, endOfMoves)
	if !found || !ended {
		t.Fatalf("%s has no %q with %q after it", threatModel, beginningOfMoves, endOfMoves)
	}
	table := tableOfAttacks()
	if *enginetest.Update {
		if err := os.WriteFile(threatModel, []byte(before+beginningOfMoves+table+endOfMoves+after), 0o644); err != nil {
			t.Fatal(err)
		}
		got = table
	}
	if diff := cmp.Diff(table, got); diff != "" {
		t.Errorf("the table in %s is another (make reference writes it anew): %s", threatModel, diff)
	}

	for section := 1; section <= 17; section++ { // all of RFC 9700, section 4
		if !regexp.MustCompile(fmt.Sprintf(`\b4\.%d\b`, section)).MatchString(table) {
			t.Errorf("no row is about RFC 9700, section 4.%d", section)
		}
	}
}

// TestNamedTestsOfAttacksExist looks for each test that a row names: a Go test anywhere in the repository, or one of JavaScript by the
// file that has it and its title.
func TestNamedTestsOfAttacksExist(t *testing.T) {
	exist := map[string]bool{}
	function := regexp.MustCompile(`(?m)^func (Test\w+)\(`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return filepath.SkipDir
		}
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		source, err := os.ReadFile(path)
		for _, found := range function.FindAllSubmatch(source, -1) {
			exist[string(found[1])] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range slices.Concat(handlerMoves, otherMoves) {
		if len(m.tests) == 0 {
			t.Errorf("%q names no test", m.name)
		}
		for _, name := range m.tests {
			file, title, isJS := strings.Cut(name, ": ")
			if !isJS {
				if !exist[name] {
					t.Errorf("%q names %s, and there is no such test", m.name, name)
				}
				continue
			}
			source, err := os.ReadFile("../js/" + file)
			if quoted := "'" + strings.ReplaceAll(title, "'", `\'`) + "'"; err != nil || !strings.Contains(string(source), quoted) {
				t.Errorf("%q names a test %q of js/%s, and there is none: %v", m.name, title, file, err)
			}
		}
	}
}

func tableOfAttacks() string {
	var b strings.Builder
	b.WriteString("### What a log holds\n\n| route | " + string(vaultLog) + ", and that of a proxy in front of it | " + string(appLog) + ", and that of a proxy in front of it |\n|---|---|---|\n")
	for _, r := range []route{returned, shown, relayed, onDevice, bySDK} {
		held := configuration{completion: "confirm", route: r}.held()
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r, heldInWords(held[vaultLog]), heldInWords(held[appLog]))
	}
	b.WriteString("\n### Against the engine\n\n| the adversary … (RFC 9700) | and has | what stops it | where it remains |\n|---|---|---|---|\n")
	for _, m := range moves() {
		stops, remains := m.cells()
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", titled(m.name, m.section), m.has, stops, remains)
	}
	b.WriteString("\n### Against the handlers of the client packages\n\n| the adversary … (RFC 9700) | and has | what stops it | where it remains | tests |\n|---|---|---|---|---|\n")
	for _, m := range handlerMoves {
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", titled(m.name, m.section), m.has, m.stops, orNowhere(m.remains), m.testsInWords())
	}
	b.WriteString("\n### What else RFC 9700 names\n\n| the adversary … (RFC 9700) | what stops it | where it remains | tests |\n|---|---|---|---|\n")
	for _, m := range otherMoves {
		fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", titled(m.name, m.section), m.stops, orNowhere(m.remains), m.testsInWords())
	}
	return b.String()
}

func titled(name, section string) string {
	if section == "" {
		return name
	}
	return fmt.Sprintf("%s (%s)", name, section)
}

func orNowhere(remains string) string {
	if remains == "" {
		return "–"
	}
	return remains
}

func heldInWords(parameters []string) string {
	if len(parameters) == 0 {
		return "–"
	}
	return "`" + strings.Join(parameters, "`, `") + "`"
}

// cells are what stops the move, with the codes and events that show it, and where it remains. An outcome without words goes with the one
// before it.
func (m move) cells() (stops, remains string) {
	var stopped, remaining []string
	for i := 0; i < len(m.outcomes); {
		group := m.outcomes[i : i+1]
		for i++; i < len(m.outcomes) && m.outcomes[i].stops == "" && m.outcomes[i].remains == ""; i++ {
			group = m.outcomes[i-len(group) : i+1]
		}
		when, codes := "", shownBy(group)
		if group[0].when != "" {
			when = group[0].when + ": "
		}
		if group[0].stops != "" {
			stopped = append(stopped, when+group[0].stops+codes)
		}
		if group[0].remains != "" {
			remaining = append(remaining, when+group[0].remains)
		}
	}
	return orNowhere(strings.Join(stopped, "<br>")), orNowhere(strings.Join(remaining, "<br>"))
}

// shownBy is what outcomes were recognized by, in parentheses.
func shownBy(outcomes []outcome) string {
	var shown []string
	add := func(s string) {
		if s != "" && !slices.Contains(shown, s) {
			shown = append(shown, s)
		}
	}
	code := regexp.MustCompile(`^[a-z_]+$`)
	for _, o := range outcomes {
		for _, what := range strings.Split(o.want.happened, ", ") {
			what = strings.TrimPrefix(what, "application: ")
			switch {
			case what == "403" || what == "page 400":
				add("status " + strings.TrimPrefix(what, "page "))
			case what != "answered" && code.MatchString(what):
				add("`" + what + "`")
			}
		}
		if o.want.events != "" {
			add("event `" + o.want.events + "`")
		}
	}
	if len(shown) == 0 {
		return ""
	}
	return " (" + strings.Join(shown, ", ") + ")"
}

// A namedMove is a move that tests elsewhere try.
type namedMove struct {
	name, section, has, stops, remains string
	// tests are names of Go tests, and of JavaScript's below js/, as "file: title".
	tests []string
}

// testsInWords names each Go test, and each file of JavaScript once.
func (m namedMove) testsInWords() string {
	var names []string
	for _, name := range m.tests {
		if file, _, isJS := strings.Cut(name, ": "); isJS {
			name = "js/" + file
		}
		if name = "`" + name + "`"; !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
