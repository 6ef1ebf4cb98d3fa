package backend_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// sessionMoves are those against a session of the victim's, and against the URLs that lead to one.
var sessionMoves = []move{
	{
		name:    "reads, completes, polls and cancels the victim's session",
		section: "4.5", has: "the session's id, from " + string(vaultLog),
		play: func(a *attack) {
			l := a.victim.begins()
			if back := a.victim.approves(l); back != nil && a.atVault() {
				a.seen(l, back)
			}
			a.Clock.Advance(5 * time.Second)
			for _, tenant := range []string{a.victim.tenant, a.adversary.tenant} {
				path := "sessions/" + tenant + "/" + l.ID
				a.adversary.tries(logical.ReadOperation, path, nil)
				a.adversary.tries(logical.UpdateOperation, path+"/complete", map[string]any{"actor": a.victim.user})
				a.adversary.tries(logical.DeleteOperation, path, nil)
			}
		},
		outcomes: []outcome{
			{in: whereParked, want: evidence{"403, not_found", "authorized", "", "", ""}, stops: "`tenant_metadata_key` binds the caller to its tenant, where there is no such session"},
			{in: whereRedeemed, want: evidence{"403, not_found", "completed", "", "", ""}},
			{want: evidence{"403, not_found", "pending", "", "", ""}},
		},
	},
	{
		name:    "guesses states",
		section: "4.7", has: "the callback, and the session's id",
		play: func(a *attack) {
			l := a.victim.begins()
			for _, state := range []string{"x", base64.RawURLEncoding.EncodeToString(make([]byte, 32)), l.ID, l.state + "A", "A" + l.state} {
				a.brings(state, "AQguessed")
			}
		},
		outcomes: []outcome{
			{want: evidence{"page 400", "pending", "", "", ""}, stops: "a state is 256 random bits, and the session's id its hash"},
		},
	},
	{
		name:    "guesses the connect code of its own session, which the victim has approved",
		section: "4.7", has: itsLink, applies: whereParked,
		play: func(a *attack) {
			l := a.follows()
			for i := range 6 {
				a.adversary.tries(logical.UpdateOperation, l.Path+"/complete", map[string]any{"actor": a.adversary.user, "connect_code": fmt.Sprintf("AAAA-BBBB-CCCC-DDD%c", 'A'+i)})
			}
		},
		outcomes: []outcome{
			{in: whereReturned, want: evidence{"application: not_found, invalid_request, access_denied", "", "failed access_denied", "", ""}, stops: "five wrong codes of 80 bits fail the session"},
			{want: evidence{"invalid_request, access_denied", "", "failed access_denied", "", ""}},
		},
	},
	{
		name:    "brings a made-up code with the victim's state",
		section: "4.7", has: victimsURL, applies: whereCode,
		play: func(a *attack) {
			l := a.victim.begins()
			a.brings(l.state, "AQmade-up")
			a.victim.finishes(l)
		},
		outcomes: []outcome{
			{in: whereSDK, when: "`grant=sdk`", want: evidence{"page 400", "completed", "", "", ""}, stops: "no callback is for such a session"},
			{in: func(c configuration) bool { return whereRelayed(c) && c.completion == "confirm" }, when: "otherwise", want: evidence{"application: session_used", "authorized", "", "", ""},
				remains: "the victim's own answer is then another one, and refused: the person begins again. Nothing is connected"},
			{in: whereRelayed, want: evidence{"page 400, application: session_used", "failed invalid_request", "", "", ""}},
			{in: whereReturned, want: evidence{"application: not_found", "authorized", "", "", ""}},
			{in: whereShown, want: evidence{"", "authorized", "", "", ""}},
			{want: evidence{"page 400", "failed invalid_request", "", "", ""}},
		},
	},
	{
		name:    "brings a denial with the victim's state",
		section: "4.7", has: victimsURL, applies: whereCode,
		play: func(a *attack) {
			l := a.victim.begins()
			a.adversary.opens(a.parse(enginetest.MountURL + "/callback/facebook?" + url.Values{"state": {l.state}, "error": {"access_denied"}}.Encode()))
			a.victim.finishes(l)
		},
		outcomes: []outcome{
			{want: evidence{"page 400", "completed", "", "", ""}, stops: "an approval takes the session up again"},
		},
	},
	{
		name:    "brings a code of its own with the state of a session that is completed",
		section: "4.7", has: "the victim's answer, from a log", applies: whereDialog,
		play: func(a *attack) {
			l := a.victim.connects()
			a.brings(l.state, a.adversary.approves(a.adversary.begins()).Query().Get("code"))
		},
		outcomes: []outcome{
			{want: evidence{"page 400", "completed", "pending", "", ""}, stops: "a state is for one answer"},
		},
	},
	{
		name:    "asks for a redirect URI or return URL of its own",
		section: "4.1, 4.11", has: "a session of its own",
		play: func(a *attack) {
			for _, field := range []string{"redirect_uri", "return_url"} {
				for _, u := range []string{"https://evil.example.com/", enginetest.ReturnURL + "&x=y", enginetest.RelayURI + "/../evil", "https://app.example.com.evil.example/"} {
					a.adversary.tries(logical.UpdateOperation, "connect/"+a.adversary.ref(), map[string]any{"actor": "adversary", field: u})
				}
			}
		},
		outcomes: []outcome{
			{want: evidence{"invalid_request", "", "", "", ""}, stops: "both are matched to the letter against the configuration",
				remains: "a configured return URL that redirects further is the application's open redirect"},
		},
	},
	{
		name:    "puts another redirect URI into the link that the victim follows",
		section: "4.1", has: itsLink, applies: whereDialog,
		play: func(a *attack) {
			l := a.adversary.begins()
			other := enginetest.RelayURI
			if a.route == relayed {
				other = enginetest.MountURL + "/callback/facebook"
			}
			u := a.parse(l.URL)
			for _, to := range []string{"https://evil.example.com/", other} {
				q := u.Query()
				q.Set("redirect_uri", to)
				u.RawQuery = q.Encode()
				back, err := a.Facebook.Authorize(u.String(), authpipetest.Consent{User: a.victim.person})
				if err != nil {
					a.note("provider: URL blocked")
					continue
				}
				l.relays(l.state, back.Query().Get("code"))
			}
		},
		outcomes: []outcome{
			{want: evidence{"provider: URL blocked, misconfigured", "", "failed misconfigured", "", ""}, stops: "the provider knows the app's redirect URIs, and binds the code to the one in the link"},
		},
	},
	{
		name:    "brings the victim's answer with a return URL of its own",
		section: "4.11", has: "the victim's answer", applies: func(c configuration) bool { return c.atVault() },
		play: func(a *attack) {
			_, back, _ := a.leaked()
			q := back.Query()
			for _, name := range []string{"return_url", "redirect_uri", "next"} {
				q.Set(name, "https://evil.example.com/")
			}
			back.RawQuery = q.Encode()
			seen, err := a.TryCallback(back)
			if err != nil {
				a.T.Fatal(err)
			}
			if enginetest.RefreshElement.MatchString(seen.HTML) {
				a.note("returned to " + seen.Returned(a.T).Host)
			}
		},
		outcomes: []outcome{
			{in: whereReturned, want: evidence{"returned to app.example.com", "authorized", "", "", ""}, stops: "the session knows its return URL, and the request has no say"},
			{in: whereShown, want: evidence{"", "authorized", "", "", ""}},
			{in: func(c configuration) bool { return c.route == returned }, want: evidence{"returned to app.example.com", "completed", "", "", ""}},
			{want: evidence{"", "completed", "", "", ""}},
		},
	},
	{
		name:    "brings the victim's answer to the callback of another provider",
		section: "4.4, update 2.2", has: "the victim's answer", applies: whereDialog,
		play: func(a *attack) {
			l, back, _ := a.leaked()
			for _, provider := range []string{"google", "Facebook", "facebook2"} {
				status, _ := a.Webhooks.Public(logical.ReadOperation, "callback/"+provider, map[string]any{"state": l.state, "code": back.Query().Get("code")})
				a.note(fmt.Sprintf("page %d", status))
			}
			a.victim.finishes(l)
		},
		outcomes: []outcome{
			{want: evidence{"page 400", "completed", "", "", ""}, stops: "each provider has a callback of its own, and a session knows its provider"},
		},
	},
}
