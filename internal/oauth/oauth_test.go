package oauth_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/canary"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
)

func TestSecretDoesNotPrint(t *testing.T) {
	const clear = "EAABsecret"
	s := oauth.NewSecret(clear)
	nested := struct {
		Secret  oauth.Secret
		Pointer *oauth.Secret
		List    []oauth.Secret
		Token   oauth.Token
	}{s, &s, []oauth.Secret{s}, oauth.Token{AccessToken: s}}
	var shown bytes.Buffer
	hidden := struct {
		secret oauth.Secret
		list   []oauth.Secret
		keys   map[oauth.Secret]bool
		token  oauth.Token
	}{s, []oauth.Secret{s}, map[oauth.Secret]bool{s: true}, oauth.Token{AccessToken: s}}
	for _, verb := range "vTtbcdoOqxXUeEfFgGspw" {
		for _, flags := range []string{"", "+", "#", "-", " ", "0", "20", ".3", "+#20.3"} {
			format := "%" + flags + string(verb) + "\n"
			fmt.Fprintf(&shown, format, s)
			fmt.Fprintf(&shown, format, &s)
			fmt.Fprintf(&shown, format, nested)
			fmt.Fprintf(&shown, format, hidden)
			fmt.Fprintf(&shown, format, &hidden)
			fmt.Fprintf(&shown, format, []any{s, hidden, map[oauth.Secret]oauth.Secret{s: s}})
		}
	}
	fmt.Fprintln(&shown, s, nested, hidden, errors.Join(fmt.Errorf("%w %v", errors.ErrUnsupported, s)))
	for _, jsonFormat := range []bool{false, true} {
		hclog.New(&hclog.LoggerOptions{Output: &shown, JSONFormat: jsonFormat}).With("with", s, "hidden", hidden).Error("text", "secret", s, "nested", nested, "hidden", &hidden, "map", map[string]oauth.Secret{"k": s}, "list", []oauth.Secret{s}, "keys", map[oauth.Secret]bool{s: true},
			"error", fmt.Errorf("with %v", s), "format", hclog.Fmt("%s", s), s, s)
	}
	slog.New(slog.NewTextHandler(&shown, nil)).Error("text", "secret", s, "nested", nested, "list", []oauth.Secret{s}, "hidden", hidden)
	slog.New(slog.NewJSONHandler(&shown, nil)).Error("text", "secret", s, "nested", nested, "list", []oauth.Secret{s}, "hidden", hidden)
	b, err := json.Marshal([]any{nested, hidden, map[oauth.Secret]oauth.Secret{s: s}})
	if err != nil {
		t.Fatal(err)
	}
	shown.Write(b)
	var search canary.Search
	search.Plant("secret", clear)
	for _, found := range search.Find(shown.Bytes()) {
		t.Errorf("the output shows %s", found)
	}
	if s != oauth.NewSecret(clear) || s == oauth.NewSecret("EAAB") || s.IsZero() || !oauth.NewSecret("").IsZero() || (oauth.Secret{}).Reveal() != "" {
		t.Error("a secret is not equal to itself alone")
	}
	if s.Reveal() != clear || !s.Equal(oauth.NewSecret(clear)) || s.Equal(oauth.NewSecret("EAAB")) {
		t.Error("the secret is not what it was")
	}
}

func TestOutlivesComparesExpiries(t *testing.T) {
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
			t.Errorf("wrong: %s", name)
		}
	}
}

func TestErrorKeepsCauseAndCode(t *testing.T) {
	cause := errors.New("cause")
	err := fmt.Errorf("outer: %w", oauth.Errorf(oauth.Pending, "later: %w", cause))
	if oauth.CodeOf(err) != oauth.Pending || !errors.Is(err, cause) || oauth.CodeOf(cause) != "" {
		t.Errorf("code %q, cause kept: %v", oauth.CodeOf(err), errors.Is(err, cause))
	}
}
