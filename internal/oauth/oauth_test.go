package oauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

func TestASecretDoesNotPrint(t *testing.T) {
	const clear = "EAABsecret"
	s := oauth.Secret(clear)
	nested := struct {
		Secret  oauth.Secret
		Pointer *oauth.Secret
		List    []oauth.Secret
		Token   oauth.Token
	}{s, &s, []oauth.Secret{s}, oauth.Token{AccessToken: s}}
	var shown bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
		fmt.Fprintf(&shown, verb+"\n", s)
		fmt.Fprintf(&shown, verb+"\n", nested)
	}
	for _, jsonFormat := range []bool{false, true} {
		hclog.New(&hclog.LoggerOptions{Output: &shown, JSONFormat: jsonFormat}).Error("text", "secret", s, "nested", nested, "error", fmt.Errorf("with %v", s))
	}
	b, err := json.Marshal(nested)
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(b)
	for name, form := range map[string]string{"as it is": clear, "in hex": fmt.Sprintf("%x", clear)} {
		if strings.Contains(shown.String(), form) {
			t.Errorf("the secret shows %s:\n%s", name, shown.String())
		}
	}
	if s.Reveal() != clear || !s.Equal(clear) || s.Equal("EAAB") {
		t.Error("the secret is not what it was")
	}
}

func TestATokenOutlivesAnother(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	never, short, long := oauth.Token{}, oauth.Token{ExpiresAt: now.Add(time.Hour)}, oauth.Token{ExpiresAt: now.Add(2 * time.Hour)}
	for name, is := range map[string]bool{
		"a longer one outlives a shorter":     long.Outlives(short) && !short.Outlives(long),
		"one outlives not itself":             !long.Outlives(long) && !never.Outlives(never),
		"one that never expires outlives all": never.Outlives(long) && !long.Outlives(never),
		"one lives until it expires":          short.Live(now) && !short.Live(now.Add(time.Hour)),
		"one that never expires always lives": never.Live(now),
	} {
		if !is {
			t.Errorf("not so: %s", name)
		}
	}
}

func TestAnErrorKeepsItsCauseAndItsCode(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", oauth.Errorf(oauth.Pending, "later: %w", cause))
	if oauth.CodeOf(err) != oauth.Pending || !errors.Is(err, cause) || oauth.CodeOf(cause) != "" {
		t.Errorf("code %q, cause kept: %v", oauth.CodeOf(err), errors.Is(err, cause))
	}
}
