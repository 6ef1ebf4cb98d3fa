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
	return output{stdout: replace(ts, "examples/"+args[0], string(text), args[1:])}, nil
}

// replace replaces text of a file as OLD=>NEW arguments say. The script fails where the file does not have it.
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
			ts.Logf("vault %s had to be killed, %v after SIGINT", args[0], patience)
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

// planned is how an agent's log says that it goes by an answer's ttl.
var planned = regexp.MustCompile(`set lease duration to (\d+) seconds`)

// paced prints when a path was read, by the audit log, and what the answer said of the next time. It fails if a reader came back
// before that, or if the reader's own log does not say that it plans to come back then. (How late it comes is the machine's doing.)
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
			errs = append(errs, fmt.Errorf("after read %d the log does not say %q of %v: it says %v", n+1, planned, read.ttl, plans))
		}
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
