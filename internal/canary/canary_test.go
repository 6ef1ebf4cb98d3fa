package canary_test

import (
	"bytes"
	"crypto/sha512"
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

func TestFindDecodesEachSpelling(t *testing.T) {
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
			t.Errorf("the secret %s is not found: %v in %s", name, found, text)
		}
		if found := s.Without("token").Find([]byte(text)); len(found) != 0 {
			t.Errorf("the secret %s is found, although the search ignores it", name)
		}
	}
}

func TestFindIgnoresOtherText(t *testing.T) {
	var s canary.Search
	s.Plant("token", secret)
	for _, text := range []string{
		"", "[redacted]", secret[:len(secret)-1], secret[1:], strings.ToUpper(secret), base64.StdEncoding.EncodeToString([]byte(secret[1:])),
		`\`, `\u12`, "%", "%4", `\x`, "&#", hex.EncodeToString([]byte(secret))[2:],
	} {
		if found := s.Find([]byte(text)); len(found) != 0 {
			t.Errorf("found %[2]v in %[1]q", text, found)
		}
	}
}

func TestFindNamesCanaries(t *testing.T) {
	var s canary.Search
	s.Plant("code", "AQD-the-code")
	s.Plant("state", "the-state-of-it")
	s.Plant("code again", "AQD-the-code")
	found := s.Find([]byte("?state=the-state-of-it&code=AQD-the-code&code=AQD-the-code"))
	if s.Len() != 2 || len(found) != 2 || found[0].Name != "code" || found[1].Name != "state" {
		t.Errorf("found %[2]v of %[1]d", s.Len(), found)
	}
}

func TestPlantPanicsForShortSecret(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Plant takes seven bytes")
		}
	}()
	new(canary.Search).Plant("pin", "1234567")
}

// A long acceptance script plants as many secrets. All begin alike, like the
// tokens of one app.
func TestFindHandlesTenThousandSecrets(t *testing.T) {
	const secrets = 10_000
	search := plantTokens(secrets)
	spellings := []func(string) string{
		func(s string) string { return s },
		func(s string) string { return url.QueryEscape("https://e/?t=" + url.QueryEscape(s)) },
		func(s string) string { return fmt.Sprintf("%q", "{"+fmt.Sprintf("%q", s)+"}") },
		func(s string) string { return fmt.Sprintf("%X", s) },
		func(s string) string { return base64.StdEncoding.EncodeToString([]byte("user:" + s)) },
		func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte("a=b&c=" + s)) },
		html.EscapeString,
	}
	log := bytes.NewBuffer(serverLog(secrets * 100))
	for i := range secrets {
		fmt.Fprintf(log, "2026-11-30T12:00:00Z [INFO]  authpipe: value=%s\n", spellings[i%len(spellings)](tokenOf(i)))
	}
	found := search.Find(log.Bytes())
	if len(found) != secrets {
		t.Fatalf("found %d of %d secrets", len(found), secrets)
	}
	for i, f := range found {
		if f.Name != fmt.Sprintf("token %d", i) {
			t.Fatalf("finding %d is %s", i, f)
		}
	}
	if found := search.Find(serverLog(1 << 20)); len(found) != 0 {
		t.Errorf("found in a log without a secret: %s", found[0])
	}
}

// BenchmarkFind searches a log of 5.7 MB, the size of that of the acceptance
// script upgrade, without a secret in it. The time must not depend on the number
// of secrets.
func BenchmarkFind(b *testing.B) {
	log := serverLog(5_700_000)
	for _, secrets := range []int{10, 1_000, 10_000} {
		b.Run(fmt.Sprintf("secrets=%d", secrets), func(b *testing.B) {
			search := plantTokens(secrets)
			b.SetBytes(int64(len(log)))
			for b.Loop() {
				search.Find(log)
			}
		})
	}
}

func BenchmarkPlant(b *testing.B) {
	for b.Loop() {
		plantTokens(10_000)
	}
}

func plantTokens(n int) *canary.Search {
	var search canary.Search
	for i := range n {
		search.Plant(fmt.Sprintf("token %d", i), tokenOf(i))
	}
	return &search
}

// tokenOf returns the i-th of many access tokens: 180 characters, the first
// hundred the same for all.
func tokenOf(i int) string {
	sum := sha512.Sum512(fmt.Append(nil, i))
	return "EAA" + strings.Repeat("Odd+Prefix", 10) + hex.EncodeToString(sum[:])[:77]
}

// serverLog returns about size bytes of a log like Vault's: lines with JSON, some
// of it quoted or in URLs.
func serverLog(size int) []byte {
	var log bytes.Buffer
	for i := 0; log.Len() < size; i++ {
		sum := sha512.Sum512(fmt.Append(nil, "line", i))
		fmt.Fprintf(&log, "2026-11-30T12:00:00.000Z [TRACE] secrets.authpipe: calling: call=%q url=https://graph.example/v27.0/me?fields=id%%2Cname&hash=%x\n",
			fmt.Sprintf(`{"type":"request","path":"creds/org_%d/facebook/installation","request":%q}`, i, base64.StdEncoding.EncodeToString(sum[:])), sum[:16])
	}
	return log.Bytes()
}

// FuzzFind encodes a secret between two other texts, and searches for it.
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
