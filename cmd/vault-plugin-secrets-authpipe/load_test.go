package main_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
)

// load is traffic while the script goes on: each application sends one request after another.
type load struct {
	*environment
	http    http.Client
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	made     []int // by application: its successful requests
	failures []string
	secrets  []string
	progress chan struct{} // closed and replaced when the above has changed
}

// An application makes its next requests, and returns their number.
type application func(context.Context) (requests int, err error)

// loadCommand is the command load: see commands.
func loadCommand(ts *testscript.TestScript, args []string) (output, error) {
	w := environmentOf(ts)
	switch {
	case len(args) > 1 && args[0] == "start" && w.load == nil:
		w.load = startLoad(w, args[1:])
		ts.Defer(w.load.end) // in case the script fails
		return output{}, nil
	case len(args) == 2 && args[0] == "wait" && w.load != nil:
		return output{}, w.load.wait(count(ts, args[1]))
	case len(args) == 2 && args[0] == "stop" && w.load != nil:
		l := w.load
		w.load = nil
		return l.stop(count(ts, args[1]))
	}
	ts.Fatalf("usage: load start REF..., load wait COUNT or load stop COUNT, in this order")
	return output{}, nil
}

func count(ts *testscript.TestScript, arg string) int {
	n, err := strconv.Atoi(arg)
	ts.Check(err)
	return n
}

func startLoad(w *environment, refs []string) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{environment: w, http: http.Client{Timeout: patience}, cancel: cancel, progress: make(chan struct{})}
	var askers []application
	for _, ref := range refs {
		askers = append(askers,
			l.one(http.MethodGet, "creds/"+ref+"?min_ttl=1440h", nil),
			l.one(http.MethodPost, "connections/"+ref+"/check", nil),
			l.one(http.MethodPost, "connections/"+ref+"/refresh", nil))
	}
	askers = append(askers, func(ctx context.Context) (int, error) { return l.connect(ctx, refs[0]) })
	l.made = make([]int, len(askers))
	for i, ask := range askers {
		l.running.Go(func() {
			for ctx.Err() == nil {
				n, err := ask(ctx)
				if ctx.Err() != nil {
					return // the load ended before the requests
				}
				l.count(i, n, err)
			}
		})
	}
	return l
}

// one returns an application that repeats one request.
func (l *load) one(method, path string, data map[string]string) application {
	return func(ctx context.Context) (int, error) {
		_, err := l.request(ctx, method, path, data)
		return 1, err
	}
}

// connect returns an application that connects Bob as a user of ref's tenant.
func (l *load) connect(ctx context.Context, ref string) (requests int, err error) {
	tenant, _, _ := strings.Cut(ref, "/")
	var begun struct {
		Data struct {
			URL     string `json:"authorization_url"`
			Session string `json:"session_id"`
		} `json:"data"`
	}
	answer, err := l.request(ctx, http.MethodPost, "connect/"+tenant+"/facebook/users/load", map[string]string{"actor": "load"})
	if err == nil {
		err = json.Unmarshal(answer, &begun)
	}
	if err != nil {
		return 1, err
	}
	back, err := l.facebook.Authorize(begun.Data.URL, authpipetest.Consent{User: bob})
	if err != nil {
		return 1, err
	}
	page, err := l.request(ctx, http.MethodGet, "callback/facebook?"+back.RawQuery, nil)
	if err != nil {
		return 2, err
	}
	code := codeOnPage.FindSubmatch(page)
	if code == nil {
		return 2, fmt.Errorf("the callback shows no connect code: %s", page)
	}
	proof := map[string]string{"actor": "load", "connect_code": html.UnescapeString(string(code[1]))}
	l.mu.Lock()
	l.secrets = append(l.secrets, proof["connect_code"])
	l.mu.Unlock()
	_, err = l.request(ctx, http.MethodPost, "sessions/"+tenant+"/"+begun.Data.Session+"/complete", proof)
	return 3, err
}

var codeOnPage = regexp.MustCompile(connectCode)

// request makes one request of the mount at authpipe/. Any response but a success is an error.
func (l *load) request(ctx context.Context, method, path string, data map[string]string) (answer []byte, err error) {
	patiently(func() string {
		answer, err = l.askOnce(ctx, method, path, data)
		return string(answer)
	})
	return answer, err
}

func (l *load) askOnce(ctx context.Context, method, path string, data map[string]string) ([]byte, error) {
	body, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, l.server.addr+"/v1/authpipe/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", l.server.token)
	resp, err := l.http.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusMultipleChoices {
		path, _, _ = strings.Cut(path, "?")
		err = fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, answer)
	}
	return answer, err
}

func (l *load) count(application, requests int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failures = append(l.failures, err.Error())
	} else {
		l.made[application] += requests
	}
	close(l.progress)
	l.progress = make(chan struct{})
}

// wait waits until each application has made n more requests. Requests that were under way before have ended then.
func (l *load) wait(n int) error {
	deadline := time.After(patience)
	l.mu.Lock()
	before := slices.Clone(l.made)
	l.mu.Unlock()
	for {
		l.mu.Lock()
		slow := l.slow(before, n)
		failed, progress := l.failed(), l.progress
		l.mu.Unlock()
		if failed != nil || slow < 0 {
			return failed
		}
		select {
		case <-progress:
		case <-deadline:
			l.mu.Lock()
			defer l.mu.Unlock()
			return fmt.Errorf("waited %v for %d requests of each of %d applications: number %d has made %d", patience, n, len(l.made), slow, l.made[slow]-before[slow])
		}
	}
}

// slow returns an application that has not made n more requests than before, or -1. It is called with the lock held.
func (l *load) slow(before []int, n int) int {
	for i := range l.made {
		if l.made[i] < before[i]+n {
			return i
		}
	}
	return -1
}

// failed is called with the lock held, or after the end.
func (l *load) failed() error {
	if len(l.failures) == 0 {
		return nil
	}
	return errors.New(strings.Join(l.failures[:min(len(l.failures), 5)], "\n"))
}

// stop ends the load. It fails if one request failed, or if there were too few to prove anything.
func (l *load) stop(atLeast int) (output, error) {
	l.end()
	for _, code := range l.secrets {
		l.environment.keep("CODE", code)
	}
	total := 0
	for _, n := range l.made {
		total += n
	}
	out := output{stdout: fmt.Sprintf("%d requests, %d failed\n", total, len(l.failures))}
	if err := l.failed(); err != nil {
		return out, err
	}
	if total < atLeast {
		return out, fmt.Errorf("only %d requests were made", total)
	}
	return out, nil
}

// end ends the load. It may be repeated.
func (l *load) end() {
	l.cancel()
	l.running.Wait()
}
