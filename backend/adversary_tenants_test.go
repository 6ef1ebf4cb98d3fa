package backend_test

import (
	"fmt"
	"net/url"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

const itsToken = "its Vault token"

// everyPath has the caller of an entity try each path of the engine that belongs to a tenant or to the mount, and notes what it gets.
func (a *attack) everyPath(entity string, of scope) {
	for _, p := range a.Paths {
		name := template(p.Pattern)
		if scopes[name] != of {
			continue
		}
		for op := range p.Operations {
			_, err := a.as(entity, op, example(name, a.victim.tenant), nil)
			a.note(result(err))
		}
	}
}

// tenantMoves are those with the adversary's Vault token, with forged notifications, and with tokens of the provider.
var tenantMoves = []move{
	{
		name: "asks every path for the victim's tenant, by each operation", section: "4.10",
		has: itsToken, applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.victim.connects()
			a.everyPath(a.adversary.entity, theirs)
			a.adversary.tries(logical.ReadOperation, "creds/"+a.victim.ref(), nil)
			a.adversary.tries(logical.UpdateOperation, "connect/"+a.victim.ref(), map[string]any{"actor": "adversary"})
			a.adversary.tries(logical.ReadOperation, "creds/"+a.adversary.tenant+"/../"+a.victim.ref(), nil)
		},
		outcomes: []outcome{
			{want: evidence{"403, unsupported path", "completed", "", "", ""}, stops: "`tenant_metadata_key` binds the caller to its tenant, whatever the policy says"},
		},
	},
	{
		name: "asks the paths of the mount: configurations, settings, events, lists, accounts", section: "4.10",
		has: itsToken, applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.victim.connects()
			a.everyPath(a.adversary.entity, closed)
		},
		outcomes: []outcome{
			{want: evidence{"403", "completed", "", "", ""}, stops: "they are closed to a bound caller"},
		},
	},
	{
		name: "points the provider at a server of its own", section: "4.4, update 2.2",
		has: itsToken, applies: wherePKCEIsAuto,
		play: func(a *attack) {
			for _, name := range []string{"facebook", "evil"} {
				a.adversary.tries(logical.UpdateOperation, "config/"+name, map[string]any{"graph_url": "https://evil.example.com", "dialog_url": "https://evil.example.com", "client_id": "1", "client_secret": "x", "redirect_uris": enginetest.MountURL + "/callback/evil"})
			}
		},
		outcomes: []outcome{
			{want: evidence{"403", "", "", "", ""}, stops: "configurations are closed to a bound caller: tenants of a mount share its client, and none can name a server",
				remains: "whoever may write `config/` says where codes and tokens are sent"},
		},
	},
	{
		name: "makes an orphan of its Vault token, where `unbound_callers=deny`", section: "4.10",
		has: "a Vault token role with `orphan=true`", applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.victim.connects()
			_, err := a.as("", logical.ReadOperation, "creds/"+a.victim.ref(), nil)
			a.note(result(err))
		},
		outcomes: []outcome{
			{want: evidence{"403", "completed", "", "", ""}, stops: "a caller without an entity gets nothing that belongs to a tenant"},
		},
	},
	{
		name: "makes an orphan of its Vault token, where `unbound_callers=allow`", section: "4.10",
		has: "a Vault token role with `orphan=true`, and a policy that is not for its tenant alone", applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.victim.connects()
			a.Must(logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "allow"})
			defer a.Must(logical.UpdateOperation, "settings", map[string]any{"unbound_callers": "deny"})
			_, err := a.as("", logical.ReadOperation, "creds/"+a.victim.ref(), nil)
			a.note(result(err))
		},
		outcomes: []outcome{
			{want: evidence{"answered", "completed", "", "", "shown"},
				remains: "policy alone binds it, and that is the default. Set `unbound_callers=deny`"},
		},
	},
	{
		name: "forges a deauthorization or a data deletion", section: "",
		has: "the public paths; a `signed_request` that the victim's browser held; one from before the connection", applies: wherePKCEIsAuto,
		play: func(a *attack) {
			now := a.Clock.Now()
			old := enginetest.SignedRequest(enginetest.AppSecret, a.Webhooks.Request(a.victim.person, now))
			a.Clock.Advance(time.Second)
			a.victim.connects()
			held := a.Webhooks.Request(a.victim.person, now)
			held["code"] = "AQ"
			for _, request := range []string{enginetest.SignedRequest("another secret", a.Webhooks.Request(a.victim.person, now)), enginetest.SignedRequest("", a.Webhooks.Request(a.victim.person, now)), enginetest.SignedRequest(enginetest.AppSecret, held)} {
				for _, path := range []string{enginetest.DeauthorizePath, enginetest.DataDeletionPath} {
					status, _ := a.Webhooks.Post(path, request)
					a.note(fmt.Sprintf("page %d", status))
				}
			}
			if status, _ := a.Webhooks.Post(enginetest.DeauthorizePath, old); status != 200 {
				a.note(fmt.Sprintf("an old one: %d", status))
			}
			a.note("victim: " + fmt.Sprint(a.victim.must(logical.ReadOperation, "connections/"+a.victim.ref(), nil)["status"]))
		},
		outcomes: []outcome{
			{want: evidence{"page 400, victim: active", "completed", "", "", ""}, stops: "the signature; a request that a browser may hold, or from before the connection, is refused or marks nothing"},
		},
	},
	{
		name: "forges a webhook's delivery", section: "",
		has: itsToken + "; the application's webhook, which relays what it gets", applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.victim.connects()
			body := enginetest.Delivery("another secret", a.Webhooks.Permissions(a.victim.person, a.Clock.Now(), enginetest.Disconnected))
			a.adversary.tries(logical.UpdateOperation, enginetest.NotifyPath, body)
			_, err := a.Do(logical.UpdateOperation, enginetest.NotifyPath, body) // the application relays it
			a.note("application: " + result(err))
			a.note("victim: " + fmt.Sprint(a.victim.must(logical.ReadOperation, "connections/"+a.victim.ref(), nil)["status"]))
		},
		outcomes: []outcome{
			{want: evidence{"403, application: invalid_request, victim: active", "completed", "", "", ""}, stops: "`notify` is closed to a bound caller, and the engine verifies the signature"},
		},
	},
	{
		name: "imports a token that the victim has granted to another app", section: "4.6",
		has: "an app of its own, to which the victim has granted a token", applies: wherePKCEIsAuto,
		play: func(a *attack) {
			const evilApp = "666"
			a.Facebook.AddApp(authpipetest.App{ID: evilApp, Secret: "x", RedirectURIs: []string{"https://evil.example.com/"}})
			back := a.victim.approvesAt("https://graph.example.com/dialog/oauth?" + url.Values{"client_id": {evilApp}, "redirect_uri": {"https://evil.example.com/"}, "response_type": {"token"}}.Encode())
			fragment, err := url.ParseQuery(back.Fragment)
			if err != nil || fragment.Get("access_token") == "" {
				a.T.Fatalf("%v, %v", fragment, err)
			}
			a.adversary.tries(logical.UpdateOperation, "creds/"+a.adversary.ref(), map[string]any{"access_token": fragment.Get("access_token")})
		},
		outcomes: []outcome{
			{want: evidence{"invalid_request", "", "", "", ""}, stops: "the token must be this client's, as the provider says"},
		},
	},
	{
		name: "imports a token of its own account in the victim's place", section: "4.6",
		has: "a token of its own, and " + itsToken, applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.adversary.connects()
			own := a.adversary.must(logical.ReadOperation, "creds/"+a.adversary.ref(), nil)["access_token"]
			a.adversary.tries(logical.UpdateOperation, "creds/"+a.victim.ref(), map[string]any{"access_token": own})
		},
		outcomes: []outcome{
			{want: evidence{"403", "", "completed", "", ""}, stops: "`tenant_metadata_key` binds the caller to its tenant",
				remains: "a caller that may write the tenant's `creds/` may put any account there that has granted the app"},
		},
	},
	{
		name: "imports a token of the victim's that leaked elsewhere", section: "4.6, 4.10",
		has: "the victim's token", applies: wherePKCEIsAuto,
		play: func(a *attack) {
			a.victim.connects()
			token := a.victim.must(logical.ReadOperation, "creds/"+a.victim.ref(), nil)["access_token"]
			a.adversary.tries(logical.UpdateOperation, "creds/"+a.adversary.ref(), map[string]any{"access_token": token})
		},
		outcomes: []outcome{
			{want: evidence{"answered", "completed", "", "", "stolen"},
				remains: "the holder of a token can use it anywhere, and here the engine renews it. Revoke it at the provider"},
		},
	},
}
