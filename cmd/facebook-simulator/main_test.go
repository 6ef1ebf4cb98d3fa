package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// start runs the command and returns the base URL that it prints.
func start(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	out, stdout := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, args, stdout, io.Discard) }()
	lines := bufio.NewReader(out)
	first, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the command ended with %v", err)
		}
	})
	base, found := strings.CutPrefix(strings.TrimSpace(first), "facebook simulator: ")
	if !found || !strings.HasPrefix(base, "http://127.0.0.1:") && !strings.HasPrefix(base, "https://127.0.0.1:") {
		t.Fatalf("first line %q", first)
	}
	return base
}

func get(t *testing.T, address string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestCommandServesLogin(t *testing.T) {
	base := start(t, "-app-id", "42", "-app-secret", "s", "-redirect-uri", "http://127.0.0.1:1/cb", "-redirect-uri", "https://e/cb",
		"-auto-approve", "-auto-approve-user", "uma", "-require-app-secret")
	redirected, _ := get(t, base+"/v27.0/dialog/oauth?client_id=42&redirect_uri=https%3A%2F%2Fe%2Fcb&state=s&scope=email")
	back, err := url.Parse(redirected.Header.Get("Location"))
	if err != nil {
		t.Fatal(err)
	}
	exchange := url.Values{"client_id": {"42"}, "client_secret": {"s"}, "redirect_uri": {"https://e/cb"}, "code": {back.Query().Get("code")}}
	_, body := get(t, base+"/v27.0/oauth/access_token?"+exchange.Encode())
	var token struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &token); err != nil || token.AccessToken == "" {
		t.Fatalf("no token: %s", body)
	}
	if _, body := get(t, base+"/me?access_token="+token.AccessToken); !strings.Contains(body, "require an appsecret_proof") {
		t.Errorf("/me: %s", body)
	}
	if _, body := get(t, base+"/debug_token?access_token=42%7Cs&input_token="+token.AccessToken); !strings.Contains(body, `"is_valid":true`) {
		t.Errorf("/debug_token: %s", body)
	}
}

func TestCommandAsksPersonByDefault(t *testing.T) {
	base := start(t, "-app-id", "42", "-redirect-uri", "https://e/cb")
	response, body := get(t, base+"/dialog/oauth?client_id=42&redirect_uri=https%3A%2F%2Fe%2Fcb")
	if response.StatusCode != http.StatusOK || !strings.Contains(body, "Ada Admin") || !strings.Contains(body, "Uma User") {
		t.Errorf("status %d: %s", response.StatusCode, body)
	}
}

func TestCommandRefusesArguments(t *testing.T) {
	for _, test := range []struct{ name, args, want string }{
		{"every interface", "-listen 0.0.0.0:0", "only a loopback address is allowed"},
		{"every interface, by an empty host", "-listen :0", "only a loopback address is allowed"},
		{"a name that may resolve to anything", "-listen example.com:0", "only a loopback address is allowed"},
		{"no port", "-listen 127.0.0.1", "missing port"},
		{"an argument", "hello", `unexpected "hello"`},
		{"a flag that is none", "-nope", "flag provided but not defined"},
		{"a certificate without its key", "-tls-cert a", "-tls-cert and -tls-key need each other"},
		{"two certificates", "-tls-cert a -tls-key b -tls-self-signed c", "does not go together"},
		{"a certificate that is not there", "-tls-cert nowhere.pem -tls-key nowhere.pem", "no such file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var stdout bytes.Buffer
			err := run(t.Context(), strings.Fields(test.args), &stdout, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) || stdout.Len() != 0 {
				t.Errorf("error %v, output %q", err, stdout.String())
			}
		})
	}
}
