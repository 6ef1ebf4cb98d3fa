package main_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// example prints a file of examples/ with text replaced as its README says. Text that the file does not have fails the script,
// because the README is wrong then.
func example(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) == 0 {
		ts.Fatalf("usage: example FILE [OLD=>NEW...]")
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", args[0]))
	ts.Check(err)
	return output{stdout: replace(ts, "examples/"+args[0], string(text), args[1:])}, nil
}

// replace replaces text of a file as OLD=>NEW arguments say. The script fails if the file does not have it.
func replace(ts *testscript.TestScript, file, text string, args []string) string {
	for _, arg := range args {
		old, with, ok := strings.Cut(arg, "=>")
		if !ok || !strings.Contains(text, old) {
			ts.Fatalf("%s does not have %q", file, old)
		}
		text = strings.ReplaceAll(text, old, with)
	}
	return text
}

// background starts a vault command that runs until the script ends: an agent, a proxy. Its output is in COMMAND.log. It has no
// token but the one that it gets by a login.
func background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: background COMMAND [ARG...]")
	}
	log, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	defer log.Close()
	cmd := exec.Command(environmentOf(ts).vault, args...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME")}
	cmd.Stdout, cmd.Stderr = log, log
	exited, err := vaulttest.StartProcess(cmd)
	ts.Check(err)
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-exited:
		case <-time.After(patience):
			ts.Logf("vault %s had to be killed, %v after SIGINT", args[0], patience)
			_ = cmd.Process.Kill()
			<-exited
		}
	})
}

// shows prints a file, and fails unless it matches. Use it with eventually for a file that another process writes.
func shows(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 2 {
		ts.Fatalf("usage: shows FILE REGEXP")
	}
	text, err := os.ReadFile(ts.MkAbs(args[0]))
	if err != nil {
		return output{}, err
	}
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	if !re.Match(text) {
		err = errors.New("no match for " + args[1])
	}
	return output{stdout: string(text)}, err
}

// shorten makes a token at Facebook expire soon.
func shorten(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 2 {
		ts.Fatalf("usage: shorten TOKEN LIFE")
	}
	life, err := time.ParseDuration(args[1])
	ts.Check(err)
	environmentOf(ts).facebook.SetTokenExpiry(args[0], time.Now().Add(life))
	return output{}, nil
}

// planned matches the line of an agent's log that shows a response's ttl.
var planned = regexp.MustCompile(`set lease duration to (\d+) seconds`)

// paced prints the times of the reads of a path in the audit log, and the responses' ttls. It fails if a read came before the last
// ttl was over, or if the reader's own log does not show that ttl. (A slow machine may delay a read.)
func paced(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 2 {
		ts.Fatalf("usage: paced PATH LOG")
	}
	var (
		out  output
		errs []error
		next time.Time
	)
	plans := planned.FindAllStringSubmatch(ts.ReadFile(args[1]), -1)
	for n, read := range readsOf(ts, args[0]) {
		out.stdout += fmt.Sprintf("read %d at %s: ttl %v\n", n+1, read.at.Format(time.RFC3339), read.ttl)
		if n > 0 && read.at.Before(next) {
			errs = append(errs, fmt.Errorf("read %d came at %s, before %s", n+1, read.at, next))
		}
		next = read.at.Add(read.ttl)
		if n >= len(plans) || plans[n][1] != fmt.Sprint(read.ttl.Seconds()) {
			errs = append(errs, fmt.Errorf("after read %d the log does not show %q of %v, but %v", n+1, planned, read.ttl, plans))
		}
	}
	return out, errors.Join(errs...)
}

// A readOnce is one read of a credential.
type readOnce struct {
	at  time.Time
	ttl time.Duration
}

// readsOf returns the reads of a path by an agent or a proxy from the audit log, where numbers are in the clear. An agent and a
// proxy log in by approle, and the script does not.
func readsOf(ts *testscript.TestScript, path string) (reads []readOnce) {
	audit, err := os.ReadFile(environmentOf(ts).server.auditLog())
	ts.Check(err)
	for line := range strings.Lines(string(audit)) {
		var entry struct {
			Type    string
			Time    time.Time
			Request struct{ Path, Operation string }
			Auth    struct {
				DisplayName string `json:"display_name"`
			}
			Response struct {
				Data struct{ TTL int64 }
			}
		}
		if json.Unmarshal([]byte(line), &entry) != nil || entry.Type != "response" || entry.Request.Operation != "read" || entry.Request.Path != path || entry.Auth.DisplayName != "approle" {
			continue
		}
		reads = append(reads, readOnce{entry.Time, time.Duration(entry.Response.Data.TTL) * time.Second})
	}
	return reads
}
