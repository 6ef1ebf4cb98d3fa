package backend_test

import (
	"net/url"
	"time"

	"github.com/hashicorp/vault/sdk/logical"
)

const (
	signedInTenant = "the application completes in the tenant of the person who is signed in, where there is no such session"
	signedInActor  = "the person who is signed in is not the session's actor: the session fails, and its code is destroyed unsent"
	planted        = "the adversary's account is connected to the victim's ref. Show people `account_name`"
	itsLink        = "a session of its own, and a victim that follows its link and approves"
	victimsURL     = "the victim's authorization URL, from " + string(appLog)
)

// follows has the victim follow the adversary's link, or type in its user code, and approve.
func (a *attack) follows() *login {
	a.T.Helper()
	l := a.adversary.begins()
	if l.URL == "" {
		a.victim.approves(l)
	} else {
		a.victim.opens(a.parse(l.URL))
	}
	return l
}

// plants has the adversary approve for the victim's session, and the victim's browser go where that leads.
func plants(a *attack) {
	a.T.Helper()
	a.victim.begins()
	a.victim.opens(a.adversary.approvesAt(a.read(appLog, "client_id").String()))
}

// fixationMoves are those in which one party begins a session and the other ends it.
var fixationMoves = []move{
	{
		name:    "has the victim follow its link",
		section: "4.7, update 2.3", has: itsLink, applies: whereDialog,
		play: func(a *attack) {
			l := a.follows()
			a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.adversary.user, "connect_code": "AAAA-BBBB-CCCC-DDDD"})
			a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.adversary.user})
		},
		outcomes: []outcome{
			{in: whereReturned, when: "relayed, or with a `return_url`", want: evidence{"application: not_found, invalid_request", "", "authorized", "", ""},
				stops: signedInTenant + ", and the adversary has no proof"},
			{in: whereRelayed, want: evidence{"application: not_found, pending, invalid_request", "", "pending", "", ""}},
			{in: whereShown, when: "without a `return_url`", want: evidence{"invalid_request", "", "authorized", "", ""},
				stops: "the page names the application and the tenant, and the person closes it"},
			{when: "with `completion=callback`", want: evidence{"session_used, invalid_request", "", "completed", "", "stolen"},
				remains: "the callback redeems without asking the application: the account of the person who follows a link is connected for the person who began"},
		},
	},
	{
		name:    "has a colleague follow its link",
		section: "4.7, update 2.3", has: "a session of its own, as a person of the victim's tenant", applies: whereDialog,
		play: func(a *attack) {
			a.colleague()
			l := a.follows()
			if u := a.read(appLog, "code"); u != nil {
				a.adversary.opens(u)
			}
			if u := a.read(appLog, "connect_code"); u != nil {
				a.adversary.opens(u)
			}
			if whereShown(a.configuration) {
				a.adversary.completes(l.Path, map[string]any{"actor": a.adversary.user, "connect_code": "AAAA-BBBB-CCCC-DDDD"})
			}
		},
		outcomes: []outcome{
			{in: func(c configuration) bool { return !c.atVault() || whereReturned(c) }, when: "relayed, or with a `return_url`",
				want:  evidence{"application: actor_mismatch", "", "failed actor_mismatch", "", ""},
				stops: signedInActor},
			{in: whereShown, when: "without a `return_url`", want: evidence{"application: invalid_request", "", "authorized", "", ""},
				stops: "the page names the application and the tenant, and the person closes it"},
			{when: "with `completion=callback`", want: evidence{"", "", "completed", "", "stolen"},
				remains: "the callback redeems without asking the application"},
		},
	},
	{
		name:    "has the victim follow its link, and completes with what a log holds",
		section: "4.7, update 2.3", has: itsLink + "; the logs of what the victim's browser requests, at once", applies: func(c configuration) bool { return c.dialog() && !c.redeemed() },
		play: func(a *attack) {
			for _, from := range []logName{appLog, vaultLog} {
				l := a.follows()
				switch u := a.read(from, "connect_code"); {
				case u != nil && a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.adversary.user, "connect_code": u.Query().Get("connect_code")}):
					a.note("by the connect code of " + string(from))
				case u == nil:
					if u = a.read(from, "code"); u != nil && l.relays(l.state, u.Query().Get("code")) {
						a.note("by the code of " + string(from))
					}
				}
			}
		},
		outcomes: []outcome{
			{in: whereRelayed, when: "relayed", want: evidence{"application: not_found, answered, by the code of the application's request log", "", "completed, pending", "", "stolen"},
				remains: "the code from " + string(appLog) + " and the state of its own session are the proof"},
			{in: whereReturned, when: "with a `return_url`", want: evidence{"application: not_found, answered, by the connect code of the application's request log, by the code of Vault's audit log", "", "completed", "", "stolen"},
				remains: "the connect code from " + string(appLog) + " is the proof, and so is the code from " + string(vaultLog)},
			{when: "without one", want: evidence{"answered, by the code of Vault's audit log", "", "authorized, completed", "", "stolen"},
				remains: "the code from " + string(vaultLog) + " is the proof. Keep queries out of logs, and let only operators read " + string(vaultLog)},
		},
	},
	{
		name:    "has a colleague follow its link, and opens the URL that the colleague's browser is sent to, first",
		section: "4.7, update 2.3", has: "a session of its own, as a person of the victim's tenant; a log, before the colleague's request is answered", applies: func(c configuration) bool { return c.dialog() && !c.redeemed() },
		play: func(a *attack) {
			a.colleague()
			l := a.adversary.begins()
			a.visited(a.victim.approves(l))
			from := vaultLog
			if a.route == relayed {
				from = appLog
			}
			if seen := a.adversary.opens(a.read(from, "code")); a.route == shown {
				a.adversary.completes(l.Path, map[string]any{"actor": a.adversary.user, "connect_code": seen.ConnectCode(a.T)})
			}
		},
		outcomes: []outcome{
			{when: "with `completion=confirm`, or relayed", want: evidence{"", "", "completed", "", "stolen"},
				remains: "the adversary's browser is the one that comes back. Keep queries out of logs"},
		},
	},
	{
		name:    "has the victim pass on the connect code",
		section: "4.7, update 2.3", has: itsLink + ", then tells it the code", applies: whereShown,
		play: func(a *attack) {
			l := a.adversary.begins()
			code := a.victim.opens(a.parse(l.URL)).ConnectCode(a.T)
			a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.adversary.user, "connect_code": code})
		},
		outcomes: []outcome{
			{when: "without a `return_url`", want: evidence{"answered", "", "completed", "", "stolen"},
				remains: "a person can be talked into it. The page shows the code after a click on \"I started this connection\", and says to close it where somebody sent a link"},
		},
	},
	{
		name:    "has the victim type in its user code",
		section: "RFC 8628, 5.4", has: "a device session of its own, and a victim that types in its user code and approves", applies: whereDevice,
		play: func(a *attack) {
			l := a.follows()
			a.Clock.Advance(5 * time.Second)
			a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.adversary.user})
		},
		outcomes: []outcome{
			{when: "`grant=device`", want: evidence{"answered", "", "completed", "", "stolen"},
				remains: "the person types a code in without knowing who asked. Use it only where no browser is at hand"},
		},
	},
	{
		name:    "has the victim's page relay a code with the state of its own session",
		section: "4.7, update 2.3", has: "a session of its own, and a victim's page that takes its state", applies: whereSDK,
		play: func(a *attack) {
			l := a.adversary.begins()
			a.victim.opens(l.posted(a.victim.sdkCode(url.Values{"scope": {"pages_show_list"}})))
		},
		outcomes: []outcome{
			{want: evidence{"application: not_found", "", "pending", "", ""}, stops: signedInTenant},
		},
	},
	{
		name:    "approves itself, and sends the victim's browser to the end",
		section: "4.7", has: "a session of its own, and the URL that its own browser was sent to", applies: whereDialog,
		play: func(a *attack) {
			a.victim.opens(a.adversary.approves(a.adversary.begins()))
		},
		outcomes: []outcome{
			{in: whereReturned, want: evidence{"application: not_found", "", "authorized", "", ""}, stops: signedInTenant},
			{in: whereRelayed, want: evidence{"application: not_found", "", "pending", "", ""}},
			{in: whereShown, want: evidence{"", "", "authorized", "", ""}},
			{when: "with `completion=callback`", want: evidence{"", "", "completed", "", ""}, stops: "the adversary's account is connected to its own ref alone"},
		},
	},
	{
		name:    "approves itself, and sends the browser of a colleague to the end",
		section: "4.7", has: "a session of its own, as a person of the victim's tenant", applies: whereDialog,
		play: func(a *attack) {
			a.colleague()
			a.victim.opens(a.adversary.approves(a.adversary.begins()))
		},
		outcomes: []outcome{
			{in: func(c configuration) bool { return !c.atVault() || whereReturned(c) }, want: evidence{"application: actor_mismatch", "", "failed actor_mismatch", "", ""},
				stops: signedInActor},
			{in: whereShown, want: evidence{"", "", "authorized", "", ""}},
			{when: "with `completion=callback`", want: evidence{"", "", "completed", "", ""}, stops: "the adversary's account is connected to its own ref alone"},
		},
	},
	{
		name:    "follows the victim's authorization URL with its own account",
		section: "4.7", has: victimsURL, applies: whereDialog,
		play: func(a *attack) {
			l := a.victim.begins()
			back := a.adversary.approvesAt(a.read(appLog, "client_id").String())
			a.adversary.opens(back)
			if a.route == relayed { // it brings its code to the engine's callback, too
				a.brings(l.state, back.Query().Get("code"))
			}
			a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.victim.user, "connect_code": "AAAA-BBBB-CCCC-DDDD"})
		},
		outcomes: []outcome{
			{in: func(c configuration) bool { return c.completion == "confirm" && c.route != shown }, when: "with `completion=confirm`", want: evidence{"application: not_found, 403", "authorized", "", "", ""},
				stops: "the adversary is not signed in as the session's actor"},
			{in: whereShown, want: evidence{"403", "authorized", "", "", ""}},
			{in: whereRedeemed, when: "with `completion=callback`, whoever hosts the redirect URI", want: evidence{"403", "completed", "", "", "planted"},
				remains: planted},
			{want: evidence{"application: not_found, 403", "completed", "", "", "planted"}},
		},
	},
	{
		name:    "follows the victim's authorization URL with its own account, and sends the victim's browser to the end while the victim's session is open",
		section: "4.7", has: victimsURL, applies: whereDialog, play: plants,
		outcomes: []outcome{
			{in: whereShown, when: "without a `return_url`", want: evidence{"", "authorized", "", "", ""}, stops: "nothing is completed by opening a page"},
			{when: "otherwise", want: evidence{"", "completed", "", "", "planted"},
				remains: planted + ". The victim did begin the session: keep authorization URLs out of logs"},
		},
	},
	{
		name:    "does that where the victim's ref has an account already",
		section: "4.7", has: victimsURL, applies: whereDialog,
		play: func(a *attack) {
			a.victim.connects()
			plants(a)
		},
		outcomes: []outcome{
			{in: func(c configuration) bool { return whereRelayed(c) || whereReturned(c) }, want: evidence{"application: account_mismatch", "completed, failed account_mismatch", "", "", ""}, stops: "a ref changes its account only where the application allowed it"},
			{in: whereRedeemed, want: evidence{"", "completed, failed account_mismatch", "", "", ""}},
			{want: evidence{"", "completed, authorized", "", "", ""}},
		},
	},
	{
		name:    "types in the victim's user code, and approves with its own account",
		section: "RFC 8628, 5.4", has: "a look at the victim's device", applies: whereDevice,
		play: func(a *attack) {
			l := a.victim.begins()
			a.adversary.approves(l)
			a.victim.polls(l)
		},
		outcomes: []outcome{
			{when: "`grant=device`", want: evidence{"", "completed", "", "", "planted"}, remains: planted},
		},
	},
	{
		name:    "types in the victim's user code where the victim's ref has an account already",
		section: "RFC 8628, 5.4", has: "a look at the victim's device", applies: whereDevice,
		play: func(a *attack) {
			a.victim.connects()
			l := a.victim.begins()
			a.adversary.approves(l)
			a.victim.polls(l)
		},
		outcomes: []outcome{
			{want: evidence{"application: account_mismatch", "completed, failed account_mismatch", "", "", ""}, stops: "a ref changes its account only where the application allowed it"},
		},
	},
}
