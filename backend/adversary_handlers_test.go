package backend_test

const (
	unitTest     = "node/test/unit/handler.test.ts: "
	contractTest = "node/test/contract/handler.test.ts: "
)

// handlerMoves are those against the handlers of client/authpipe and @authpipe/node. Their tests try them.
var handlerMoves = []namedMove{
	{
		name: "installs as a member", has: "a person of the tenant, without the right to install",
		stops:   "`MayInstall` (`mayInstall`) is asked at the start, after the application's own hook, and at the return, where the session is cancelled",
		remains: "with `completion=callback` the callback completes the session before the handler can refuse it",
		tests: []string{
			"TestConnectHandlerRefusesInstallationWithoutMayInstall", "TestConnectHandlerChecksMayInstallAtReturn",
			unitTest + "of an installation needs mayInstall", unitTest + "that onStart turns into an installation needs mayInstall",
			unitTest + "of a person who may not install any more cancels the session", contractTest + "an admin installs, and a person who is none is refused",
		},
	},
	{
		name: "chooses scopes", section: "4.8", has: "a browser that is signed in",
		stops: "a browser may ask only for scopes that the application lists",
		tests: []string{"TestConnectHandlerRefusesUnlistedScopes", unitTest + "takes scopes from a page only if the application lists them: %s"},
	},
	{
		name: "names another tenant, user, actor, return URL, redirect URI, grant or completion at the start", section: "4.1, 4.11", has: "a browser that is signed in",
		stops: "all of them come from the application's own session and configuration",
		tests: []string{
			"TestConnectHandlerTakesOnlyScopesFromTheForm", "TestConnectHandlerKeepsActorAndTenantFromBegin",
			unitTest + "begins a session for the person who is signed in, whatever the page says", unitTest + "may be changed and refused by the application, except for the person who begins it",
		},
	},
	{
		name: "has another site's page start a connection, or disconnect", section: "4.7, update 2.3", has: "a page that the victim opens",
		stops: "starts are refused to other origins, and to GET",
		tests: []string{
			"TestConnectHandlerRefusesForeignAndUnsignedRequests", unitTest + "with a contradicting header is refused",
			unitTest + "GET %s is %i", unitTest + "disconnects with the right to, from a page of the application, and may be repeated",
		},
	},
	{
		name: "has the victim follow its link, or open its return URL", section: "4.7, update 2.3", has: "a session of its own",
		stops: "the return names the person who is signed in: `actor_mismatch`, and the engine destroys the code",
		tests: []string{
			"TestConnectHandlerRefusesOtherActorAtReturn", unitTest + "of another person is refused by the engine, which receives that person as the actor",
			unitTest + "of another person to an installation is refused by the engine, even if they may install",
			contractTest + "that finishes another person's session is refused by the engine, and the code is destroyed",
		},
	},
	{
		name: "completes, or asks about, a session of another tenant or person", section: "4.5", has: "the session's id or return URL",
		stops: "`not_found`, and `actor_mismatch` within a tenant",
		tests: []string{
			"TestConnectHandlerRefusesForgedReturnURL", unitTest + "of a person of another tenant shows nothing of the session", unitTest + "answers a session only to the person who began it",
			contractTest + "of another tenant learns nothing, and shows nothing of their session",
		},
	},
	{
		name: "opens a return URL that was used", section: "4.5", has: "the URL, from " + string(appLog),
		stops: "another person gets `actor_mismatch`. The same person gets the same connection, and no code is sent twice",
		tests: []string{"TestReplayedReturnURLConnectsNothing", contractTest + "a return URL that another person replays connects nothing", contractTest + "a reloaded return page shows the same"},
	},
	{
		name: "writes an outcome into a return URL", section: "4.7", has: "a victim that opens it",
		stops: "the engine is asked how the session is; the URL is no evidence",
		tests: []string{"TestConnectHandlerRefusesForgedReturnURL", unitTest + "without a code has the engine's outcome, not the URL's: the session %s", contractTest + "a person who declines has cancelled, whatever the URL says"},
	},
	{
		name: "returns without being signed in, or under an empty id", section: "4.7", has: "a return URL",
		stops: "the request is refused, and the engine is not asked",
		tests: []string{"TestConnectHandlerRefusesForeignAndUnsignedRequests", unitTest + "without a signed-in person sends the engine no request", unitTest + "a person %s is not signed in"},
	},
	{
		name: "has the browser sent to another origin after the return", section: "4.11", has: "the start's `returnTo`, its cookie, the return URL",
		stops: "`returnTo` is a path of the application, in a cookie of its session, looked at again when it is read. The Go handler takes none: `Done` decides",
		tests: []string{
			"TestConnectHandlerTakesOnlyScopesFromTheForm", unitTest + "is not taken from a cookie %s", unitTest + "is not taken from the URL",
			unitTest + "is refused if it is not a path of the application: %j", unitTest + "refuses an own origin that is \"null\": %s",
		},
	},
	{
		name: "puts markup into the return page", section: "4.16", has: "ids and messages that the page shows",
		stops: "text is escaped, data cannot end its element, and the page's policy runs its own script alone, in no frame",
		tests: []string{
			unitTest + "with an invalid session id does not show it", unitTest + "does not end the page's data early: %s",
			unitTest + "shows a page that runs only its own script, and sends no referrer",
		},
	},
	{
		name: "posts a message to the window that waits", section: "4.17", has: "a reference to that window",
		stops:   "`@authpipe/react` believes a message only from its own origin, from the window that it opened, about the session that it began. None holds a token",
		remains: "the provider's page has a reference to the window that opened it, and could send it elsewhere",
		tests:   []string{"react/test/message.test.tsx: a message is ignored that %s"},
	},
}

// otherMoves are those of RFC 9700 that other tests try.
var otherMoves = []namedMove{
	{
		name: "writes a URL that some reader takes for a configured one", section: "4.1", stops: "redirect and return URLs are matched to the letter, when a session begins and when the browser is back, and none is configured that two readers might read differently",
		tests: []string{"TestBrowserReturnsToConfiguredURLOnly", "TestWithdrawnReturnURLGetsNoConnectCode", "TestAmbiguousURLIsNotConfigured"},
	},
	{
		name: "reads code and state in a `Referer`, or in the browser's history", section: "4.2, 4.3", stops: "the page loads nothing, and its head says `no-referrer`, that it is not cached and not indexed",
		remains: "code and state stay in the browser's history, spent. The connect code stands in the return URL",
		tests:   []string{"TestCallbackPageLoadsNothingAndSendsNoReferrer"},
	},
	{
		name: "runs one of two providers, and has the other's answer come to its callback", section: "4.4", stops: "each has a redirect URI of its own, and a session knows its provider",
		tests: []string{"TestCallbackIsBoundToItsProvider", "TestSessionIsBoundToItsMountAndProvider"},
	},
	{
		name: "imports the app's own token, or a dead one, or nothing that is a token", section: "4.6, 4.15", stops: "the token is inspected: it must be a living one of this client, of a person or a system user",
		tests: []string{"TestImportRefusesBadTokens", "TestAnswerForAnotherAccountIsRefused"},
	},
	{
		name: "uses a token that it has stolen where it is used", section: "4.9, 4.10", stops: "each of the engine's calls proves the app secret, and an app that requires the proof has tokens that are worth nothing without it",
		remains: "who reads `creds/` is given token and proof. Nothing binds a token of Facebook's to its reader",
		tests:   []string{"TestEveryCallWithTokenSendsProof"},
	},
	{
		name: "has a 307 redirect repeat a person's form", section: "4.12", stops: "the browser is moved on by a page, never by a redirect, and the page has no form",
		tests: []string{"TestCallbackPageLoadsNothingAndSendsNoReferrer"},
	},
	{
		name: "slips a header past a proxy that ends TLS", section: "4.13", stops: "the engine reads one header of a request, `Accept-Language`, and chooses only the callback page's language by it",
		remains: "[hardening.md](hardening.md) says what the proxy must remove",
		tests:   []string{"TestCallbackPageIsNotWrapped", "TestPublicAnswerIsNeverWrapped"},
	},
	{
		name: "steals a refresh token", section: "4.14", stops: "Facebook issues none: a token's life is extended with the token and the app secret. Another provider's is sealed with its access token, and stands in no answer, log line or error",
		tests: []string{"TestEveryCallWithTokenSendsProof", "TestRotatingRefreshTokensAreKeptForGenerations"},
	},
	{
		name: "frames the callback page", section: "4.16", stops: "the page has no script and no form. Framed, it offers one link or, without a `return_url`, a code behind a click",
		remains: "only a header can say that a page may not be framed, and Vault drops it on an untuned mount",
		tests:   []string{"TestCallbackPageLoadsNothingAndSendsNoReferrer", "TestCallbackPageIsNotWrapped", "TestCallbackPageNamesTenantAndRef"},
	},
}
