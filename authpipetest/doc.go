// Package authpipetest simulates Facebook for tests of integrations. The simulator runs in the test's own process, uses the
// test's own clock, and fails on demand.
//
//	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
//	fb := authpipetest.NewFacebook(authpipetest.Options{Now: clock.Now})
//	fb.AddApp(authpipetest.App{ID: "123", Secret: "SEC", RedirectURIs: []string{"https://example.com/cb"}})
//	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Pages: []string{"777"}})
//	fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A"})
//	base := fb.Start(t) // the dialog and the Graph API, both on this base
//	back, err := fb.Authorize(base+"/v27.0/dialog/oauth?client_id=123&…", authpipetest.Consent{User: "ada"})
//
// A [Facebook] serves the login dialog, the code and token exchanges, ID tokens, device login, Facebook Login for Business,
// debug_token, the permissions and pages of a person, posts of a page, batches, and webhook subscriptions. It answers as
// Facebook does according to Meta's documentation and public reports of live answers, errors included. Where these sources
// disagree or are silent, a field of [Options] selects the behavior, so that an integration can be tested against each. No
// source shows the text of some errors. The comments at such errors say so, and no integration should depend on them.
//
// A token or proof may be in the query, in a form, in JSON, or (the token) in the Authorization header. The appsecret_proof
// of a call is checked if there is one; if the [App] has RequireAppSecret, a call without one is refused.
//
// Fields are those that Meta documents, with field expansion such as accounts.limit(2){id,picture.type(large)}. A field is absent
// without the permission that it needs, or if the [User] or [Page] does not have it. A field that Facebook does not have is an
// error. Everything below a version, except for the dialog, answers in JSON.
//
// # The dialog
//
// A test consents by [Facebook.Authorize]. A person who opens the dialog in a browser gets pages to click through, unless
// [Options].AutoApprove is set. A script that can only open a URL adds parameters that Facebook does not have. With any of them
// the dialog redirects at once:
//
//	_user=ID            who logs in, by the ID of the [User]; the header X-Simulator-User does the same
//	_decline=a,b        permissions to decline
//	_pages=ID,ID        pages to select; empty selects none, absent selects all
//	_business=ID        the business to connect, where the dialog asks for one
//	_businesses=ID,ID   businesses to select for business_management, like _pages
//	_cancel=1           cancel
//	_error_code=N       make Facebook refuse the app, …
//	_error_message=…    … with only error_code and error_message
//
// The dialog offers the choice of pages and businesses at the first login, with a further permission that is granted page
// by page or business by business, and with auth_type=rerequest or reauthorize. What is granted is selected already. Other
// logins keep the choice, unless the person opens it by a link of the page. A [Consent] opens it too, unless AsOffered is set.
//
// # Pages
//
// A choice of pages belongs to a person and an app. The next choice ends the tokens of pages that it drops, and narrows the
// granular scopes of the person's older tokens. The webhook for permissions is notified, with target_ids.
//
// GET /{page} has tasks and an access_token if the person selected the page and has a role on it. Otherwise the app gets the
// public fields if it has [App].PublicContentAccess, and no such object (code 100, subcode 33) if it has not. For a page of
// the person's own that the token lacks a permission for, the error is that of [Options].PageScopeErrorCode.
//
// [Facebook.SetPageRole] gives a role, changes its tasks, or makes it one without rights: such a page is listed without
// access_token. [Facebook.RemovePageRole] takes it. A page with a [Page].Portfolio is listed only for tokens with
// business_management, and can be read by its id; [Page].NeedsBusinessManagement withholds its token there too.
// [Facebook.SetPortfolio] moves it. [Facebook.SetPageList] has the list of pages come empty, refuse a large limit, or never
// end. [Facebook.Rename] renames pages, people and businesses.
//
// # Businesses
//
// [Facebook.AddBusiness] and [Facebook.AddConfiguration] prepare Facebook Login for Business: a dialog with the config_id of a
// configuration leads to a code for a token of the business, by a system user that acts for the app there.
// me?fields=client_business_id identifies the business, POST /{business}/system_user_access_tokens issues tokens with fewer rights, and
// [Facebook.RemoveIntegration] invalidates them all. A business's own system users come from [Facebook.AddSystemUser] or from the
// API, and so do their tokens.
//
// # Devices
//
// An [App] with a ClientToken may use device login. The simulator has a page at /device for a person; a test calls
// [Facebook.ApproveDevice]. The interval and the expiry depend on the simulator's clock, so no test has to sleep.
//
// # Notifications
//
// A change to a grant queues notifications: deauthorizations and data deletion requests for the URLs in [App], and webhook requests
// for the subscriptions made by [Facebook.Subscribe] or POST /{app}/subscriptions. [Facebook.Deliver] signs and sends them, and returns
// the answers; what fails stays queued. [Facebook.Redeliver] sends all of them again, for tests of duplicates. [Facebook.Notify]
// queues any webhook request.
//
// # Failures
//
// [Facebook.Fail] makes any endpoint fail, hang, or lose all or half of its answer. [Facebook.Throttle] sets the usage of a rate
// limit, with its headers. [Facebook.Behave] starts one of the [Behaviors] that have been reported. [Facebook.KillToken],
// [Facebook.ExpireToken], [Facebook.RemoveApp], [Facebook.ChangePassword], [Facebook.SetBusinessPages] and
// [Facebook.SetAppSecret] do what people and admins do. [Facebook.Requests] is the log of all requests, and [Facebook.AwaitCount] waits
// for a request to arrive.
//
// [Facebook.Control] is a page with buttons for much of this. The command facebook-simulator serves it beside a Facebook
// with a few people in it.
//
// # Limits
//
// Of the Graph API's thousands of fields and edges, the simulator has those that an integration needs to obtain, keep and lose
// credentials. It does not count calls: a limit is reached when a [Throttle] says so. Calls without a token, at the token
// endpoint, are never throttled, but [Facebook.Fail] can make them fail. Entries of a batch cannot depend on one another. There is
// no app review: an app may ask for any permission.
package authpipetest
