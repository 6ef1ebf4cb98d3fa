// Package authpipetest has what a test of a Facebook integration needs and cannot have from Facebook: a Facebook that
// runs in the test's own process, goes by the test's own clock, and fails when it is told to.
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
// Meta's documentation and public reports of live answers say Facebook does, the unhappy answers included. Where these
// sources disagree, or where nobody has written down what happens, the choice is a documented field of [Options], so that an
// integration can be tested against either. No source shows the text of some refusals; these are guesses, which the
// functions that make them say, and no integration should go by them.
//
// A token or proof may come in the query, in a form, in JSON, or (the token) in the Authorization header; any call may be
// posted with its method in the parameter method. Every call with a token has its appsecret_proof checked if there is one,
// and refused without if the [App] has RequireAppSecret.
//
// Fields are those that Meta documents, with field expansion such as accounts.limit(2){id,picture.type(large)}. A field is absent
// without the permission that it needs, or if the [User] or [Page] does not have it; a field that Facebook does not have is an
// error. Below a version everything but the dialog is answered in JSON.
//
// # Steering the dialog
//
// A test consents by [Facebook.Authorize]. A person who opens the dialog in a browser gets a page to click through, unless
// [Options].AutoApprove is set. A script that can only open a URL adds parameters to it that Facebook does not have, and
// the dialog redirects at once, whether AutoApprove is set or not:
//
//	_user=ID            who logs in, by the ID of the [User]; the header X-Simulator-User says the same
//	_decline=a,b        permissions to turn down
//	_pages=ID,ID        pages to select; empty selects none, absent selects all
//	_business=ID        the business to connect, where the dialog asks for one
//	_cancel=1           say no to all of it
//	_error_code=N       be refused by Facebook itself, …
//	_error_message=…    … which sends only error_code and error_message
//
// # Businesses
//
// [Facebook.AddBusiness] and [Facebook.AddConfiguration] set the stage for Facebook Login for Business: a dialog with the
// config_id of a configuration leads to a code for a token of the business, by a system user that acts for the app there.
// me?fields=client_business_id tells whose it is, POST /{business}/system_user_access_tokens makes narrower ones, and
// [Facebook.RemoveIntegration] ends them all. System users of a business's own come from [Facebook.AddSystemUser] or from the
// API, and so do their tokens.
//
// # Devices
//
// An [App] with a ClientToken may use device login. The simulator has a page at /device for a person; a test calls
// [Facebook.ApproveDevice]. Waiting is a matter of the clock, as everywhere: no test has to sleep.
//
// # Telling the app
//
// What happens to a grant is queued: deauthorizations and data deletion requests for the URLs in [App], and webhooks for what
// [Facebook.Subscribe] or POST /{app}/subscriptions made known. [Facebook.Deliver] sends it, signed, and returns what was
// answered; what was not answered as it should be stays queued. [Facebook.Redeliver] sends all of it again, for receivers
// that think a thing is told once. [Facebook.Notify] sends anything.
//
// # Trouble
//
// [Facebook.Fail] makes any endpoint fail, hang, or lose its answer or the half of it. [Facebook.Throttle] reaches a rate
// limit, with its headers, or comes near it. [Facebook.KillToken], [Facebook.ExpireToken], [Facebook.RemoveApp],
// [Facebook.ChangePassword], [Facebook.RemovePageRole], [Facebook.SetBusinessPages] and [Facebook.SetAppSecret] do what happens
// in the wild. [Facebook.Requests] is the log of all that was asked, and [Facebook.AwaitCount] waits for a request to arrive.
//
// [Facebook.Control] is a page with buttons for much of this. The command facebook-simulator serves it beside a Facebook
// with a few people in it.
//
// # What is not here
//
// The Graph API has thousands of fields and edges; here are those that an integration needs to get, keep and lose
// credentials. Calls are not counted: a limit is reached when a [Throttle] says so. Calls without a token, at the token
// endpoint, are never throttled, but can be made to [Facebook.Fail]. Entries of a batch cannot depend on one another. Nothing
// reviews an app: any permission may be asked for.
package authpipetest
