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
	population = 100 // how many connect through each node, over and over
	demanding  = 6   // how many are refreshed through each node by who reads them
	swept      = 12  // how many by the sweep
)

// A load is a busy day: it goes on through all nodes, whatever happens to them.
type load struct {
	*world
	cancel  context.CancelFunc
	all     sync.WaitGroup
	probes  []*probe
	connect atomic.Int64 // how many sessions were completed
	refresh atomic.Int64 // how often a reader got what it demanded

	settled atomic.Pointer[time.Time] // when the last blow was over; nil: none was dealt yet
	kept    map[string]bool           // tokens that were traded in and are not served any more; only catch looks

	mu            sync.Mutex
	interruptions []span          // sessions that failed because of a crash
	strange       []string        // what nobody should have been told
	due           map[string]bool // tokens that somebody wants refreshed
}

// begin connects those who are refreshed and starts all that goes on from then on.
func begin(w *world) *load {
	ctx, cancel := context.WithCancel(context.Background())
	l := &load{world: w, cancel: cancel, due: map[string]bool{}, kept: map[string]bool{}}
	w.t.Cleanup(l.end)
	var refs []string
	for node := range nodes {
		for i := range demanding + swept {
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
		l.every(ctx, 200*time.Millisecond, func(i int) { l.demand(ctx, fmt.Sprintf("kept%d_%d", node, i%demanding)) })
		armed := map[string]time.Time{}
		l.every(ctx, time.Second, func(i int) { l.leave(ctx, node, fmt.Sprintf("kept%d_%d", node, demanding+i%swept), armed) })
	}
	return l
}

// every does something again and again, at a pace, until the load ends.
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

// end may be repeated.
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

// until asks through a node until there is an answer that says something of the request and not of the server.
func (l *load) until(ctx context.Context, node int, method, path string, data map[string]any) (answer map[string]any, status int) {
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		said, as := l.ask(ctx, node, method, path, data)
		if as != 0 || status == 0 { // what was said last tells more than that nothing was
			answer, status = said, as
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

// read reads a credential through a node until there is an answer, or somebody should look why there is none: what is lost may
// well answer with an error of the server.
func (l *load) read(node int, ref string) (answer map[string]any, status int) {
	ctx, cancel := context.WithTimeout(l.t.Context(), patience/2)
	defer cancel()
	return l.until(ctx, node, http.MethodGet, "authpipe/creds/"+ref, nil)
}

var connectCode = regexp.MustCompile(`<code[^>]*>([^<]+)</code>`)

// session has somebody connect through a node, who asks again what is not answered, and reports whether it became of it what
// should. What a crash has interrupted did not.
func (l *load) session(ctx context.Context, node int, name string) bool {
	in, at := l.cluster.Load(), time.Now()
	person := idOf(name)
	l.facebook.AddUser(authpipetest.User{ID: person})
	begun, status := l.until(ctx, node, http.MethodPost, "authpipe/connect/"+ref(name), map[string]any{"actor": name})
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
	page, status := l.until(ctx, node, http.MethodGet, "authpipe/callback/facebook?"+back.RawQuery, nil)
	text, _ := page["text"].(string)
	code := connectCode.FindStringSubmatch(text)
	if code == nil {
		return l.failed(ctx, in, at, "coming back from Facebook as "+name, page, status)
	}
	proof := map[string]any{"actor": name, "connect_code": html.UnescapeString(code[1])}
	answer, status := l.until(ctx, node, http.MethodPost, "authpipe/sessions/org_acme/"+data["session_id"].(string)+"/complete", proof)
	if status != http.StatusOK {
		return l.failed(ctx, in, at, "completing a session of "+name, answer, status)
	}
	l.note(ref(name), person)
	l.connect.Add(1)
	return true
}

// idOf is a person's id at Facebook, which has digits only.
func idOf(name string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	return fmt.Sprintf("1%010d", h.Sum32())
}

// interrupted is what is said of a session whose code may have been spent. Nobody tries it again.
const interrupted = "the engine was interrupted while it redeemed the code"

// failed keeps what an application was told that could not connect. Either a crash has interrupted it, or a cluster took over
// with a snapshot of before: nobody should be told anything else.
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

// shorten lets the engine learn that a token has little life left, where Facebook would give it more.
func (l *load) shorten(ctx context.Context, node int, name string) (token string) {
	answer, _ := l.until(ctx, node, http.MethodGet, "authpipe/creds/"+ref(name), nil)
	data, _ := answer["data"].(map[string]any)
	token, _ = data["access_token"].(string)
	l.mu.Lock()
	l.due[token] = true
	l.mu.Unlock()
	l.facebook.SetTokenExpiry(token, time.Now().Add(4*time.Minute))
	l.until(ctx, node, http.MethodPost, "authpipe/connections/"+ref(name)+"/check", nil)
	l.facebook.SetTokenExpiry(token, time.Now().Add(time.Hour)) // within a day Facebook gives no token more life than it had
	return token
}

// demand has readers through all nodes at once want more life than a token has.
func (l *load) demand(ctx context.Context, name string) {
	l.shorten(ctx, 0, name)
	var all sync.WaitGroup
	for node := range nodes {
		all.Go(func() {
			if _, status := l.until(ctx, node, http.MethodGet, "authpipe/creds/"+ref(name)+"?min_ttl=30m", nil); status == http.StatusOK {
				l.refresh.Add(1)
			}
		})
	}
	all.Wait()
}

// leave leaves it to the sweep to give a token more life. It is armed again when that is done, or should long have been.
func (l *load) leave(ctx context.Context, node int, name string, armed map[string]time.Time) {
	answer, _ := l.ask(ctx, node, http.MethodGet, "authpipe/creds/"+ref(name), nil)
	data, _ := answer["data"].(map[string]any)
	token, _ := data["access_token"].(string)
	if token == "" || time.Since(armed[token]) < 10*time.Minute {
		return
	}
	armed[l.shorten(ctx, node, name)] = time.Now()
}
