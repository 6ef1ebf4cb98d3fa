package canary_test

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"html"
	"net/url"
	"strings"
	"testing"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/canary"
)

// secret has what each escape changes.
const secret = `EAA/canary+"<tweet>"&é~%7C\end`

func TestACanaryIsFoundInEverySpelling(t *testing.T) {
	var s canary.Search
	s.Plant("token", secret)
	quote := func(text string) string {
		b, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	each := func(format string) string {
		var b strings.Builder
		for _, c := range []byte(secret) {
			fmt.Fprintf(&b, format, c)
		}
		return b.String()
	}
	texts := map[string]string{
		"as it is":                          secret,
		"in hex":                            hex.EncodeToString([]byte(secret)),
		"in upper hex":                      strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"in a query":                        url.QueryEscape(secret),
		"in a path":                         url.PathEscape(secret),
		"with each byte escaped for a URL":  each("%%%02x"),
		"with each byte escaped for JSON":   strings.ReplaceAll(strings.ReplaceAll(each(`\u%04x`), `\u00c3\u00a9`, `\u00e9`), `\u005c`, `\\`),
		"with each byte escaped for Go":     each(`\x%02X`),
		"in JSON":                           quote(secret),
		"in JSON with slashes escaped":      strings.ReplaceAll(quote(secret), "/", `\/`),
		"in JSON in JSON":                   quote(quote(secret)),
		"in a URL in JSON":                  quote("https://e/?t=" + url.QueryEscape(secret)),
		"in a URL in a URL":                 "https://e/?u=" + url.QueryEscape("https://f/?t="+url.QueryEscape(secret)),
		"in a URL in HTML":                  html.EscapeString("https://e/?a=b&t=" + url.QueryEscape(secret)),
		"in HTML":                           html.EscapeString(secret),
		"quoted by Go":                      fmt.Sprintf("%q", secret),
		"in base64 of JSON":                 base64.StdEncoding.EncodeToString([]byte(`{"token":` + quote(secret) + "}")),
		"in base64 of a query":              base64.URLEncoding.EncodeToString([]byte("a=b&t=" + url.QueryEscape(secret))),
		"in base64 in a query":              url.QueryEscape(base64.StdEncoding.EncodeToString([]byte("user:" + secret))),
		"in base64, its slashes for JSON's": strings.ReplaceAll(base64.StdEncoding.EncodeToString([]byte(secret)), "/", `\/`),
	}
	for before := range 4 {
		for after := range 4 {
			text := []byte(strings.Repeat("\xff", before) + secret + strings.Repeat("\xff", after))
			for name, e := range map[string]*base64.Encoding{
				"base64": base64.StdEncoding, "base64url": base64.URLEncoding, "base64 without padding": base64.RawStdEncoding, "base64url without padding": base64.RawURLEncoding,
			} {
				texts[fmt.Sprintf("in %s between %d and %d bytes", name, before, after)] = e.EncodeToString(text)
			}
		}
	}
	for name, text := range texts {
		found := s.Find([]byte("before " + text + " after"))
		if len(found) != 1 || found[0].Name != "token" || found[0].Around == "" {
			t.Errorf("%s it is not found: %v in %s", name, found, text)
		}
		if found := s.Without("token").Find([]byte(text)); len(found) != 0 {
			t.Errorf("%s it is found although nobody looks for it", name)
		}
	}
}

func TestWhatIsNoCanaryIsNotFound(t *testing.T) {
	var s canary.Search
	s.Plant("token", secret)
	for _, text := range []string{
		"", "[redacted]", secret[:len(secret)-1], secret[1:], strings.ToUpper(secret), base64.StdEncoding.EncodeToString([]byte(secret[1:])),
		`\`, `\u12`, "%", "%4", `\x`, "&#", hex.EncodeToString([]byte(secret))[2:],
	} {
		if found := s.Find([]byte(text)); len(found) != 0 {
			t.Errorf("in %q is found %v", text, found)
		}
	}
}

func TestEachCanaryIsNamed(t *testing.T) {
	var s canary.Search
	s.Plant("code", "AQD-the-code")
	s.Plant("state", "the-state-of-it")
	s.Plant("code again", "AQD-the-code")
	found := s.Find([]byte("?state=the-state-of-it&code=AQD-the-code&code=AQD-the-code"))
	if s.Len() != 2 || len(found) != 2 || found[0].Name != "code" || found[1].Name != "state" {
		t.Errorf("of %d are found %v", s.Len(), found)
	}
}

func TestAShortCanaryIsRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("seven bytes are taken for a canary")
		}
	}()
	new(canary.Search).Plant("pin", "1234567")
}

// FuzzFind encodes what it is given after some bytes and before others, and has
// it found.
func FuzzFind(f *testing.F) {
	f.Add(secret, "user:", "&", byte(0))
	f.Add("\x00\xff\x00\xff\x00\xff\x00\xff", "", "", byte(3))
	f.Add(`\u0041\\\"x`, `\`, `\`, byte(6))
	f.Fuzz(func(t *testing.T, secret, before, after string, form byte) {
		if len(secret) < 8 {
			return
		}
		encode := []func(string) string{
			func(s string) string { return s }, url.QueryEscape, url.PathEscape,
			func(s string) string { return hex.EncodeToString([]byte(s)) },
			func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
			func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) },
		}
		var s canary.Search
		s.Plant("token", secret)
		if text := encode[int(form)%len(encode)](before + secret + after); len(s.Find([]byte(text))) != 1 {
			t.Errorf("%q is not found in %q", secret, text)
		}
	})
}
