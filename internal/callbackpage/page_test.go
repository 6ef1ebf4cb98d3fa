package callbackpage_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"regexp"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/callbackpage"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

var code = oauth.NewSecret("ABCD-EFGH-2345-WXYZ")

const returnURL = "https://app.example.com/connected?a=1&b=2"

func render(t *testing.T, page flow.CallbackPage, acceptLanguage ...string) (status int, text string) {
	t.Helper()
	r, err := callbackpage.Render(page, acceptLanguage)
	if err != nil {
		t.Fatal(err)
	}
	return r.Status, string(r.HTML)
}

func TestPageSaysWhatHappened(t *testing.T) {
	failed := func(code oauth.Code) flow.CallbackPage {
		return flow.CallbackPage{Error: code, Application: "Bakery", Provider: "Facebook"}
	}
	returning := func(p flow.CallbackPage) flow.CallbackPage {
		p.ReturnURL = returnURL
		return p
	}
	connected := flow.CallbackPage{Application: "Bakery", Provider: "Facebook"}
	confirm := flow.CallbackPage{Application: "Bakery", Provider: "Facebook", ConnectCode: code, Tenant: "org_acme"}
	nameless := confirm
	nameless.Application = ""
	for name, row := range map[string]struct {
		page   flow.CallbackPage
		status int
		want   string // the text of the page, tags left out
	}{
		"a request of no session":          {flow.CallbackPage{Error: oauth.InvalidRequest, Unknown: true}, 400, "Not connected This link is not valid, or has expired. Go back to the application you came from and begin again."},
		"no permission":                    {failed(oauth.AccessDenied), 400, "Bakery Facebook Not connected No permission was given at Facebook. Go back to the application you came from and begin again."},
		"an expired session":               {failed(oauth.SessionExpired), 400, "Bakery Facebook Not connected Coming back from Facebook took too long. Go back to the application you came from and begin again."},
		"a rate limit":                     {failed(oauth.Throttled), 400, "Bakery Facebook Not connected The connection cannot be made at the moment. Wait a minute, then reload this page."},
		"a provider that fails":            {failed(oauth.Unavailable), 400, "Bakery Facebook Not connected The connection cannot be made at the moment. Wait a minute, then reload this page."},
		"another account":                  {failed(oauth.AccountMismatch), 400, "Bakery Facebook Not connected The connection could not be made. Go back to the application you came from and begin again."},
		"a code of another session":        {failed(oauth.SessionUsed), 400, "Bakery Facebook Not connected The connection could not be made. Go back to the application you came from and begin again."},
		"a failure, and a return URL":      {returning(failed(oauth.AccessDenied)), 400, "Bakery Facebook Not connected You are being taken back to the application. Continue"},
		"a connection":                     {connected, 200, "Bakery Facebook Connected Your account at Facebook is connected. You can close this page."},
		"a connection, and a return URL":   {returning(connected), 200, "Bakery Facebook Connected You are being taken back to the application. Continue"},
		"a connect code, and a return URL": {returning(flow.CallbackPage{Provider: "Facebook", ConnectCode: code}), 200, "Facebook Almost connected You are being taken back to the application. Continue"},
		"a connect code":                   {confirm, 200, "Bakery Facebook Almost connected Your account at Facebook is about to be used by Bakery for the organization org_acme. Did somebody send you a link to get here? Then close this page: nothing is connected. I started this connection Type this code only where you yourself started connecting: ABCD-EFGH-2345-WXYZ"},
		"a connect code, and no app_name":  {nameless, 200, "Facebook Almost connected Your account at Facebook is about to be used for the organization org_acme. Did somebody send you a link to get here? Then close this page: nothing is connected. I started this connection Type this code only where you yourself started connecting: ABCD-EFGH-2345-WXYZ"},
	} {
		t.Run(name, func(t *testing.T) {
			status, page := render(t, row.page)
			if got := visible(page); status != row.status || got != row.want {
				t.Errorf("the page is %d, want %d:\n%s\n%s", status, row.status, got, row.want)
			}
			if moves := strings.Contains(page, `<meta http-equiv="refresh" content="0; url=https://app.example.com/connected?a=1&amp;b=2">`); moves != (row.page.ReturnURL != "") {
				t.Errorf("the page moves the browser on: %v", moves)
			}
			if shows := strings.Contains(page, code.Reveal()); shows != (row.page.ConnectCode == code && row.page.ReturnURL == "") {
				t.Errorf("the page shows the connect code: %v", shows)
			}
		})
	}
}

var (
	head = regexp.MustCompile(`(?s)^.*<body>`)
	bdi  = regexp.MustCompile(`</?bdi>(</p>)?`)
	tag  = regexp.MustCompile(`<[^>]*>`)
)

// visible returns the words of a page's body.
func visible(page string) string {
	page = strings.ReplaceAll(head.ReplaceAllString(page, ""), "</bdi><svg", "</bdi> <svg")
	page = tag.ReplaceAllString(bdi.ReplaceAllString(page, ""), " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

func TestPageEscapesAndIsolatesNames(t *testing.T) {
	for _, language := range callbackpage.Tags() {
		_, page := render(t, flow.CallbackPage{Application: `<b>"مخبز"&{provider}`, Provider: "Facebook", ConnectCode: code, Tenant: "org_acme"}, language)
		for name, times := range map[string]int{"&lt;b&gt;&#34;مخبز&#34;&amp;{provider}": 2, "Facebook": 2, "org_acme": 1} {
			if n := strings.Count(page, "<bdi>"+name+"</bdi>"); n != times {
				t.Errorf("%s: %s is isolated %d times, want %d:\n%s", language, name, n, times, page)
			}
		}
	}
}

func TestPolicyAllowsOnlyThePagesStyle(t *testing.T) {
	r, err := callbackpage.Render(flow.CallbackPage{Provider: "Facebook"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(r.HTML), "<style>")
	style, _, _ := strings.Cut(rest, "</style>")
	sum := sha256.Sum256([]byte(style))
	want := "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	if !strings.Contains(html.UnescapeString(string(r.HTML)), `content="`+want+`"`) {
		t.Errorf("the head's policy is not %s:\n%s", want, r.HTML)
	}
	if got := r.Header.Get("Content-Security-Policy"); got != want+"; frame-ancestors 'none'" {
		t.Errorf("the header's policy is %s", got)
	}
	if strings.Contains(style, "url(") || strings.Contains(style, "@import") {
		t.Errorf("the style loads something:\n%s", style)
	}
}

func TestTemplateHasNoWords(t *testing.T) {
	text := regexp.MustCompile(`(?s)\{\{.*?\}\}`).ReplaceAllString(callbackpage.Template, "")
	text = tag.ReplaceAllString(text, "")
	if words := strings.Join(strings.Fields(text), " "); words != "·" {
		t.Errorf("the template has %q: it belongs into the table of texts", words)
	}
}
