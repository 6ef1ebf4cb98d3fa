package main_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// documented prints the code block under <!-- NAME --> in one of the repository's documents. With -run it runs the block's commands
// after "$ vault" instead. Some of the text may be replaced.
func documented(ts *testscript.TestScript, args []string) (output, error) {
	run := len(args) > 0 && args[0] == "-run"
	if run {
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: documented [-run] FILE NAME [OLD=>NEW...]")
	}
	text, err := os.ReadFile(filepath.Join(root, args[0]))
	ts.Check(err)
	block := regexp.MustCompile("(?s)<!-- " + regexp.QuoteMeta(args[1]) + " -->\n( *)```[a-z]+\n(.*?\n) *```").FindSubmatch(text)
	if block == nil {
		ts.Fatalf("%s has no code block under <!-- %s -->", args[0], args[1])
	}
	code := strings.TrimPrefix(strings.ReplaceAll("\n"+string(block[2]), "\n"+string(block[1]), "\n"), "\n") // it may be in a list
	code = replace(ts, args[0], code, args[2:])
	if !run {
		return output{stdout: code}, nil
	}
	var out output
	ran := 0
	for line := range strings.Lines(strings.ReplaceAll(code, "\\\n", " ")) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "$ vault ")
		if !ok {
			continue
		}
		ran++
		said, err := vaultCLI(ts, strings.Fields(command))
		out.stdout, out.stderr = out.stdout+said.stdout, out.stderr+said.stderr
		if err != nil {
			return out, fmt.Errorf("vault %s: %w", command, err)
		}
	}
	if ran == 0 {
		ts.Fatalf("%s has no command under <!-- %s -->", args[0], args[1])
	}
	return out, nil
}

// alerted runs the vault command at the end of an alert's description, for the mount authpipe and the provider facebook: the on-call
// operator copies it from there.
func alerted(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 1 {
		ts.Fatalf("usage: alerted ALERT")
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/prometheus-alerts.yml"))
	ts.Check(err)
	rule := regexp.MustCompile(`alert: ` + args[0] + `\n(?:.*\n)*? +description: "(.*)"\n`).FindStringSubmatch(string(text))
	if rule == nil {
		ts.Fatalf("there is no alert %s", args[0])
	}
	description := strings.NewReplacer("{{ $labels.mount }}", "authpipe", "{{ $labels.provider }}", "facebook").Replace(rule[1])
	at := strings.LastIndex(description, "vault ")
	command, ended := strings.CutSuffix(description[max(at, 0):], ".")
	if at < 0 || !ended {
		ts.Fatalf("%s does not end with a command: %s", args[0], description)
	}
	return vaultCLI(ts, strings.Fields(command)[1:])
}

// capable fails unless a token has a capability on each of the paths; with -none, if it has it on any.
func capable(ts *testscript.TestScript, args []string) (output, error) {
	none := len(args) > 0 && args[0] == "-none"
	if none {
		args = args[1:]
	}
	if len(args) < 3 {
		ts.Fatalf("usage: capable [-none] TOKEN CAPABILITY PATH...")
	}
	token, capability, paths := args[0], args[1], args[2:]
	answer, status := environmentOf(ts).server.try(http.MethodPost, "sys/capabilities", map[string]any{"token": token, "paths": paths})
	if status != http.StatusOK {
		ts.Fatalf("reading capabilities: status %d: %v", status, answer)
	}
	var out output
	var wrong []string
	for _, path := range paths {
		has, _ := answer[path].([]any)
		out.stdout += fmt.Sprintln(path, has)
		if slices.Contains(has, any(capability)) == none {
			wrong = append(wrong, path)
		}
	}
	if wrong != nil {
		return out, fmt.Errorf("%s: wrong on %s", capability, strings.Join(wrong, ", "))
	}
	return out, nil
}

// flood makes requests, eight at a time, and prints the number of each status.
func flood(ts *testscript.TestScript, args []string) (output, error) {
	var count int
	if len(args) != 2 {
		ts.Fatalf("usage: flood COUNT URL")
	}
	if _, err := fmt.Sscan(args[0], &count); err != nil {
		ts.Fatalf("flood: %v", err)
	}
	var (
		mu       sync.Mutex
		statuses = map[int]int{}
		requests = make(chan bool)
		all      sync.WaitGroup
	)
	for range 8 {
		all.Go(func() {
			for range requests {
				status := 0
				if resp, err := http.Get(args[1]); err == nil {
					status = resp.StatusCode
					resp.Body.Close()
				}
				mu.Lock()
				statuses[status]++
				mu.Unlock()
			}
		})
	}
	for range count {
		requests <- true
	}
	close(requests)
	all.Wait()
	var out output
	for _, status := range slices.Sorted(maps.Keys(statuses)) {
		out.stdout += fmt.Sprintf("HTTP %d: %d\n", status, statuses[status])
	}
	return out, nil
}
