// Package main_test tests the built plugin in a real Vault server, with the vault CLI and plain HTTP.
package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	_ "github.com/authpipe/vault-plugin-secrets-authpipe/backend" // so that go test's cache does not outlive a change of the plugin
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// root is the module's root, seen from this package.
var root = filepath.Join("..", "..")

// TestAcceptance runs testdata/script. Each script has its own Vault server and Facebook, so all run in parallel, mount at
// authpipe/ as in the documentation, and may kill, audit and misconfigure their server. (A dev server starts in a quarter of a
// second.) The scripts' commands are listed at commands.
func TestAcceptance(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server: left out with -short")
	}
	t.Parallel() // beside the tests that wait for Vault's ticks
	testscript.Run(t, scripts(t, func(name string) bool { return name != agentScript }))
}

// agentScript waits for two of Vault's ticks, so it begins first, in a test of its own.
const agentScript = "agent.txt"

func TestAcceptanceAgent(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault server and its minutes: left out with -short")
	}
	t.Parallel()
	testscript.RunT(inTurn{t}, scripts(t, func(name string) bool { return name == agentScript }))
}

// inTurn runs scripts one after the other. As parallel tests they would first wait for their turn among all others.
type inTurn struct{ *testing.T }

func (inTurn) Parallel() {}

func (t inTurn) Run(name string, script func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { script(inTurn{t}) })
}

func (inTurn) Verbose() bool { return testing.Verbose() }

// scripts returns the scripts of testdata/script whose file names are wanted, and what they run with.
func scripts(t *testing.T, wanted func(name string) bool) testscript.Params {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, "testdata", "script", "*.txt"))
	if err != nil {
		t.Fatal(err)
	}
	files = slices.DeleteFunc(files, func(path string) bool { return !wanted(filepath.Base(path)) })
	if len(files) == 0 {
		t.Fatal("no such script")
	}
	vault, plugin := findVault(t), buildPlugin(t)
	made := &releases{tree: filepath.Join(t.TempDir(), "tree")}
	return testscript.Params{
		Files: files,
		Cmds:  commands(),
		Setup: func(env *testscript.Env) error { return setup(env, vault, plugin, made) },
		Condition: func(name string) (bool, error) {
			switch {
			case name == "openbao":
				return isOpenBao(t, vault), nil
			case strings.HasPrefix(name, "test-"): // a verb of the Makefile
				return longtest.Runs(name), nil
			}
			return false, fmt.Errorf("unknown condition %q", name)
		},
	}
}

// findVault returns the path of the Vault to test with. It does not build one, which takes minutes.
func findVault(t *testing.T) string {
	t.Helper()
	bin, err := vaulttest.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	return bin
}

// buildPlugin returns the path of the program under test, which is built once for all tests. Its race detector writes to the
// server's log, which each test searches.
func buildPlugin(t *testing.T) (program string) {
	t.Helper()
	built.Do(func() { built.program, built.err = vaulttest.Build(root) })
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.program
}

var built struct {
	sync.Once
	program string
	err     error
}

// TestMain removes the plugin that was built.
func TestMain(m *testing.M) {
	code := m.Run()
	if built.program != "" {
		_ = os.RemoveAll(filepath.Dir(built.program))
	}
	os.Exit(code)
}

// setup gives a script its environment: a Vault server with the plugin registered and not yet mounted, and a Facebook with two apps
// and three people.
func setup(env *testscript.Env, vault, plugin string, made *releases) error {
	tb := env.T().(testing.TB)
	facebook := authpipetest.NewFacebook(authpipetest.Options{DeviceInterval: time.Second}) // device.txt would wait for five
	graph := facebook.Start(tb)
	server := startVault(tb, vault, plugin)

	server.audit(tb)

	w := &environment{vault: vault, server: server, facebook: facebook, releases: made}
	env.Values[environmentKey{}] = w
	tb.Cleanup(func() {
		w.inspect(tb)
		server.stop(tb) // before the log is searched
		w.inspectLog(tb)
	})

	callback := server.addr + "/v1/authpipe/callback/facebook"
	secondCallback := server.addr + "/v1/second/callback/facebook"
	relay := "https://app.example.com/facebook/callback"
	w.app = authpipetest.App{ID: appID, Secret: appSecret, ClientToken: clientToken, Name: "Acme Social",
		RedirectURIs: []string{callback, relay}, RequireAppSecret: true}
	facebook.AddApp(w.app)
	facebook.AddApp(authpipetest.App{ID: secondAppID, Secret: secondAppSecret, Name: "Acme Ads",
		RedirectURIs: []string{secondCallback}})
	facebook.AddPage(authpipetest.Page{ID: "900000000000001", Name: "Acme Inc."})
	facebook.AddUser(authpipetest.User{ID: alice, Name: "Alice Admin", Email: "alice@example.com", Pages: []string{"900000000000001"}})
	facebook.AddBusiness(authpipetest.Business{ID: "5566", Name: "Acme Inc.", Admins: []string{alice}, Pages: []string{"900000000000001"}})
	facebook.AddConfiguration(authpipetest.Configuration{ID: configID, App: appID, Permissions: []string{"pages_show_list", "pages_manage_posts"}})
	facebook.AddUser(authpipetest.User{ID: bob, Name: "Bob Member", Email: "bob@example.com"})
	facebook.AddUser(authpipetest.User{ID: mallory, Name: "Mallory Stranger", Email: "mallory@example.com"})

	// The repository's scripts call vault by its name.
	bin := filepath.Join(env.WorkDir, ".bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		return err
	}
	if err := os.Symlink(vault, filepath.Join(bin, "vault")); err != nil {
		return err
	}
	for _, v := range [][2]string{
		{"PATH", bin + string(os.PathListSeparator) + env.Getenv("PATH")},
		{"VAULT_ADDR", server.addr}, {"VAULT_TOKEN", server.token}, {"HOME", env.WorkDir}, {"AUDIT_LOG", server.auditLog()}, {"VAULT_TMPDIR", server.temp},
		{"FACEBOOK", graph},
		{"APP_ID", appID}, {"APP_SECRET", appSecret}, {"CLIENT_TOKEN", clientToken}, {"CONFIG_ID", configID}, {"CALLBACK", callback}, {"RELAY", relay},
		{"SECOND_APP_ID", secondAppID}, {"SECOND_APP_SECRET", secondAppSecret}, {"SECOND_CALLBACK", secondCallback},
		{"ALICE", alice}, {"BOB", bob}, {"MALLORY", mallory},
	} {
		env.Setenv(v[0], v[1])
	}
	return nil
}

// The apps and the people at Facebook.
const (
	appID, appSecret             = "1024222333444555", "0123456789abcdef0123456789abcdef"
	configID                     = "31"
	clientToken                  = "89abcdef0123456789abcdef01234567"
	secondAppID, secondAppSecret = "1024222333444666", "fedcba9876543210fedcba9876543210"

	alice, bob, mallory = "1000000001", "1000000002", "1000000003"
)

// environment is what a script's commands act on.
type environment struct {
	vault    string // the CLI
	server   *vaultServer
	facebook *authpipetest.Facebook
	app      authpipetest.App // the first one
	releases *releases
	holds    []func() // each ends a hold command
	load     *load    // the load command's load; nil: none

	secrets map[string][]string // the tokens, codes, states and secrets in the script's variables
	pages   []string            // the callback's pages
}

type environmentKey struct{}

// secretNames maps the names of variables with secrets to the kind of secret.
var secretNames = []struct {
	name   *regexp.Regexp
	canary string
}{
	{regexp.MustCompile(`STATIC`), "static secret"},
	{regexp.MustCompile(`SECRET`), "app secret"},
	{regexp.MustCompile(`TOKEN`), "token"},
	{regexp.MustCompile(`STATE`), "state"},
	{regexp.MustCompile(`PROOF`), "proof"},
	{regexp.MustCompile(`CONNECT_CODE`), "connect code"},
	{regexp.MustCompile(`USER_CODE`), "user code"},
	{regexp.MustCompile(`CODE`), "code"},
}

// dashedCode matches a connect code, whatever the variable's name.
var dashedCode = regexp.MustCompile(`^([A-Z2-7]{4}-){3}[A-Z2-7]{4}$`)

// keep notes a variable's value if it is a secret.
func (w *environment) keep(name, value string) {
	if value == "" {
		return
	}
	if w.secrets == nil {
		w.secrets = map[string][]string{}
	}
	if dashedCode.MatchString(value) {
		// It is also valid without its dashes.
		w.secrets["connect code"] = append(w.secrets["connect code"], value, strings.ReplaceAll(value, "-", ""))
		return
	}
	for _, secret := range secretNames {
		if secret.name.MatchString(name) {
			w.secrets[secret.canary] = append(w.secrets[secret.canary], value)
			return
		}
	}
}

var (
	// anyToken matches any token of Facebook's.
	anyToken = regexp.MustCompile(`EAA[A-Za-z0-9]{100,}`)
	defect   = regexp.MustCompile(`(?m)^.*(DATA RACE|\bpanic\b).*$`)
)

// inspect searches the engine's output for secrets.
func (w *environment) inspect(tb testing.TB) {
	for _, leak := range w.leaks(tb) {
		tb.Error(leak)
	}
}

// inspectLog fails the test if the server's log, which includes the plugin's at every level, shows a secret or a defect.
func (w *environment) inspectLog(tb testing.TB) {
	log, err := os.ReadFile(w.server.log)
	if err != nil {
		tb.Errorf("reading the server's log: %v", err)
	}
	if token := anyToken.Find(log); token != nil {
		tb.Errorf("the server's log contains a token: %s", token)
	}
	for _, found := range w.canaries().Find(log) {
		tb.Errorf("the server's log shows %s", found)
	}
	if line := defect.Find(log); line != nil {
		tb.Errorf("the server's log shows a defect: %s", line)
	}
	if tb.Failed() {
		_, sinceUp, dev := strings.Cut(string(log), "Development mode should NOT be used in production")
		if !dev {
			sinceUp = string(log)
		}
		tb.Logf("the server's log since it was up:\n%s", sinceUp)
	}
}
