package ha_test

import (
	"context"
	"fmt"
	"hash/fnv"
	"html"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

const (
	population = 100 // people that connect through each node, over and over
	readRefs   = 6   // credentials of each node that are refreshed by reads with min_ttl
	sweptRefs  = 12  // credentials of each node that are refreshed by the sweep
)

// A load is traffic through all nodes, which goes on during incidents.
type load struct {
	*environment
	cancel  context.CancelFunc
	all     sync.WaitGroup
	probes  []*probe
	connect atomic.Int64 // how many sessions were completed
	refresh atomic.Int64 // how many reads got a refreshed token

	settled atomic.Pointer[time.Time] // when the last incident was over; nil: there was none yet
	kept    map[string]bool           // tokens that were exchanged and are not served any more; for stored only

	mu            sync.Mutex
	interruptions []span          // sessions that failed because of a crash
	strange       []string        // unexpected responses
	due           map[string]bool // tokens that are to be refreshed
}

// begin connects the credentials that are to be refreshed and starts the traffic.
func begin(w *environment) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{environment: w, cancel: cancel, due: map[string]bool{}, kept: map[string]bool{}}
	w.t.Cleanup(l.end)
	var refs []string
	for node := range nodes {
		for i := range readRefs + sweptRefs {
			name := fmt.Sprintf("kept%d_%d", node, i)
			if !l.session(ctx, node, name) {
				w.t.Fatalf("connecting %s failed", name)
			}
			refs = append(refs, ref(name))
		}
	}
	for node := range nodes {
		for _, p := range []*probe{
			{node: node, paths: prefixed("authpipe/creds/", refs), right: l.right},
			{node: node, kv: true, paths: []string{"secret/data/yardstick"}, right: alive},
		} {
			l.probes = append(l.probes, p)
			l.all.Go(func() { p.run(ctx, w) })
		}
		l.every(ctx, 200*time.Millisecond, func(i int) { l.session(ctx, node, fmt.Sprintf("user%d_%d", node, i%population)) })
		l.every(ctx, 200*time.Millisecond, func(i int) { l.refreshByRead(ctx, fmt.Sprintf("kept%d_%d", node, i%readRefs)) })
		armed := map[string]time.Time{}
		l.every(ctx, time.Second, func(i int) { l.refreshBySweep(ctx, node, fmt.Sprintf("kept%d_%d", node, readRefs+i%sweptRefs), armed) })
	}
	return l
}

// every calls do at intervals of d until the load ends.
func (l *load) every(ctx context.Context, d time.Duration, do func(i int)) {
	l.all.Go(func() {
		pace := time.NewTicker(d)
		defer pace.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-pace.C:
				do(i)
			}
		}
	})
}

// end ends the load. It may be repeated.
func (l *load) end() {
	l.cancel()
	l.all.Wait()
}

func ref(name string) string { return "org_acme/facebook/users/" + name }

func prefixed(prefix string, refs []string) []string {
	paths := make([]string, len(refs))
	for i, ref := range refs {
		paths[i] = prefix + ref
	}
	return paths
}

// retry repeats a request through a node until there is a response, other than a 5xx.
func (l *load) retry(ctx context.Context, node int, method, path string, data map[string]any) (answer map[string]any, status int) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		got, as := l.request(ctx, node, method, path, data)
		if as != 0 || status == 0 { // the last response says more than none at all
			answer, status = got, as
		}
		if ctx.Err() != nil || status != 0 && status < 500 {
			return answer, status
		}
		select {
		case <-ctx.Done():
			return answer, status
		case <-again.C:
		}
	}
}

// read reads a credential through a node until there is a response, for a limited time: a lost credential may lead to a 5xx.
func (l *load) read(node int, ref string) (answer map[string]any, status int) {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience/2)
	defer cancel()
	return l.retry(ctx, node, http.MethodGet, "authpipe/creds/"+ref, nil)
}

var connectCode = regexp.MustCompile(`<code[^>]*>([^<]+)</code>`)

// session connects a person through a node, with retries, and reports whether that succeeded.
func (l *load) session(ctx context.Context, node int, name string) bool {
	in, at := l.cluster.Load(), time.Now()
	person := idOf(name)
	l.facebook.AddUser(authpipetest.User{ID: person})
	begun, status := l.retry(ctx, node, http.MethodPost, "authpipe/connect/"+ref(name), map[string]any{"actor": name})
	data, _ := begun["data"].(map[string]any)
	url, _ := data["authorization_url"].(string)
	if url == "" {
		return l.failed(ctx, in, at, "beginning a session of "+name, begun, status)
	}
	back, err := l.facebook.Authorize(url, authpipetest.Consent{User: person})
	if err != nil {
		l.t.Error(err)
		return false
	}
	page, status := l.retry(ctx, node, http.MethodGet, "authpipe/callback/facebook?"+back.RawQuery, nil)
	text, _ := page["text"].(string)
	code := connectCode.FindStringSubmatch(text)
	if code == nil {
		return l.failed(ctx, in, at, "coming back from Facebook as "+name, page, status)
	}
	proof := map[string]any{"actor": name, "connect_code": html.UnescapeString(code[1])}
	answer, status := l.retry(ctx, node, http.MethodPost, "authpipe/sessions/org_acme/"+data["session_id"].(string)+"/complete", proof)
	if status != http.StatusOK {
		return l.failed(ctx, in, at, "completing a session of "+name, answer, status)
	}
	l.note(ref(name), person)
	l.connect.Add(1)
	return true
}

// idOf returns a person's id at Facebook, which has digits only.
func idOf(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("1%010d", h.Sum32())
}

// interrupted is the error of a session whose code may have been used. It is not retried.
const interrupted = "the engine was interrupted while it redeemed the code"

// failed notes the response to an application that could not connect. It is expected if a crash has interrupted the session, or if the
// cluster was replaced by one with an older snapshot.
func (l *load) failed(ctx context.Context, in *vaulttest.Cluster, begun time.Time, doing string, answer map[string]any, status int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch text := fmt.Sprint(answer); {
	case ctx.Err() != nil:
	case strings.Contains(text, interrupted), l.cluster.Load() != in:
		l.interruptions = append(l.interruptions, span{begun, time.Now()})
	default:
		l.strange = append(l.strange, fmt.Sprintf("%s %s: status %d: %s", time.Now().Format(time.StampMilli), doing, status, text))
	}
	return false
}

// shorten makes the engine see a token that expires soon, which Facebook would extend.
func (l *load) shorten(ctx context.Context, node int, name string) (token string) {
	answer, _ := l.retry(ctx, node, http.MethodGet, "authpipe/creds/"+ref(name), nil)
	data, _ := answer["data"].(map[string]any)
	token, _ = data["access_token"].(string)
	l.mu.Lock()
	l.due[token] = true
	l.mu.Unlock()
	l.facebook.SetTokenExpiry(token, time.Now().Add(4*time.Minute))
	l.retry(ctx, node, http.MethodPost, "authpipe/connections/"+ref(name)+"/check", nil)
	l.facebook.SetTokenExpiry(token, time.Now().Add(time.Hour)) // within a day Facebook extends no token
	return token
}

// refreshByRead reads a credential through all nodes at the same time, with a min_ttl that its token does not have.
func (l *load) refreshByRead(ctx context.Context, name string) {
	l.shorten(ctx, 0, name)
	var all sync.WaitGroup
	for node := range nodes {
		all.Go(func() {
			if _, status := l.retry(ctx, node, http.MethodGet, "authpipe/creds/"+ref(name)+"?min_ttl=30m", nil); status == http.StatusOK {
				l.refresh.Add(1)
			}
		})
	}
	all.Wait()
}

// refreshBySweep shortens a token, so that a sweep refreshes it. It does so again when that is done, or long overdue.
func (l *load) refreshBySweep(ctx context.Context, node int, name string, armed map[string]time.Time) {
	answer, _ := l.request(ctx, node, http.MethodGet, "authpipe/creds/"+ref(name), nil)
	data, _ := answer["data"].(map[string]any)
	token, _ := data["access_token"].(string)
	if token == "" || time.Since(armed[token]) < 10*time.Minute {
		return
	}
	armed[l.shorten(ctx, node, name)] = time.Now()
}
