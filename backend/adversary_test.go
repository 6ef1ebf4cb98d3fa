package backend_test

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A route is how a code comes to the engine.
type route string

const (
	returned route = "callback with a return_url"    // the callback page moves the browser on to the application
	shown    route = "callback without a return_url" // the callback page shows the connect code
	relayed  route = "relayed"                       // the application hosts the redirect URI
	onDevice route = "grant=device"
	bySDK    route = "grant=sdk"
)

// A configuration is one in which every move is tried.
type configuration struct {
	completion string
	pkce       string
	openid     bool // for users and installations alike
	route      route
}

func (c configuration) String() string {
	openid := "without openid"
	if c.openid {
		openid = "with openid"
	}
	return fmt.Sprintf("%s, completion=%s, pkce=%s, %s", c.route, c.completion, c.pkce, openid)
}

// dialog reports whether a code of the provider's dialog comes back through a redirect URI.
func (c configuration) dialog() bool {
	return c.route == returned || c.route == shown || c.route == relayed
}

// atVault reports whether the redirect URI is the engine's callback.
func (c configuration) atVault() bool { return c.route == returned || c.route == shown }

// redeemed reports whether the callback exchanges the code by itself.
func (c configuration) redeemed() bool { return c.atVault() && c.completion == "callback" }

func configurations() (all []configuration) {
	for _, r := range []route{returned, shown, relayed, onDevice, bySDK} {
		for _, completion := range []string{"confirm", "callback"} {
			for _, pkce := range []string{"auto", "always", "never"} {
				for _, openid := range []bool{false, true} {
					all = append(all, configuration{completion, pkce, openid, r})
				}
			}
		}
	}
	return all
}

// A logName names a log that the adversary reads.
type logName string

const (
	vaultLog logName = "Vault's audit log"             // and that of a proxy in front of Vault
	appLog   logName = "the application's request log" // and that of a proxy in front of it
)

// logged returns the logs that hold the URL of a request by a browser, whole. Vault writes HMACs of the bodies that applications
// send, and of answers. An application's log has the addresses that it redirects to, too: the authorization URL with its state.
func logged(u *url.URL) []logName {
	switch u.Host {
	case "vault.example.com":
		return []logName{vaultLog}
	case "app.example.com", "graph.example.com": // the application has redirected to the latter
		return []logName{appLog}
	}
	return nil
}

// An attack is one run of a move in a configuration: the parties, and what the logs hold.
type attack struct {
	*setting
	name              string // of the move
	victim, adversary *party
	logs              map[logName][]*url.URL
	answers           []string // that the adversary got
	happened          []string // refusals and pages, in order
}

// held are the parameters of a login that each log holds in the end.
func (c configuration) held() map[logName][]string {
	held := map[logName][]string{}
	if c.atVault() {
		held[vaultLog] = []string{"code", "state"}
	}
	switch {
	case c.route == relayed:
		held[appLog] = []string{"code", "state"}
	case c.route == returned && c.completion == "confirm":
		held[appLog] = []string{"connect_code", "state"}
	case c.dialog():
		held[appLog] = []string{"state"}
	}
	return held
}

// A setting is an engine in a configuration, whose callers are bound to tenants. Attacks share it, with parties of their own.
type setting struct {
	*enginetest.Engine
	configuration
	system *enginetest.Directory
	last   int64 // the last event of the attack before
}

func newSetting(t *testing.T, c configuration) *setting {
	t.Helper()
	e := enginetest.NewOver(t, authpipetest.Options{}, func(fb *authpipetest.Facebook) (string, http.RoundTripper) {
		return "https://graph.example.com", fb.Transport()
	})
	d := &enginetest.Directory{Metadata: map[string]map[string]string{"entity-1": nil}}
	e.RestartOn(d)
	e.Facebook.AddApp(authpipetest.App{ID: enginetest.AppID, Secret: enginetest.AppSecret, ClientToken: enginetest.ClientToken, RedirectURIs: []string{enginetest.MountURL + "/callback/facebook", enginetest.RelayURI}})
	e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant", "unbound_callers": "deny"})
	scopes := []string{"pages_show_list"}
	if c.openid {
		scopes = append(scopes, "openid")
	}
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{
		"completion": c.completion, "pkce": c.pkce, "user_scopes": scopes, "installation_scopes": scopes, "require_installation": false, "client_token": enginetest.ClientToken,
	})
	return &setting{e, c, d, 0}
}

func (s *setting) newAttack(name string, number int) *attack {
	a := &attack{setting: s, name: name, logs: map[logName][]*url.URL{}}
	a.victim = a.newParty("victim", fmt.Sprintf("org_acme%d", number))
	a.adversary = a.newParty("adversary", fmt.Sprintf("org_evil%d", number))
	return a
}

// breach says which ref holds a token of the other party's account, and whether an answer to the adversary shows one.
func (a *attack) breach() string {
	a.T.Helper()
	var found []string
	for _, p := range []*party{a.victim, a.adversary} {
		keys, err := a.Storage.Keys(a.T.Context(), "cred/"+p.tenant+"/")
		if err != nil {
			a.T.Fatal(err)
		}
		for _, key := range keys {
			ref := strings.TrimPrefix(key, "cred/")
			if a.victim.tenant == a.adversary.tenant && !strings.HasSuffix(ref, "/"+p.user) {
				continue
			}
			token, _ := a.Facebook.Inspect(p.must(logical.ReadOperation, "creds/"+ref, nil)["access_token"].(string))
			switch {
			case p == a.adversary && a.isOf(a.victim, token):
				found = append(found, "stolen")
			case p == a.victim && a.isOf(a.adversary, token):
				found = append(found, "planted")
			case !a.isOf(p, token):
				a.T.Errorf("%s: %s holds a token of %+v", a.name, ref, token)
			}
		}
	}
	answers := strings.Join(a.answers, "\n")
	for _, token := range a.Facebook.Tokens() {
		if !strings.Contains(answers, token) {
			continue
		}
		if known, _ := a.Facebook.Inspect(token); a.isOf(a.victim, known) {
			found = append(found, "shown")
		}
	}
	return strings.Join(found, ", ")
}

// isOf reports whether a token is of the party's account, or of its business.
func (a *attack) isOf(p *party, token authpipetest.Inspection) bool {
	return token.User == p.person || token.Business != "" && token.Business == p.business
}

// published are the types of the events of both tenants, each once. That a ref was connected shows in a session's status.
func (a *attack) published() string {
	a.T.Helper()
	var types []string
	events, last := a.Events(a.last)
	a.last = last
	for _, event := range events {
		name, ref, _ := strings.Cut(event, " ")
		ours := strings.HasPrefix(ref, a.victim.tenant+"/") || strings.HasPrefix(ref, a.adversary.tenant+"/")
		if ours && name != "connection.created" && name != "connection.reconnected" && !slices.Contains(types, name) {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return strings.Join(types, ", ")
}
