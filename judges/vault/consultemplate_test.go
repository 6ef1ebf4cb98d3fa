package clients

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// consulTemplate is the program, built from the version that go.mod pins.
var consulTemplate = sync.OnceValues(func() (program string, err error) {
	dir, err := os.MkdirTemp("", "authpipe-consul-template-")
	if err != nil {
		return "", err
	}
	removeConsulTemplate = func() { _ = os.RemoveAll(dir) }
	program = filepath.Join(dir, "consul-template")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "github.com/hashicorp/consul-template")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building consul-template: %w\n%s", err, out)
	}
	return program, nil
})

var removeConsulTemplate = func() {}

// A templating is a running consul-template.
type templating struct {
	t      *testing.T
	dir    string // its output directory
	cmd    *exec.Cmd
	exited <-chan struct{}
}

// render starts consul-template with a configuration, in which DIR is replaced by a new directory, and with a token that has a
// policy.
func (m mount) render(t *testing.T, policy, config string) *templating {
	t.Helper()
	program, err := consulTemplate()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.vault.Sys().PutPolicy(m.path, policy); err != nil {
		t.Fatal(err)
	}
	token, err := m.vault.Auth().Token().Create(&api.TokenCreateRequest{Policies: []string{m.path}, Period: "1h", NoParent: true})
	if err != nil {
		t.Fatal(err)
	}
	c := &templating{t: t, dir: t.TempDir()}
	file := filepath.Join(c.dir, "config.hcl")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(config, "DIR", c.dir)), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(c.dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(program, "-config="+file, "-log-level=debug")
	c.cmd.Dir = c.dir
	c.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + c.dir, "VAULT_ADDR=" + m.addr, "VAULT_TOKEN=" + token.Auth.ClientToken}
	c.cmd.Stdout, c.cmd.Stderr = log, log
	if c.exited, err = vaulttest.StartProcess(c.cmd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.cmd.Process.Signal(os.Interrupt) // it may have ended already
		select {
		case <-c.exited:
		case <-time.After(patience):
			_ = c.cmd.Process.Kill()
			<-c.exited
			t.Errorf("consul-template had to be killed, %v after SIGINT", patience)
		}
	})
	return c
}

// policy is a policy for all that the templates here do.
func (m mount) policy() string {
	return fmt.Sprintf(`path "%s/creds/org_acme/*" { capabilities = ["read", "list", "update"] }`, m.path)
}

// file reads a file of its directory; "" if it does not exist yet.
func (c *templating) file(name string) string {
	text, err := os.ReadFile(filepath.Join(c.dir, name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.t.Fatal(err)
	}
	return string(text)
}

// await waits until a file passes a check.
func (c *templating) await(what, name string, ok func(text string) bool) string {
	c.t.Helper()
	var text string
	err := vaulttest.Await(what, 2*patience, c.exited, func() error {
		if text = c.file(name); !ok(text) {
			return fmt.Errorf("%s has %q", name, text)
		}
		return nil
	})
	if err != nil {
		c.t.Fatalf("%v\nits log:\n%s", err, c.file("log"))
	}
	return text
}

func has(part string) func(string) bool {
	return func(text string) bool { return strings.Contains(text, part) }
}

// example reads a file of examples/consul-template.
func example(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "examples", "consul-template", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A reading is one read of a credential, seen by a proxy in front of Vault.
type reading struct {
	at  time.Time
	ttl any // of the response
}

// readings is a proxy to Vault that notes the reads of one path.
type readings struct {
	path string
	mu   sync.Mutex
	all  []reading
}

func (r *readings) start(t *testing.T, vault string) (addr string) {
	t.Helper()
	to, err := url.Parse(vault)
	if err != nil {
		t.Fatal(err)
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) },
		ModifyResponse: func(response *http.Response) error {
			if response.Request.URL.Path != r.path {
				return nil
			}
			body, err := io.ReadAll(response.Body)
			response.Body = io.NopCloser(bytes.NewReader(body))
			var answer struct{ Data map[string]any }
			_ = json.Unmarshal(body, &answer) // a refusal has no data
			r.mu.Lock()
			defer r.mu.Unlock()
			r.all = append(r.all, reading{time.Now(), answer.Data["ttl"]})
			return err
		},
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.URL
}

// TestConsulTemplateRendersAgainAfterRefresh runs the example, with text replaced as its README says.
func TestConsulTemplateRendersAgainAfterRefresh(t *testing.T) {
	t.Parallel()
	if _, err := consulTemplate(); err != nil { // before the token has minutes left
		t.Fatal(err)
	}
	m := newMount(t, "authpipe") // the example's
	const ref = "org_acme/facebook/installation"
	m.connect(t, ref, "ada")
	// The token has four minutes left, so that the next sweep refreshes it. Until the first rendering, the exchange is held.
	old := m.token(t, ref)
	release := m.facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true})
	defer release()
	m.facebook.SetTokenExpiry(old, time.Now().Add(4*time.Minute))
	m.write(t, "connections/"+ref+"/check", nil)
	m.facebook.SetTokenExpiry(old, time.Now().Add(2*time.Hour)) // so that the exchange has a better one to give

	reads := &readings{path: "/v1/authpipe/creds/" + ref}
	config := example(t, "consul-template.hcl")
	for from, to := range map[string]string{
		"https://vault.example.com:8200":       reads.start(t, m.addr),
		"/run/app":                             "DIR/run",
		`"systemctl", "reload", "app.service"`: `"cp", "DIR/run/facebook.env", "DIR/reloaded"`,
	} {
		if !strings.Contains(config, from) {
			t.Fatalf("the example does not have %q", from)
		}
		config = strings.ReplaceAll(config, from, to)
	}
	c := m.render(t, example(t, "policy.hcl"), config)
	first := c.await("the first rendering", "run/facebook.env", has("FACEBOOK_ACCESS_TOKEN="+old+"\n"))
	if !strings.Contains(first, "FACEBOOK_APPSECRET_PROOF=") {
		t.Errorf("rendered %q", first)
	}
	release()
	c.await("the rendering after the refresh", "run/facebook.env", func(text string) bool {
		return strings.Contains(text, "FACEBOOK_ACCESS_TOKEN=EAA") && !strings.Contains(text, old)
	})
	c.await("the command after it", "reloaded", func(text string) bool { return text == c.file("run/facebook.env") })

	reads.mu.Lock()
	defer reads.mu.Unlock()
	for i, read := range reads.all {
		ttl, ok := read.ttl.(float64)
		if plan := fmt.Sprintf("set lease duration to %v seconds", ttl); !ok || !strings.Contains(c.file("log"), plan) {
			t.Errorf("read %d has ttl %v, and the log no %q", i, read.ttl, plan)
		}
		if next := read.at.Add(time.Duration(ttl) * time.Second); i+1 < len(reads.all) && reads.all[i+1].at.Before(next) {
			t.Errorf("read %d came at %v, before %v", i+1, reads.all[i+1].at, next)
		}
	}
	if len(reads.all) < 2 {
		t.Errorf("the proxy saw %d reads", len(reads.all))
	}
	if strings.Contains(c.file("log"), old) {
		t.Error("the log has a token")
	}
}

// plain is a configuration that renders one template to the file out. Retries are fast and few.
func plain(more, template string) string {
	return fmt.Sprintf("vault {\n%s\n retry {\n attempts = 3\n backoff = \"10ms\"\n }\n}\n"+
		"template {\n error_on_missing_key = true\n contents = <<EOT\n%s\nEOT\n destination = \"DIR/out\"\n}\n", more, template)
}

// A static credential has no ttl, so default_lease_duration applies.
func TestConsulTemplateRereadsStaticCredential(t *testing.T) {
	t.Parallel()
	m := newMount(t, "ct-static")
	const ref = "creds/org_acme/facebook/static/stripe"
	m.write(t, ref, map[string]any{"credential": "first", "credential_type": "api_key"})
	c := m.render(t, m.policy(), plain(`default_lease_duration = "2s"`, `{{ with secret "ct-static/`+ref+`" }}{{ .Data.credential }}{{ end }}`))
	c.await("the first rendering", "out", has("first"))
	m.write(t, ref, map[string]any{"credential": "second", "credential_type": "api_key"})
	c.await("the second", "out", has("second"))
}

func TestConsulTemplateSendsMinTTLAndLists(t *testing.T) {
	t.Parallel()
	m := newMount(t, "ct-min-ttl")
	m.connect(t, "org_acme/facebook/installation", "ada")
	m.connect(t, "org_acme/facebook/users/"+bob, "bob")
	ref := "org_acme/facebook/users/" + bob
	old := m.token(t, ref)
	m.facebook.SetTokenExpiry(old, time.Now().Add(30*time.Minute))
	m.write(t, "connections/"+ref+"/check", nil)
	m.facebook.SetTokenExpiry(old, time.Now().Add(2*time.Hour))
	c := m.render(t, m.policy(), plain("", `{{ range secrets "ct-min-ttl/creds/org_acme/facebook/users" }}`+
		`{{ with secret (printf "ct-min-ttl/creds/org_acme/facebook/users/%s?min_ttl=1h" .) }}{{ .Data.user_id }} {{ .Data.access_token }}{{ end }}{{ end }}`))
	got := c.await("a rendering", "out", has(bob+" EAA"))
	if strings.Contains(got, old) {
		t.Error("the read did not refresh a token with half an hour left")
	}
}

// Arguments after the path make the call a write, which the engine refuses with a reason.
func TestConsulTemplateArgumentsMakeAWrite(t *testing.T) {
	t.Parallel()
	m := newMount(t, "ct-write")
	m.connect(t, "org_acme/facebook/installation", "ada")
	c := m.render(t, m.policy(), plain("", `{{ with secret "ct-write/creds/org_acme/facebook/installation" "min_ttl=1h" }}{{ .Data.access_token }}{{ end }}`))
	c.await("the refusal", "log", has("invalid_request: "))
	c.ends()
}

// consul-template ends after its retries. With attempts = 0 it goes on, like an agent.
func TestConsulTemplateKeepsFileAfterLastRetry(t *testing.T) {
	t.Parallel()
	m := newMount(t, "ct-refused")
	const ref = "creds/org_acme/facebook/static/stripe"
	m.write(t, ref, map[string]any{"credential": "first", "credential_type": "api_key"})
	config := plain(`default_lease_duration = "1s"`, `{{ with secret "ct-refused/`+ref+`" }}{{ .Data.credential }}{{ end }}`)
	ends := m.render(t, m.policy(), config)
	goesOn := m.render(t, m.policy(), strings.Replace(config, "attempts = 3", "attempts = 0\n max_backoff = \"1s\"", 1))
	for _, c := range []*templating{ends, goesOn} {
		c.await("a rendering", "out", has("first"))
	}
	m.write(t, "tenants/org_acme", map[string]any{"suspended": true})
	ends.ends()
	if log := ends.file("log"); !strings.Contains(log, "suspended: ") {
		t.Errorf("the log does not have the refusal: %s", log)
	}
	if got := ends.file("out"); !strings.Contains(got, "first") {
		t.Errorf("the file has become %q", got)
	}
	goesOn.await("a retry beyond the default of twelve", "log", has("retry attempt 13 "))
	m.write(t, "tenants/org_acme", map[string]any{"suspended": false})
	m.write(t, ref, map[string]any{"credential": "second", "credential_type": "api_key"})
	goesOn.await("a rendering", "out", has("second"))
}

// ends waits until consul-template has given up.
func (c *templating) ends() {
	c.t.Helper()
	select {
	case <-c.exited:
		if code := c.cmd.ProcessState.ExitCode(); code != 14 { // its ExitCodeRunnerError
			c.t.Errorf("exit code %d, and the log %s", code, c.file("log"))
		}
	case <-time.After(patience):
		c.t.Fatalf("it still runs after %v; its log:\n%s", patience, c.file("log"))
	}
}
