// Package authpipetest has what a test of a Facebook integration needs and cannot have from Facebook: a Facebook that
// runs in the test's own process, goes by the test's own clock, and fails when it is told to.
//
//	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
//	fb := authpipetest.NewFacebook(authpipetest.Options{Now: clock.Now})
//	fb.AddApp(authpipetest.App{ID: "123", Secret: "SEC", RedirectURIs: []string{"https://example.com/cb"}})
//	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Pages: []string{"777"}})
//	fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A"})
//	base := fb.Start(t) // the dialog and the Graph API, both on this base
//	back, err := fb.Authorize(base+"/v26.0/dialog/oauth?client_id=123&…", authpipetest.Consent{User: "ada"})
//
// A [Facebook] serves the login dialog, the code and token exchanges, debug_token, the permissions and pages of a
// person, and posts to a page. It answers as Meta's documentation and public reports of live answers say Facebook does,
// the unhappy answers included. Where these sources disagree, or where nobody has written down what happens, the
// choice is a documented field of [Options], so that an integration can be tested against either.
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
//	_cancel=1           say no to all of it
//	_error_code=N       be refused by Facebook itself, …
//	_error_message=…    … which sends only error_code and error_message
//
// # Trouble
//
// [Facebook.Fail] makes any endpoint fail, hang or lose its answer. [Facebook.KillToken], [Facebook.ExpireToken],
// [Facebook.RemoveApp], [Facebook.ChangePassword] and [Facebook.RemovePageRole] do what happens to tokens in the wild.
// [Facebook.Requests] is the log of all that was asked.
package authpipetest
