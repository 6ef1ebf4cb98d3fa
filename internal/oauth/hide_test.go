package oauth_test

import (
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

// A server, a proxy or both may escape a secret.
func TestHideFindsSecretBehindEscapes(t *testing.T) {
	const secret = "the-secret+of/the=app&%41<é"
	quote := func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lower := regexp.MustCompile(`%[0-9A-F]{2}`).ReplaceAllStringFunc(url.QueryEscape(secret), strings.ToLower)
	mixed := strings.Replace(url.QueryEscape(secret), "%2F", "%2f", 1)
	each := func(format string) string {
		var b strings.Builder
		for _, c := range []byte(secret) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
	for name, text := range map[string]string{
		"in the clear":           secret,
		"in a URL":               url.QueryEscape(secret),
		"in a URL in lower case": lower,
		"in a URL in both cases": mixed,
		"in a URL, each byte":    each("%%%02x"),
		"in a URL in a URL":      url.QueryEscape("https://e/?t=" + lower),
		"in JSON":                quote(secret),
		"in a URL in JSON":       strings.ReplaceAll(quote("https://e/?t="+lower), "/", `\/`),
		"in JSON in JSON":        quote(quote(secret)),
		"in Go":                  each(`\x%02X`),
		"in HTML":                html.EscapeString(secret),
		"in a URL in HTML":       html.EscapeString("a=b&t=" + lower),
		"between backslashes":    strings.ReplaceAll(secret, "/", `\/`),
	} {
		got := oauth.Hide("before "+text+" after", nil, oauth.NewSecret("unrelated"), oauth.NewSecret(secret))
		if !strings.Contains(got, "before ") || !strings.Contains(got, "[redacted]") || !strings.Contains(got, " after") {
			t.Errorf("%s: %q shows as %q", name, text, got)
		}
	}
}

func TestHideLeavesOtherText(t *testing.T) {
	for _, text := range []string{"", "100% of \\ and %zz", "a%20b", `C:\users`, "&amp;", "%", `\u12`, "\\"} {
		if got := oauth.Hide(text, nil, oauth.NewSecret("the-secret"), oauth.NewSecret("")); got != text {
			t.Errorf("%q becomes %q", text, got)
		}
	}
	if got := oauth.Hide("a EAAG1 b %45AAG2", regexp.MustCompile(`EAAG\d`)); got != "a [redacted] b [redacted]" {
		t.Errorf("tokens show in %q", got)
	}
}
