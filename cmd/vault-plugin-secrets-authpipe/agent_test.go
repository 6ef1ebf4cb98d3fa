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

// example prints a file of examples/ with what its README says to replace. What is not in it fails the script: then the
// README names what nobody can find.
func example(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) == 0 {
		ts.Fatalf("usage: example FILE [OLD=>NEW...]")
	}
	text, err := os.ReadFile(filepath.Join(root, "examples", args[0]))
	ts.Check(err)
	filled := string(text)
	for _, replaced := range args[1:] {
		old, with, ok := strings.Cut(replaced, "=>")
		if !ok || !strings.Contains(filled, old) {
			ts.Fatalf("examples/%s does not have %q", args[0], old)
		}
		filled = strings.ReplaceAll(filled, old, with)
	}
	return output{stdout: filled}, nil
}

// background starts a vault command that stays until the script ends: an agent, a proxy. What it says is in COMMAND.log.
// It has no token but what it logs in for.
func background(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: background COMMAND [ARG...]")
	}
	log, err := os.Create(ts.MkAbs(args[0] + ".log"))
	ts.Check(err)
	defer log.Close()
	cmd := exec.Command(worldOf(ts).vault, args...)
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
			_ = cmd.Process.Kill()
			<-exited
		}
	})
}

// shows prints a file, and fails unless it matches. It is for eventually: a file that another process writes may not be
// there yet.
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

// shorten has Facebook say from now on that a token expires soon.
func shorten(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 2 {
		ts.Fatalf("usage: shorten TOKEN LIFE")
	}
	life, err := time.ParseDuration(args[1])
	ts.Check(err)
	worldOf(ts).facebook.SetTokenExpiry(args[0], time.Now().Add(life))
	return output{}, nil
}

// slack is how late a reader may come back on a busy machine. It is never early.
const slack = 15 * time.Second

// paced prints when a path was read, by the audit log, and what the answer said of the next time. It fails if a reader
// came back before that, or later than it said.
func paced(ts *testscript.TestScript, args []string) (output, error) {
	if len(args) != 1 {
		ts.Fatalf("usage: paced PATH")
	}
	var (
		out  output
		errs []error
		next time.Time
	)
	for n, read := range readsOf(ts, args[0]) {
		out.stdout += fmt.Sprintf("read %d at %s: ttl %v\n", n+1, read.at.Format(time.RFC3339), read.ttl)
		if n > 0 && (read.at.Before(next) || read.at.After(next.Add(slack))) {
			errs = append(errs, fmt.Errorf("read %d came at %s instead of %s", n+1, read.at, next))
		}
		next = read.at.Add(read.ttl)
	}
	return out, errors.Join(errs...)
}

// A readOnce is one read of a credential.
type readOnce struct {
	at  time.Time
	ttl time.Duration
}

// readsOf takes the answers to reads of a path from the audit log, where numbers stand in the clear. Only those count that
// an agent or a proxy made: these log in by approle, and the script does not.
func readsOf(ts *testscript.TestScript, path string) (reads []readOnce) {
	audit, err := os.ReadFile(worldOf(ts).server.auditLog())
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
