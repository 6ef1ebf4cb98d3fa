package backend_test

import (
	"net/url"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// seen has the code of a login come to the engine, and no further than that where the application is to complete.
func (a *attack) seen(l *login, back *url.URL) enginetest.Page {
	a.T.Helper()
	if a.atVault() {
		a.visited(back)
		p, err := a.TryCallback(back)
		if err != nil {
			a.T.Fatal(err)
		}
		return p
	}
	q := back.Query()
	_, _ = a.setting.DoAs(l.by.entity, logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": l.by.user, "state": q.Get("state"), "code": q.Get("code")})
	return enginetest.Page{}
}

// leaked has the victim log in as far as the provider's answer, which the adversary reads.
func (a *attack) leaked() (l *login, back *url.URL, code string) {
	a.T.Helper()
	l = a.victim.begins()
	back = a.victim.approves(l)
	return l, back, back.Query().Get("code")
}

// brings has the adversary's browser bring an answer to the engine's callback.
func (a *attack) brings(state, code string) {
	a.T.Helper()
	a.adversary.opens(a.parse(enginetest.MountURL + "/callback/facebook?" + url.Values{"state": {state}, "code": {code}}.Encode()))
}

// configure has the operator change the provider's configuration, and returns what changes it back.
func (a *attack) configure(change, back map[string]any) (undo func()) {
	a.T.Helper()
	a.Must(logical.UpdateOperation, "config/facebook", change)
	return func() { a.Must(logical.UpdateOperation, "config/facebook", back) }
}

const (
	victimsCode = "the victim's code, from a log or elsewhere"
	firstSeen   = "the code belongs to the session in which the engine first saw it"
	unseenCode  = victimsCode + ", before the victim's browser arrives"
)

// codeMoves are those with a code that was meant for the victim's session.
var codeMoves = []move{
	{
		name:    "presents a code that the engine has seen, in its own session, with any scopes, grant, redirect URI and kind of ref",
		section: "4.5, 4.8", has: victimsCode, applies: whereCode,
		play: func(a *attack) {
			for _, more := range []map[string]any{nil, {"scopes": "pages_show_list"}, {"grant": "sdk"}, {"grant": "code"}, {"grant": "code", "redirect_uri": enginetest.RelayURI}} {
				l, back, code := a.leaked()
				a.seen(l, back)
				own := a.adversary.beginsWith(a.adversary.ref(), more)
				own.relays(own.state, code)
			}
			l, back, code := a.leaked()
			a.seen(l, back)
			own := a.adversary.beginsWith(a.adversary.tenant+"/facebook/installation", nil)
			own.relays(own.state, code)
		},
		outcomes: []outcome{
			{in: whereParked, when: "before the victim's session is completed", want: evidence{"session_used", "failed session_used", "failed session_used", "session.code_reused", ""},
				stops: firstSeen + ". Both sessions fail"},
			{when: "after that", want: evidence{"session_used", "completed", "failed session_used", "session.code_reused", ""},
				stops: firstSeen + ". The victim's connection stays"},
		},
	},
	{
		name:    "brings a code that the engine has seen to the callback, with the state of its own session",
		section: "4.5", has: victimsCode, applies: whereDialog,
		play: func(a *attack) {
			l, back, code := a.leaked()
			a.seen(l, back)
			a.brings(a.adversary.begins().state, code)
		},
		outcomes: []outcome{
			{in: whereParked, want: evidence{"page 400", "failed session_used", "failed session_used", "session.code_reused", ""}, stops: firstSeen},
			{want: evidence{"page 400", "completed", "failed session_used", "session.code_reused", ""}},
		},
	},
	{
		name:    "presents a code that the engine has not seen, in its own session, with the victim's scopes and with others",
		section: "4.5, 4.8", has: unseenCode, applies: whereCode,
		play: func(a *attack) {
			for _, more := range []map[string]any{nil, {"scopes": "pages_show_list"}} {
				l, back, code := a.leaked()
				own := a.adversary.beginsWith(a.adversary.ref(), more)
				own.relays(own.state, code)
				a.seen(l, back)
			}
		},
		outcomes: []outcome{
			{in: func(c configuration) bool { return whereBound(c) && c.pkce != "never" }, when: "with `openid`",
				want:  evidence{"misconfigured", "failed session_used", "failed misconfigured", "session.code_reused", ""},
				stops: "PKCE binds the code, and no request can leave out an `openid` that is configured"},
			{in: whereBound, when: "with `openid` and `pkce=never`", want: evidence{"invalid_request", "failed session_used", "failed invalid_request", "session.code_reused", ""},
				stops: "the nonce binds the ID token"},
			{when: "without `openid`, whatever `pkce` says, and with `grant=sdk`", want: evidence{"answered", "failed session_used", "completed", "session.code_reused", "stolen"},
				remains: "the first session to present the code gets the token. The victim's session fails, with the event"},
		},
	},
	{
		name:    "presents a code that the engine has not seen in a session of an installation, where `openid` is configured for users alone",
		section: "4.5, 4.8", has: unseenCode, applies: whereBound,
		play: func(a *attack) {
			defer a.configure(map[string]any{"installation_scopes": "pages_show_list"}, map[string]any{"installation_scopes": "pages_show_list,openid"})()
			_, _, code := a.leaked()
			own := a.adversary.beginsWith(a.adversary.tenant+"/facebook/installation", nil)
			own.relays(own.state, code)
		},
		outcomes: []outcome{
			{in: func(c configuration) bool { return c.pkce == "always" }, when: "with `pkce=always`",
				want:  evidence{"misconfigured", "pending", "failed misconfigured", "", ""},
				stops: "the verifier of the adversary's session is not that of the code"},
			{when: "with `pkce=auto` and `pkce=never`", want: evidence{"answered", "pending", "completed", "", "stolen"},
				remains: "the adversary gets the token. Configure `openid` for users and installations alike"},
		},
	},
	{
		name:    "presents a code that the engine has not seen in a session with another redirect URI or grant",
		section: "4.1, 4.5", has: unseenCode, applies: whereCode,
		play: func(a *attack) {
			others := []map[string]any{{"grant": "sdk"}, {"grant": "code", "redirect_uri": enginetest.RelayURI}}
			switch a.route {
			case relayed:
				others[1] = map[string]any{"grant": "code"}
			case bySDK:
				others[0] = map[string]any{"grant": "code"}
			}
			for _, more := range others {
				_, _, code := a.leaked()
				own := a.adversary.beginsWith(a.adversary.ref(), more)
				own.relays(own.state, code)
			}
		},
		outcomes: []outcome{
			{want: evidence{"misconfigured", "pending", "failed misconfigured", "", ""}, stops: "the provider binds a code to its redirect URI, and one of the SDK to none"},
		},
	},
	{
		name:    "presents a code for the token of a business, that the engine has not seen, in a session with `grant=sdk`",
		section: "4.5", has: unseenCode, applies: whereCode,
		play: func(a *attack) {
			a.victim.business = "55" + a.victim.tenant[len("org_acme"):]
			a.Facebook.AddBusiness(authpipetest.Business{ID: a.victim.business, Admins: []string{a.victim.person}})
			a.Facebook.AddConfiguration(authpipetest.Configuration{ID: enginetest.ConfigID, App: enginetest.AppID, Permissions: []string{"pages_show_list"}})
			defer a.configure(map[string]any{"installation_config_id": enginetest.ConfigID}, map[string]any{"installation_config_id": ""})()
			l := a.victim.beginsWith(a.victim.tenant+"/facebook/installation", nil)
			var code string
			if l.URL == "" {
				code = a.victim.sdkCode(url.Values{"config_id": {enginetest.ConfigID}, "override_default_response_type": {"true"}})
			} else {
				code = a.victim.approves(l).Query().Get("code")
			}
			own := a.adversary.beginsWith(a.adversary.tenant+"/facebook/installation", map[string]any{"grant": "sdk"})
			own.relays(own.state, code)
		},
		outcomes: []outcome{
			{want: evidence{"answered", "pending", "completed", "", "stolen"},
				remains: "the adversary gets the token: Facebook binds such a code to nothing"},
		},
	},
	{
		name:    "takes the PKCE challenge, and the nonce, out of the victim's authorization URL, and presents the code",
		section: "4.8", has: "a victim that follows the changed URL, and its code", applies: whereBound,
		play: func(a *attack) {
			for _, names := range [][]string{{"code_challenge", "code_challenge_method"}, {"code_challenge", "code_challenge_method", "nonce"}} {
				u := a.parse(a.victim.begins().URL)
				q := u.Query()
				for _, name := range names {
					q.Del(name)
				}
				u.RawQuery = q.Encode()
				own := a.adversary.begins()
				own.relays(own.state, a.victim.approvesAt(u.String()).Query().Get("code"))
			}
		},
		outcomes: []outcome{
			{want: evidence{"invalid_request", "pending", "failed invalid_request", "", ""}, stops: "the nonce: it must be in the ID token, and be that of the session"},
		},
	},
	{
		name:    "repeats the victim's callback for the connect code, and completes with it",
		section: "4.5", has: "the callback's URL, from " + string(vaultLog), applies: whereParked,
		play: func(a *attack) {
			l, back, _ := a.leaked()
			a.seen(l, back)
			connectCode := a.connectCode(a.adversary.opens(a.read(vaultLog, "code")))
			for _, tenant := range []string{a.victim.tenant, a.adversary.tenant} {
				a.adversary.tries(logical.UpdateOperation, "sessions/"+tenant+"/"+l.ID+"/complete", map[string]any{"actor": a.victim.user, "connect_code": connectCode})
			}
			a.victim.completes(l.Path, map[string]any{"actor": a.victim.user, "connect_code": connectCode})
		},
		outcomes: []outcome{
			{in: whereReturned, want: evidence{"application: not_found, 403, not_found", "completed", "", "", ""}, stops: "a session is completed in its own tenant, in the name of its actor"},
			{want: evidence{"403, not_found", "completed", "", "", ""}},
		},
	},
	{
		name:    "opens the URL that the victim's browser is sent to, signed in as itself",
		section: "4.5, 4.7", has: "the URL, from " + string(appLog), applies: func(c configuration) bool { return c.route == relayed || whereReturned(c) },
		play: func(a *attack) {
			a.victim.connects()
			if u := a.read(appLog, "connect_code"); u != nil {
				a.adversary.opens(u)
			}
			if u := a.read(appLog, "code"); u != nil {
				a.adversary.opens(u)
			}
		},
		outcomes: []outcome{
			{want: evidence{"application: not_found", "completed", "", "", ""}, stops: "a session is completed in its own tenant, in the name of its actor"},
		},
	},
	{
		name:    "presents the victim's connect code, or state and code, for its own session",
		section: "4.5", has: "the victim's answer and connect code, from logs", applies: func(c configuration) bool { return c.dialog() && !c.redeemed() },
		play: func(a *attack) {
			l, back, code := a.leaked()
			p := a.seen(l, back)
			own := a.adversary.begins()
			if a.atVault() {
				a.seen(own, a.adversary.approves(own))
				a.adversary.tries(logical.UpdateOperation, own.Path+"/complete", map[string]any{"actor": a.adversary.user, "connect_code": a.connectCode(p)})
			}
			own.relays(l.state, code)
		},
		outcomes: []outcome{
			{in: whereParked, want: evidence{"invalid_request", "authorized", "authorized", "", ""}, stops: "a connect code and a state are good for one session"},
			{want: evidence{"invalid_request", "completed", "pending", "", ""}},
		},
	},
}

// connectCode is what the callback page shows or sends on.
func (a *attack) connectCode(p enginetest.Page) string {
	a.T.Helper()
	if a.route == returned {
		return p.Returned(a.T).Query().Get("connect_code")
	}
	return p.ConnectCode(a.T)
}
