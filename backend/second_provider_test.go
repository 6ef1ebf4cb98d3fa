package backend_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/providertest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/providertest/plain"
)

// A second is an engine that knows another provider than Facebook, and that provider: one
// that does no more than the RFCs say. All that it took to add it is its package and the
// line in newSecond.
type second struct {
	*enginetest.Engine
	server  *plain.Server
	wire    *providertest.Wire
	mu      sync.Mutex // guards answers
	answers strings.Builder
}

const (
	plainInstallation = "org_acme/plain/installation"
	plainUma          = "org_acme/plain/users/uma"
	plainUdo          = "org_globex/plain/users/udo"
	plainSecret       = "plain-secret-0123456789"
)

// newSecond returns an engine that is configured for the provider, where the
// installation and Uma are connected.
func newSecond(t testing.TB, o plain.Options, revokes bool) *second {
	t.Helper()
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	o.Now = clock.Now
	s := &second{server: plain.NewServer(o), wire: &providertest.Wire{}}
	s.server.AddClient("client", plainSecret, enginetest.MountURL+"/callback/plain")
	s.wire.Connect(s.server.Transport())
	dialect := func(transport http.RoundTripper, now func() time.Time) provider.Provider {
		if revokes {
			return plain.NewRevoking(transport, now)
		}
		return plain.New(transport, now)
	}
	options := func() backend.Options {
		return backend.Options{Now: clock.Now, Transport: s.wire, Build: enginetest.Build, Providers: map[string]backend.Dialect{"plain": dialect}}
	}
	s.Engine = enginetest.NewOther(t, clock, options, func(path string, resp *logical.Response, err error) {
		text, _ := json.Marshal(resp)
		s.mu.Lock()
		defer s.mu.Unlock()
		fmt.Fprintln(&s.answers, path, string(text), err)
	})
	t.Cleanup(s.checkRefreshTokens)
	s.Must(logical.UpdateOperation, "config/plain", map[string]any{
		"client_id": "client", "client_secret": plainSecret, "redirect_uris": enginetest.MountURL + "/callback/plain", "installation_scopes": "mail:read,profile",
	})
	s.connect(plainInstallation, "ada")
	s.connect(plainUma, "uma")
	return s
}

// connect runs a whole session.
func (s *second) connect(ref, account string) {
	s.T.Helper()
	begun := s.Must(logical.UpdateOperation, "connect/"+ref, map[string]any{"actor": account})
	back, err := s.server.Authorize(begun["authorization_url"].(string), account)
	if err != nil {
		s.T.Fatal(err)
	}
	resp, err := s.HandleRequest(context.Background(), &logical.Request{
		Operation: logical.ReadOperation, Path: "callback/plain", Data: values(back.Query()), Storage: s.Storage, Unauthenticated: true,
	})
	if err != nil {
		s.T.Fatal(err)
	}
	shown := enginetest.Page{Status: resp.Data[logical.HTTPStatusCode].(int), HTML: string(resp.Data[logical.HTTPRawBody].([]byte))}
	if !strings.Contains(shown.HTML, "Plain") {
		s.T.Errorf("the callback page does not name the provider:\n%s", shown.HTML)
	}
	s.Must(logical.UpdateOperation, "sessions/"+strings.SplitN(ref, "/", 2)[0]+"/"+begun["session_id"].(string)+"/complete", map[string]any{"actor": account, "connect_code": shown.ConnectCode(s.T)})
}

func values(q url.Values) map[string]any {
	data := map[string]any{}
	for name := range q {
		data[name] = q.Get(name)
	}
	return data
}

// after sweeps each minute until d has passed.
func (s *second) after(d time.Duration) {
	s.T.Helper()
	for end := s.Clock.Now().Add(d); s.Clock.Now().Before(end); {
		s.Clock.Advance(time.Minute)
		s.MustSweep()
	}
}

func (s *second) token(ref string) string {
	s.T.Helper()
	return s.Read("creds/" + ref)["access_token"].(string)
}

// works reports whether the server takes the access token.
func (s *second) works(token string) bool {
	s.T.Helper()
	r, _ := http.NewRequest(http.MethodPost, "https://plain.example.com/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("client", plainSecret)
	resp, err := s.server.Transport().RoundTrip(r)
	if err != nil {
		s.T.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	return strings.Contains(string(body), `"active":true`)
}

// checkRefreshTokens checks that no answer, log line or stored record shows a refresh
// token. It ends every test.
func (s *second) checkRefreshTokens() {
	s.T.Helper()
	var stored strings.Builder
	keys, err := s.Storage.Keys(context.Background(), "")
	if err != nil {
		s.T.Fatal(err)
	}
	for _, key := range keys {
		if entry, err := s.Storage.Get(context.Background(), key); err == nil && entry != nil {
			stored.WriteString(key)
			stored.Write(entry.Value)
		}
	}
	tokens := s.server.RefreshTokens()
	for _, token := range tokens {
		for where, text := range map[string]string{"an answer": s.answers.String(), "the log": s.Log.String(), "storage": stored.String()} {
			if strings.Contains(text, token) {
				s.T.Errorf("a refresh token stands in %s", where)
			}
		}
	}
	if len(tokens) == 0 {
		s.T.Error("there were no refresh tokens")
	}
}

func TestSecondProviderIsConfiguredAndVerified(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	config := s.Read("config/plain")
	if config["graph_version"] != "" || config["graph_url"] != "https://plain.example.com" || config["client_secret"] != nil {
		t.Errorf("the configuration reads %v", config)
	}
	if verified := s.Must(logical.UpdateOperation, "config/plain/verify", nil); verified["ok"] != true {
		t.Errorf("verified: %v", verified)
	}
	s.Must(logical.UpdateOperation, "config/plain", map[string]any{"client_secret": "wrong-secret-0123456789", "client_secret_overlap": 0})
	if verified := s.Must(logical.UpdateOperation, "config/plain/verify", nil); verified["ok"] != false {
		t.Errorf("with a wrong secret: %v", verified)
	}
	if versions := s.Read("info")["supported_api_versions"].(map[string][]string); len(versions) != 0 {
		t.Errorf("API versions: %v", versions)
	}
	s.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+plainUma, map[string]any{"grant": "device"})
	s.Refused("invalid_request", 400, logical.UpdateOperation, "connect/"+plainUma, map[string]any{"grant": "sdk"})
	s.Refused("not_found", 404, logical.ReadOperation, "config/facebook", nil)
	for _, path := range []string{"health", "metrics", "connections/" + plainUma, "accounts/plain/uma", "tenants/org_acme"} {
		s.Read(path)
	}
}

func TestRotatingRefreshTokensAreKeptForGenerations(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	served := map[string]bool{}
	for range 20 {
		s.after(30 * time.Minute)
		token := s.token(plainUma)
		if served[token] = true; !s.works(token) {
			t.Fatal("a token is served that does not work")
		}
	}
	if len(served) < 10 {
		t.Errorf("in ten hours %d tokens of an hour were served", len(served))
	}
	seen := s.Read("connections/" + plainUma)
	if seen["status"] != "active" || seen["consecutive_failures"] != 0 {
		t.Errorf("it is %v", seen)
	}
	if living := s.server.Living("uma"); living != 1 {
		t.Errorf("%d grants live", living)
	}
	for _, event := range s.Read("events")["events"].([]map[string]any) {
		if event["type"] == "connection.expiring" {
			t.Error("the end of an access token with a refresh token is announced")
		}
	}
}

// TestGrantThatAnotherConnectReplacedIsRevoked is about an access token that has expired
// when its readers have come back: the refresh token ends its grant.
func TestGrantThatAnotherConnectReplacedIsRevoked(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.connect(plainUma, "uma")
	if living := s.server.Living("uma"); living != 2 {
		t.Fatalf("%d grants live while the former has readers", living)
	}
	s.Restart()
	s.Clock.Advance(3 * time.Hour)
	s.MustSweep()
	if living := s.server.Living("uma"); living != 1 || !s.works(s.token(plainUma)) {
		t.Errorf("%d grants live", living)
	}
}

func TestReadRefreshesExpiredTokenByRefreshToken(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	former := s.token(plainUma)
	s.Clock.Advance(3 * time.Hour) // without a sweep
	if fresh := s.token(plainUma); fresh == former || !s.works(fresh) {
		t.Error("an expired token is not replaced by a read")
	}
	ended := s.token(plainUma)
	s.server.EndAccess(ended)
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if fresh := s.token(plainUma); fresh == ended || !s.works(fresh) {
		t.Error("a token that the provider ended early is not replaced by a read after a check")
	}
	s.server.EndAccess(s.token(plainUma))
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	generation := s.Read("connections/" + plainUma)["generation"]
	s.after(2 * time.Minute)
	if s.Read("connections/" + plainUma)["generation"] == generation {
		t.Error("a token that the provider ended early is not replaced by the sweep after a check")
	}
}

func TestSecondProvidersDeadGrantIsFound(t *testing.T) {
	for name, find := range map[string]func(*second){
		"by a check":   func(s *second) { s.Do(logical.UpdateOperation, "connections/"+plainUma+"/check", nil) },
		"by a refresh": func(s *second) { s.Do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil) },
		"by a sweep":   func(s *second) { s.after(time.Hour) },
		"by a read of an expired token": func(s *second) {
			s.Clock.Advance(3 * time.Hour)
			s.Do(logical.ReadOperation, "creds/"+plainUma, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecond(t, plain.Options{}, true)
			s.server.End("uma")
			find(s)
			s.Refused("needs_reauth", 409, logical.ReadOperation, "creds/"+plainUma, nil)
			s.token(plainInstallation)
			s.connect(plainUma, "uma")
			s.token(plainUma)
		})
	}
}

// TestDeadCredentialWithRefreshTokenIsAskedAboutAgain has a living refresh token be called
// dead, once.
func TestDeadCredentialWithRefreshTokenIsAskedAboutAgain(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Inject(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":"invalid_grant"}`)), Request: r}, nil
	})
	s.Refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.wire.Inject(nil)
	s.Refused("needs_reauth", 409, logical.ReadOperation, "creds/"+plainUma, nil)
	s.after(7 * time.Hour) // long after its access token has expired
	if !s.works(s.token(plainUma)) {
		t.Error("it does not come back")
	}
}

func TestOutageOfHoursCostsNoCredentialWithRefreshToken(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Inject(func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	s.after(9 * time.Hour)
	s.Refused("unavailable", 502, logical.ReadOperation, "creds/"+plainUma, nil)
	s.wire.Inject(nil)
	s.after(7 * time.Hour)
	for _, ref := range []string{plainInstallation, plainUma} {
		if !s.works(s.token(ref)) {
			t.Errorf("%s is served a dead token", ref)
		}
	}
}

// TestFirstErrorAfterLongDowntimeEndsNoCredential has the engine come back more than a week
// after the access tokens have expired, to a provider that does not answer at once.
func TestFirstErrorAfterLongDowntimeEndsNoCredential(t *testing.T) {
	for name, fault := range map[string]providertest.Fault{
		"a broken connection": func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, io.ErrUnexpectedEOF },
		"a rate limit": func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusTooManyRequests, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecond(t, plain.Options{}, true)
			s.Restart()
			s.Clock.Advance(8 * 24 * time.Hour)
			s.wire.Inject(fault)
			s.MustSweep()
			s.wire.Inject(nil)
			if status := s.Read("connections/" + plainUma)["status"]; status != "active" {
				t.Errorf("after one error it is %v", status)
			}
			s.after(3 * time.Hour)
			if !s.works(s.token(plainUma)) {
				t.Error("it is not refreshed")
			}
		})
	}
}

// TestCredentialThatAloneIsRefusedEndsAsFailed has one refresh token be refused for an
// unknown reason, while the provider works.
func TestCredentialThatAloneIsRefusedEndsAsFailed(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	fails := true
	s.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		if fails && strings.HasSuffix(r.URL.Path, "/token") {
			r2 := r.Clone(r.Context())
			r2.Header.Del("Authorization")
			return &http.Response{StatusCode: 418, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r2}, nil
		}
		return server.RoundTrip(r)
	})
	calls := s.wire.Requests()
	s.after(8 * time.Hour)
	if calls = s.wire.Requests() - calls; calls > 100 {
		t.Errorf("%d calls were made for two credentials in eight hours", calls)
	}
	if status := s.Read("connections/" + plainUma)["status"]; status != "active" {
		t.Fatalf("after hours it is %v", status)
	}
	for range 9 * 24 {
		s.Clock.Advance(time.Hour)
		s.MustSweep()
	}
	if status := s.Read("connections/" + plainUma)["status"]; status != "failed" {
		t.Fatalf("after more than a week it is %v", status)
	}
	fails = false
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	if !s.works(s.token(plainUma)) {
		t.Error("a refresh by hand does not bring it back")
	}
}

func TestDeleteRevokesGrantAtSecondProvider(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.connect(plainUma, "uma") // the former grant lives until its readers have come back
	if living := s.server.Living("uma"); living != 2 {
		t.Fatalf("%d grants live", living)
	}
	resp, err := s.Do(logical.DeleteOperation, "creds/"+plainUma, nil)
	if err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Fatalf("%v, %v", resp, err)
	}
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live", living)
	}
	s.Do(logical.DeleteOperation, "creds/"+plainInstallation, nil)
	s.after(5 * time.Minute)
	if living := s.server.Living("ada"); living != 0 {
		t.Errorf("%d grants of the installation live", living)
	}
	s.Refused("not_found", 404, logical.ReadOperation, "connections/"+plainInstallation, nil)
}

func TestDeleteSaysThatGrantLivesOn(t *testing.T) {
	for name, row := range map[string]struct {
		path  string
		after time.Duration
	}{
		"a user":       {"creds/" + plainUma, 0},
		"an account":   {"accounts/plain/uma", 0},
		"installation": {"creds/" + plainInstallation, 5 * time.Minute},
		"a tenant":     {"tenants/org_acme", 5 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecond(t, plain.Options{}, false)
			resp, err := s.Do(logical.DeleteOperation, row.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if warnings := fmt.Sprint(resp.Warnings); name != "a tenant" && !strings.Contains(warnings, "the grant lives on at Plain") {
				t.Errorf("the answer warns %s", warnings)
			}
			s.after(row.after)
			s.Refused("not_found", 404, logical.ReadOperation, "creds/"+plainUma, nil)
			if living := s.server.Living("uma"); living != 1 {
				t.Errorf("%d grants live", living)
			}
			events := fmt.Sprint(s.Read("events")["events"])
			if !strings.Contains(events, "connection.unrevoked") {
				t.Errorf("no event says so: %s", events)
			}
		})
	}
	s := newSecond(t, plain.Options{}, false)
	if resp, err := s.Do(logical.DeleteOperation, "creds/"+plainUma, map[string]any{"revoke": false}); err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Errorf("with revoke=false the answer is %v, %v", resp, err)
	}
}

// TestParkedTokenKeepsItsRefreshToken has the provider fail between the code and what it
// knows of the token.
func TestParkedTokenKeepsItsRefreshToken(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	begun := s.Must(logical.UpdateOperation, "connect/"+plainUma, map[string]any{"actor": "uma"})
	back, err := s.server.Authorize(begun["authorization_url"].(string), "uma")
	if err != nil {
		t.Fatal(err)
	}
	s.wire.Inject(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/introspect") {
			return nil, io.ErrUnexpectedEOF
		}
		return server.RoundTrip(r)
	})
	complete := "sessions/org_acme/" + begun["session_id"].(string) + "/complete"
	answer := map[string]any{"actor": "uma", "state": back.Query().Get("state"), "code": back.Query().Get("code")}
	s.Refused("unavailable", 502, logical.UpdateOperation, complete, answer)
	s.wire.Inject(nil)
	s.Restart()
	s.Must(logical.UpdateOperation, complete, answer)
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) || s.server.Living("uma") != 1 {
		t.Errorf("%d grants live, and the token works: %v", s.server.Living("uma"), s.works(s.token(plainUma)))
	}
}

func TestCodeThatSecondProviderRefusesEndsTheSession(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	begun := s.Must(logical.UpdateOperation, "connect/"+plainUma, map[string]any{"actor": "uma"})
	back, err := s.server.Authorize(begun["authorization_url"].(string), "uma")
	if err != nil {
		t.Fatal(err)
	}
	complete := "sessions/org_acme/" + begun["session_id"].(string) + "/complete"
	text := s.Refused("session_expired", 409, logical.UpdateOperation, complete, map[string]any{"actor": "uma", "state": back.Query().Get("state"), "code": "made-up"})
	if !strings.Contains(text, "begin again") {
		t.Errorf("the error is %s", text)
	}
}

// TestEventOfLivingGrantFollowsTheDelete has storage refuse deletes, twice.
func TestEventOfLivingGrantFollowsTheDelete(t *testing.T) {
	for _, ref := range []string{plainUma, plainInstallation} {
		s := newSecond(t, plain.Options{}, false)
		s.Storage.Fail(func(_ int, op storagetest.Operation) error {
			if strings.HasPrefix(op.Key, "cred/"+ref) && op.Verb == "delete" || strings.HasPrefix(op.Key, "tenant/") && op.Verb == "put" {
				return errors.New("storage is down")
			}
			return nil
		})
		for range 2 {
			if _, err := s.Do(logical.DeleteOperation, "creds/"+ref, nil); err == nil {
				t.Errorf("%s is deleted although storage is down", ref)
			}
		}
		s.Storage.Reset()
		if events := fmt.Sprint(s.Read("events")["events"]); strings.Contains(events, "connection.unrevoked") {
			t.Errorf("of %s, which is not deleted, an event says so", ref)
		}
		s.Must(logical.DeleteOperation, "creds/"+ref, nil)
		s.after(5 * time.Minute)
		if events := fmt.Sprint(s.Read("events")["events"]); strings.Count(events, "connection.unrevoked") == 0 {
			t.Errorf("no event says that the grant of %s lives on", ref)
		}
	}
}

func TestKeyRotationKeepsRefreshTokens(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.connect(plainUma, "uma")
	for range 3 {
		s.Must(logical.UpdateOperation, "tenants/org_acme/rotate", nil)
		s.after(2 * time.Hour)
		s.Restart()
		if !s.works(s.token(plainUma)) {
			t.Fatal("the credential does not survive a rotation of keys")
		}
	}
	s.Must(logical.DeleteOperation, "creds/"+plainUma, nil)
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live", living)
	}
}

func TestRefreshComesNotBeforeItsTime(t *testing.T) {
	s := newSecond(t, plain.Options{NotBefore: 55 * time.Minute}, true)
	former, calls := s.token(plainUma), s.server.Count("token")
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	questions := s.server.Count("introspect")
	s.Must(logical.ReadOperation, "creds/"+plainUma, map[string]any{"min_ttl": "61m"})
	s.after(50 * time.Minute)
	if extra := s.server.Count("token") - calls; extra != 0 || s.token(plainUma) != former {
		t.Errorf("%d refreshes came too early", extra)
	}
	if extra := s.server.Count("introspect") - questions; extra != 0 {
		t.Errorf("%d times the provider was asked about a token that nothing is due for", extra)
	}
	s.after(8 * time.Minute)
	if fresh := s.token(plainUma); fresh == former || !s.works(fresh) {
		t.Error("it is not refreshed in time")
	}
	if seen := s.Read("connections/" + plainUma); seen["consecutive_failures"] != 0 {
		t.Errorf("it has failed: %v", seen["last_error"])
	}
}

func TestSameTokenWithLaterEndCountsAsRefreshed(t *testing.T) {
	s := newSecond(t, plain.Options{SameToken: true}, true)
	former := s.token(plainUma)
	s.after(10 * time.Hour)
	if token := s.token(plainUma); token != former || !s.works(token) {
		t.Error("the token was not extended")
	}
	history := fmt.Sprint(s.Read("connections/" + plainUma)["history"])
	if !strings.Contains(history, "refreshed") || strings.Contains(history, "not_extended") {
		t.Errorf("its history is %s", history)
	}
}

// TestTokenWithoutExpiresInIsRefreshedAsTheOneBefore has the answers to refreshes leave out
// expires_in, which RFC 6749 only recommends.
func TestTokenWithoutExpiresInIsRefreshedAsTheOneBefore(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Inject(without("expires_in"))
	for hour := range 12 {
		s.after(time.Hour)
		if !s.works(s.token(plainUma)) {
			t.Fatalf("in hour %d a dead token is served", hour)
		}
	}
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if !s.works(s.token(plainUma)) {
		t.Error("after a check a dead token is served")
	}
	s.server.EndAccess(s.token(plainUma))
	s.Must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	calls := s.server.Count("token")
	for range 60 {
		s.after(time.Minute)
		if !s.works(s.token(plainUma)) {
			t.Fatal("after an early end a dead token is served")
		}
	}
	if calls = s.server.Count("token") - calls; calls > 20 {
		t.Errorf("%d refreshes were made in an hour", calls)
	}
}

// without returns a fault that removes a field from the answers of the token endpoint.
func without(field string) providertest.Fault {
	return func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		resp, err := server.RoundTrip(r)
		if err != nil || r.URL.Path != "/token" {
			return resp, err
		}
		var body map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&body); err != nil {
			return nil, err
		}
		delete(body, field)
		text, err := json.Marshal(body)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		resp.Header.Del("Content-Length")
		return resp, err
	}
}

func TestImportedTokenWithoutRefreshTokenLivesToItsEnd(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	token := s.token(plainUma)
	s.Must(logical.UpdateOperation, "config/plain", map[string]any{"require_installation": false})
	s.Must(logical.UpdateOperation, "creds/"+plainUdo, map[string]any{"access_token": token})
	if s.token(plainUdo) != token {
		t.Error("the token is not imported")
	}
	s.Clock.Advance(2 * time.Hour)
	s.MustSweep()
	if resp, err := s.Do(logical.ReadOperation, "creds/"+plainUdo, nil); err == nil {
		t.Errorf("an expired token is served: %v", resp)
	}
}
