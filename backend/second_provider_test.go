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
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
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
// line in restart.
type second struct {
	*backend.Backend
	t       testing.TB
	storage *storagetest.Storage
	clock   *authpipetest.Clock
	server  *plain.Server
	wire    *providertest.Wire
	revokes bool
	log     *strings.Builder
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
	s := &second{
		t: t, storage: storagetest.New(), clock: clock, server: plain.NewServer(o), wire: &providertest.Wire{}, revokes: revokes, log: &strings.Builder{},
	}
	s.server.AddClient("client", plainSecret, enginetest.MountURL+"/callback/plain")
	s.wire.Connect(s.server.Transport())
	s.restart()
	t.Cleanup(s.checkRefreshTokens)
	s.must(logical.UpdateOperation, "config/plain", map[string]any{
		"client_id": "client", "client_secret": plainSecret, "redirect_uris": enginetest.MountURL + "/callback/plain", "installation_scopes": "mail:read,profile",
	})
	s.connect(plainInstallation, "ada")
	s.connect(plainUma, "uma")
	return s
}

// restart drops the engine as a crash would and makes another over the same storage.
func (s *second) restart() {
	s.t.Helper()
	s.storage.Reset()
	b, err := backend.New(context.Background(), &logical.BackendConfig{
		StorageView: s.storage, System: enginetest.SystemView(), Logger: hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: s.log}),
	}, backend.Options{Now: s.clock.Now, Transport: s.wire, Build: enginetest.Build, Providers: map[string]backend.Dialect{
		"plain": func(transport http.RoundTripper, now func() time.Time) provider.Provider {
			if s.revokes {
				return plain.NewRevoking(transport, now)
			}
			return plain.New(transport, now)
		},
	}})
	if err != nil {
		s.t.Fatalf("making the engine: %v", err)
	}
	s.Backend = b
}

// HandleRequest makes a request as Vault does; the answer is checked against its schema.
func (s *second) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	return (&enginetest.Engine{Backend: s.Backend, T: s.t}).HandleRequest(ctx, req)
}

func (s *second) do(op logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	resp, err := s.HandleRequest(context.Background(), &logical.Request{
		Operation: op, Path: path, Data: data, Storage: s.storage, EntityID: "entity-1", DisplayName: "token-app",
	})
	text, _ := json.Marshal(resp)
	fmt.Fprintln(&s.answers, path, string(text), err)
	return resp, err
}

func (s *second) must(op logical.Operation, path string, data map[string]any) map[string]any {
	s.t.Helper()
	resp, err := s.do(op, path, data)
	if err != nil {
		s.t.Fatalf("%s %s: %v", op, path, err)
	}
	if resp == nil {
		return nil
	}
	return resp.Data
}

func (s *second) read(path string) map[string]any {
	s.t.Helper()
	return s.must(logical.ReadOperation, path, nil)
}

func (s *second) refused(code string, status int, op logical.Operation, path string, data map[string]any) string {
	s.t.Helper()
	resp, err := s.do(op, path, data)
	if err == nil {
		s.t.Fatalf("%s %s was answered %v, want %s", op, path, resp, code)
	}
	enginetest.CheckCode(s.t, err, code, status)
	return err.Error()
}

// connect runs a whole session.
func (s *second) connect(ref, account string) {
	s.t.Helper()
	begun := s.must(logical.UpdateOperation, "connect/"+ref, map[string]any{"actor": account})
	back, err := s.server.Authorize(begun["authorization_url"].(string), account)
	if err != nil {
		s.t.Fatal(err)
	}
	resp, err := s.HandleRequest(context.Background(), &logical.Request{
		Operation: logical.ReadOperation, Path: "callback/plain", Data: values(back.Query()), Storage: s.storage, Unauthenticated: true,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	shown := enginetest.Page{Status: resp.Data[logical.HTTPStatusCode].(int), HTML: string(resp.Data[logical.HTTPRawBody].([]byte))}
	if !strings.Contains(shown.HTML, "Plain") {
		s.t.Errorf("the callback page does not name the provider:\n%s", shown.HTML)
	}
	s.must(logical.UpdateOperation, "sessions/"+strings.SplitN(ref, "/", 2)[0]+"/"+begun["session_id"].(string)+"/complete", map[string]any{"actor": account, "connect_code": shown.ConnectCode(s.t)})
}

func values(q url.Values) map[string]any {
	data := map[string]any{}
	for name := range q {
		data[name] = q.Get(name)
	}
	return data
}

func (s *second) sweep() {
	s.t.Helper()
	if err := s.Sweep(context.Background()); err != nil {
		s.t.Fatalf("sweeping: %v", err)
	}
}

// after sweeps each minute until d has passed.
func (s *second) after(d time.Duration) {
	s.t.Helper()
	for end := s.clock.Now().Add(d); s.clock.Now().Before(end); {
		s.clock.Advance(time.Minute)
		s.sweep()
	}
}

func (s *second) token(ref string) string {
	s.t.Helper()
	return s.read("creds/" + ref)["access_token"].(string)
}

// works reports whether the server takes the access token.
func (s *second) works(token string) bool {
	s.t.Helper()
	r, _ := http.NewRequest(http.MethodPost, "https://plain.example.com/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("client", plainSecret)
	resp, err := s.server.Transport().RoundTrip(r)
	if err != nil {
		s.t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	return strings.Contains(string(body), `"active":true`)
}

// checkRefreshTokens checks that no answer, log line or stored record shows a refresh
// token. It ends every test.
func (s *second) checkRefreshTokens() {
	s.t.Helper()
	var stored strings.Builder
	keys, err := s.storage.Keys(context.Background(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, key := range keys {
		if entry, err := s.storage.Get(context.Background(), key); err == nil && entry != nil {
			stored.WriteString(key)
			stored.Write(entry.Value)
		}
	}
	tokens := s.server.RefreshTokens()
	for _, token := range tokens {
		for where, text := range map[string]string{"an answer": s.answers.String(), "the log": s.log.String(), "storage": stored.String()} {
			if strings.Contains(text, token) {
				s.t.Errorf("a refresh token stands in %s", where)
			}
		}
	}
	if len(tokens) == 0 {
		s.t.Error("there were no refresh tokens")
	}
}

func TestSecondProviderIsConfiguredAndVerified(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	config := s.read("config/plain")
	if config["graph_version"] != "" || config["graph_url"] != "https://plain.example.com" || config["client_secret"] != nil {
		t.Errorf("the configuration reads %v", config)
	}
	if verified := s.must(logical.UpdateOperation, "config/plain/verify", nil); verified["ok"] != true {
		t.Errorf("verified: %v", verified)
	}
	s.must(logical.UpdateOperation, "config/plain", map[string]any{"client_secret": "wrong-secret-0123456789", "client_secret_overlap": 0})
	if verified := s.must(logical.UpdateOperation, "config/plain/verify", nil); verified["ok"] != false {
		t.Errorf("with a wrong secret: %v", verified)
	}
	if versions := s.read("info")["supported_api_versions"].(map[string][]string); len(versions) != 0 {
		t.Errorf("API versions: %v", versions)
	}
	s.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+plainUma, map[string]any{"grant": "device"})
	s.refused("invalid_request", 400, logical.UpdateOperation, "connect/"+plainUma, map[string]any{"grant": "sdk"})
	s.refused("not_found", 404, logical.ReadOperation, "config/facebook", nil)
	for _, path := range []string{"health", "metrics", "connections/" + plainUma, "accounts/plain/uma", "tenants/org_acme"} {
		s.read(path)
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
	seen := s.read("connections/" + plainUma)
	if seen["status"] != "active" || seen["consecutive_failures"] != 0 {
		t.Errorf("it is %v", seen)
	}
	if living := s.server.Living("uma"); living != 1 {
		t.Errorf("%d grants live", living)
	}
	for _, event := range s.read("events")["events"].([]map[string]any) {
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
	s.restart()
	s.clock.Advance(3 * time.Hour)
	s.sweep()
	if living := s.server.Living("uma"); living != 1 || !s.works(s.token(plainUma)) {
		t.Errorf("%d grants live", living)
	}
}

func TestReadRefreshesExpiredTokenByRefreshToken(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	former := s.token(plainUma)
	s.clock.Advance(3 * time.Hour) // without a sweep
	if fresh := s.token(plainUma); fresh == former || !s.works(fresh) {
		t.Error("an expired token is not replaced by a read")
	}
	ended := s.token(plainUma)
	s.server.EndAccess(ended)
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if fresh := s.token(plainUma); fresh == ended || !s.works(fresh) {
		t.Error("a token that the provider ended early is not replaced by a read after a check")
	}
	s.server.EndAccess(s.token(plainUma))
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	generation := s.read("connections/" + plainUma)["generation"]
	s.after(2 * time.Minute)
	if s.read("connections/" + plainUma)["generation"] == generation {
		t.Error("a token that the provider ended early is not replaced by the sweep after a check")
	}
}

func TestSecondProvidersDeadGrantIsFound(t *testing.T) {
	for name, find := range map[string]func(*second){
		"by a check":   func(s *second) { s.do(logical.UpdateOperation, "connections/"+plainUma+"/check", nil) },
		"by a refresh": func(s *second) { s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil) },
		"by a sweep":   func(s *second) { s.after(time.Hour) },
		"by a read of an expired token": func(s *second) {
			s.clock.Advance(3 * time.Hour)
			s.do(logical.ReadOperation, "creds/"+plainUma, nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecond(t, plain.Options{}, true)
			s.server.End("uma")
			find(s)
			s.refused("needs_reauth", 409, logical.ReadOperation, "creds/"+plainUma, nil)
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
	s.wire.Strike(func(r *http.Request, _ http.RoundTripper) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusBadRequest, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":"invalid_grant"}`)), Request: r}, nil
	})
	s.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.wire.Strike(nil)
	s.refused("needs_reauth", 409, logical.ReadOperation, "creds/"+plainUma, nil)
	s.after(7 * time.Hour) // long after its access token has expired
	if !s.works(s.token(plainUma)) {
		t.Error("it does not come back")
	}
}

func TestOutageOfHoursCostsNoCredentialWithRefreshToken(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Strike(func(*http.Request, http.RoundTripper) (*http.Response, error) { return nil, io.ErrUnexpectedEOF })
	s.after(9 * time.Hour)
	s.refused("unavailable", 502, logical.ReadOperation, "creds/"+plainUma, nil)
	s.wire.Strike(nil)
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
			s.restart()
			s.clock.Advance(8 * 24 * time.Hour)
			s.wire.Strike(fault)
			s.sweep()
			s.wire.Strike(nil)
			if status := s.read("connections/" + plainUma)["status"]; status != "active" {
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
	strike := true
	s.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		if strike && strings.HasSuffix(r.URL.Path, "/token") {
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
	if status := s.read("connections/" + plainUma)["status"]; status != "active" {
		t.Fatalf("after hours it is %v", status)
	}
	for range 9 * 24 {
		s.clock.Advance(time.Hour)
		s.sweep()
	}
	if status := s.read("connections/" + plainUma)["status"]; status != "failed" {
		t.Fatalf("after more than a week it is %v", status)
	}
	strike = false
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
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
	resp, err := s.do(logical.DeleteOperation, "creds/"+plainUma, nil)
	if err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Fatalf("%v, %v", resp, err)
	}
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live", living)
	}
	s.do(logical.DeleteOperation, "creds/"+plainInstallation, nil)
	s.after(5 * time.Minute)
	if living := s.server.Living("ada"); living != 0 {
		t.Errorf("%d grants of the installation live", living)
	}
	s.refused("not_found", 404, logical.ReadOperation, "connections/"+plainInstallation, nil)
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
			resp, err := s.do(logical.DeleteOperation, row.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if warnings := fmt.Sprint(resp.Warnings); name != "a tenant" && !strings.Contains(warnings, "the grant lives on at Plain") {
				t.Errorf("the answer warns %s", warnings)
			}
			s.after(row.after)
			s.refused("not_found", 404, logical.ReadOperation, "creds/"+plainUma, nil)
			if living := s.server.Living("uma"); living != 1 {
				t.Errorf("%d grants live", living)
			}
			events := fmt.Sprint(s.read("events")["events"])
			if !strings.Contains(events, "connection.unrevoked") {
				t.Errorf("no event says so: %s", events)
			}
		})
	}
	s := newSecond(t, plain.Options{}, false)
	if resp, err := s.do(logical.DeleteOperation, "creds/"+plainUma, map[string]any{"revoke": false}); err != nil || resp != nil && len(resp.Warnings) > 0 {
		t.Errorf("with revoke=false the answer is %v, %v", resp, err)
	}
}

// TestParkedTokenKeepsItsRefreshToken has the provider fail between the code and what it
// knows of the token.
func TestParkedTokenKeepsItsRefreshToken(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	begun := s.must(logical.UpdateOperation, "connect/"+plainUma, map[string]any{"actor": "uma"})
	back, err := s.server.Authorize(begun["authorization_url"].(string), "uma")
	if err != nil {
		t.Fatal(err)
	}
	s.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/introspect") {
			return nil, io.ErrUnexpectedEOF
		}
		return server.RoundTrip(r)
	})
	complete := "sessions/org_acme/" + begun["session_id"].(string) + "/complete"
	answer := map[string]any{"actor": "uma", "state": back.Query().Get("state"), "code": back.Query().Get("code")}
	s.refused("unavailable", 502, logical.UpdateOperation, complete, answer)
	s.wire.Strike(nil)
	s.restart()
	s.must(logical.UpdateOperation, complete, answer)
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) || s.server.Living("uma") != 1 {
		t.Errorf("%d grants live, and the token works: %v", s.server.Living("uma"), s.works(s.token(plainUma)))
	}
}

func TestCodeThatSecondProviderRefusesEndsTheSession(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	begun := s.must(logical.UpdateOperation, "connect/"+plainUma, map[string]any{"actor": "uma"})
	back, err := s.server.Authorize(begun["authorization_url"].(string), "uma")
	if err != nil {
		t.Fatal(err)
	}
	complete := "sessions/org_acme/" + begun["session_id"].(string) + "/complete"
	text := s.refused("session_expired", 409, logical.UpdateOperation, complete, map[string]any{"actor": "uma", "state": back.Query().Get("state"), "code": "made-up"})
	if !strings.Contains(text, "begin again") {
		t.Errorf("the error is %s", text)
	}
}

// TestEventOfLivingGrantFollowsTheDelete has storage refuse deletes, twice.
func TestEventOfLivingGrantFollowsTheDelete(t *testing.T) {
	for _, ref := range []string{plainUma, plainInstallation} {
		s := newSecond(t, plain.Options{}, false)
		s.storage.Fail(func(_ int, op storagetest.Operation) error {
			if strings.HasPrefix(op.Key, "cred/"+ref) && op.Verb == "delete" || strings.HasPrefix(op.Key, "tenant/") && op.Verb == "put" {
				return errors.New("storage is down")
			}
			return nil
		})
		for range 2 {
			if _, err := s.do(logical.DeleteOperation, "creds/"+ref, nil); err == nil {
				t.Errorf("%s is deleted although storage is down", ref)
			}
		}
		s.storage.Reset()
		if events := fmt.Sprint(s.read("events")["events"]); strings.Contains(events, "connection.unrevoked") {
			t.Errorf("of %s, which is not deleted, an event says so", ref)
		}
		s.must(logical.DeleteOperation, "creds/"+ref, nil)
		s.after(5 * time.Minute)
		if events := fmt.Sprint(s.read("events")["events"]); strings.Count(events, "connection.unrevoked") == 0 {
			t.Errorf("no event says that the grant of %s lives on", ref)
		}
	}
}

func TestKeyRotationKeepsRefreshTokens(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.connect(plainUma, "uma")
	for range 3 {
		s.must(logical.UpdateOperation, "tenants/org_acme/rotate", nil)
		s.after(2 * time.Hour)
		s.restart()
		if !s.works(s.token(plainUma)) {
			t.Fatal("the credential does not survive a rotation of keys")
		}
	}
	s.must(logical.DeleteOperation, "creds/"+plainUma, nil)
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live", living)
	}
}

// TestCrashBetweenAnswerAndStore kills the engine at each storage operation of a sweep that
// refreshes. The provider accepts the second use of a refresh token for a while, and the
// engine is back within it.
func TestCrashBetweenAnswerAndStore(t *testing.T) {
	for _, afterEffect := range []bool{false, true} {
		for n := 1; ; n++ {
			s := newSecond(t, plain.Options{Grace: 5 * time.Minute}, true)
			s.clock.Advance(50 * time.Minute)
			s.storage.DieAt(n, afterEffect)
			_ = s.Sweep(context.Background())
			died := len(s.storage.Operations()) >= n
			s.restart()
			s.after(2 * time.Minute)
			for _, ref := range []string{plainInstallation, plainUma} {
				if token, err := s.do(logical.ReadOperation, "creds/"+ref, nil); err != nil || !s.works(token.Data["access_token"].(string)) {
					t.Errorf("killed at operation %d (after its effect: %v), %s: %v", n, afterEffect, ref, err)
				}
			}
			if !died {
				break
			}
		}
	}
}

// TestFreshTokenThatStorageDoesNotTakeIsHeld has each write of a sweep that refreshes fail,
// one after the other, at a provider that accepts no second use of a refresh token.
func TestFreshTokenThatStorageDoesNotTakeIsHeld(t *testing.T) {
	down := errors.New("storage is down")
	for name, fail := range map[string]func(n int, op storagetest.Operation) error{
		"records cannot be written": func(_ int, op storagetest.Operation) error {
			if strings.HasPrefix(op.Key, "cred/") && op.Verb == "put" {
				return down
			}
			return nil
		},
		"nothing can be written": func(_ int, op storagetest.Operation) error {
			if op.Verb != "get" && op.Verb != "list" {
				return down
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSecond(t, plain.Options{}, true)
			former := s.token(plainUma)
			s.clock.Advance(50 * time.Minute)
			s.storage.Fail(fail)
			for range 5 {
				_ = s.Sweep(context.Background())
				s.clock.Advance(time.Minute)
				s.do(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
				s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
			}
			calls := s.server.Count("token")
			s.storage.Reset()
			s.server.EndAccess(former)
			s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil) // about the token that is held
			s.sweep()
			if extra := s.server.Count("token") - calls; extra != 0 {
				t.Errorf("%d refreshes were made of tokens that are held", extra)
			}
			for _, ref := range []string{plainInstallation, plainUma} {
				if seen := s.read("connections/" + ref); seen["status"] != "active" || !s.works(s.token(ref)) {
					t.Errorf("%s is %v", ref, seen["status"])
				}
			}
			s.restart()
			s.after(3 * time.Hour)
			if !s.works(s.token(plainUma)) {
				t.Error("the refresh token that was stored is not the last")
			}
		})
	}
}

func TestHeldTokenOfDeletedCredentialIsRevoked(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.clock.Advance(50 * time.Minute)
	s.refuseRecord(plainUma)
	_ = s.Sweep(context.Background())
	s.must(logical.DeleteOperation, "creds/"+plainUma, map[string]any{"revoke": false})
	s.storage.Reset()
	s.after(time.Hour)
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live that no record has", living)
	}
}

// refuseRecord has storage refuse each write of the credential's record until Reset.
func (s *second) refuseRecord(ref string) {
	s.storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "cred/"+ref) && op.Verb == "put" {
			return errors.New("storage is down")
		}
		return nil
	})
}

// TestHeldTokenIsStoredByNextSweep has a refresh by hand, long before one is due.
func TestHeldTokenIsStoredByNextSweep(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	generation := s.read("connections/" + plainUma)["generation"]
	s.refuseRecord(plainUma)
	s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.storage.Reset()
	s.sweep()
	if s.read("connections/" + plainUma)["generation"] == generation {
		t.Error("a sweep with nothing due does not store the token that is held")
	}
	s.restart()
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("the refresh token that was stored is not the last")
	}
}

func TestAnswerWithoutFreshTokensIsNotHeld(t *testing.T) {
	s := newSecond(t, plain.Options{SameToken: true}, true)
	s.wire.Strike(without("refresh_token"))
	s.refuseRecord(plainUma)
	s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.storage.Reset()
	if strings.Contains(s.log.String(), "held in memory") {
		t.Error("an answer that the provider gives again is held")
	}
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("it is not refreshed any more")
	}
}

// TestHeldTokenSurvivesPanicOfStorage has storage panic at the second try to store a token.
func TestHeldTokenSurvivesPanicOfStorage(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	generation := s.read("connections/" + plainUma)["generation"]
	s.refuseRecord(plainUma)
	s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.storage.Fail(func(_ int, op storagetest.Operation) error {
		if strings.HasPrefix(op.Key, "cred/"+plainUma) && op.Verb == "put" {
			panic("storage is broken")
		}
		return nil
	})
	s.sweep()
	s.storage.Reset()
	s.sweep()
	if s.read("connections/" + plainUma)["generation"] == generation {
		t.Error("the token that was held is lost")
	}
}

func TestNoRefreshBeginsAfterShutdown(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	calls := s.wire.Requests()
	s.Cleanup(context.Background())
	for _, call := range []string{"refresh", "check"} {
		s.refused("unavailable", 502, logical.UpdateOperation, "connections/"+plainUma+"/"+call, nil)
	}
	if !s.works(s.token(plainUma)) {
		t.Error("a living token is not served")
	}
	if extra := s.wire.Requests() - calls; extra > 0 {
		t.Errorf("%d requests were sent after the shutdown", extra)
	}
}

func TestHeldTokenIsStoredAtShutdown(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.refuseRecord(plainUma)
	s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.storage.Reset()
	s.Cleanup(context.Background())
	s.restart()
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("a fresh token that was held at the shutdown is lost")
	}
}

func TestShutdownReportsHeldTokenThatStorageDoesNotTake(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.refuseRecord(plainUma)
	s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	s.Cleanup(context.Background())
	if !strings.Contains(s.log.String(), "could not be stored before the shutdown") {
		t.Error("the log does not say that a fresh token is lost")
	}
}

func TestRefreshUnderWayAtShutdownIsStored(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	arrived, shuttingDown, answer := make(chan string, 2), make(chan struct{}), make(chan struct{})
	s.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		arrived <- r.URL.Path
		if r.URL.Path == "/introspect" {
			<-r.Context().Done() // it ends with the mount
			close(shuttingDown)
			return nil, r.Context().Err()
		}
		resp, err := server.RoundTrip(r) // the refresh token is spent
		select {
		case <-answer:
			return resp, err
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	})
	for _, path := range []string{"connections/" + plainInstallation + "/check", "connections/" + plainUma + "/refresh"} {
		go s.HandleRequest(context.Background(), &logical.Request{Operation: logical.UpdateOperation, Path: path, Storage: s.storage})
	}
	<-arrived
	<-arrived
	s.wire.Strike(nil)
	ended := make(chan struct{})
	go func() {
		s.Cleanup(context.Background())
		close(ended)
	}()
	<-shuttingDown
	select {
	case <-ended:
		t.Error("the engine does not wait for a refresh token that was sent")
	default:
	}
	close(answer)
	<-ended
	s.restart()
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("a refresh token that came while the engine was shut down is lost")
	}
}

func TestFreshTokenOfDeletedCredentialIsRevoked(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		resp, err := server.RoundTrip(r)
		s.wire.Strike(nil)
		s.must(logical.DeleteOperation, "creds/"+plainUma, map[string]any{"revoke": false})
		return resp, err
	})
	s.refused("not_found", 404, logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	if living := s.server.Living("uma"); living != 0 {
		t.Errorf("%d grants live that no record has", living)
	}
}

// TestRefreshOutweighsCheckThatMetTheSpentTokens has a check come between the provider's
// answer to a refresh and the engine's put.
func TestRefreshOutweighsCheckThatMetTheSpentTokens(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	former := s.token(plainUma)
	s.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		resp, err := server.RoundTrip(r)
		s.wire.Strike(nil)
		s.server.EndAccess(former)
		s.refused("needs_reauth", 409, logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
		return resp, err
	})
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	if living := s.server.Living("uma"); living != 1 || !s.works(s.token(plainUma)) {
		t.Errorf("%d grants live", living)
	}
	if status := s.read("connections/" + plainUma)["status"]; status != "active" {
		t.Errorf("it is %v", status)
	}
	s.after(3 * time.Hour)
	if !s.works(s.token(plainUma)) {
		t.Error("it is not refreshed any more")
	}
}

// TestCheckDoesNotJudgeTokenWhoseSuccessorIsHeld has storage take no record between the
// beginning of a check and its verdict, when a refresh is made.
func TestCheckDoesNotJudgeTokenWhoseSuccessorIsHeld(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	former := s.token(plainUma)
	s.wire.Strike(func(r *http.Request, server http.RoundTripper) (*http.Response, error) {
		s.wire.Strike(nil)
		s.refuseRecord(plainUma)
		s.do(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
		s.storage.Reset()
		s.server.EndAccess(former)
		return server.RoundTrip(r)
	})
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if status := s.read("connections/" + plainUma)["status"]; status != "active" {
		t.Errorf("it is %v", status)
	}
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if !s.works(s.token(plainUma)) {
		t.Error("the token that was held is lost")
	}
}

func TestRefreshComesNotBeforeItsTime(t *testing.T) {
	s := newSecond(t, plain.Options{NotBefore: 55 * time.Minute}, true)
	former, calls := s.token(plainUma), s.server.Count("token")
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/refresh", nil)
	questions := s.server.Count("introspect")
	s.must(logical.ReadOperation, "creds/"+plainUma, map[string]any{"min_ttl": "61m"})
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
	if seen := s.read("connections/" + plainUma); seen["consecutive_failures"] != 0 {
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
	history := fmt.Sprint(s.read("connections/" + plainUma)["history"])
	if !strings.Contains(history, "refreshed") || strings.Contains(history, "not_extended") {
		t.Errorf("its history is %s", history)
	}
}

// TestTokenWithoutExpiresInIsRefreshedAsTheOneBefore has the answers to refreshes leave out
// expires_in, which RFC 6749 only recommends.
func TestTokenWithoutExpiresInIsRefreshedAsTheOneBefore(t *testing.T) {
	s := newSecond(t, plain.Options{}, true)
	s.wire.Strike(without("expires_in"))
	for hour := range 12 {
		s.after(time.Hour)
		if !s.works(s.token(plainUma)) {
			t.Fatalf("in hour %d a dead token is served", hour)
		}
	}
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
	if !s.works(s.token(plainUma)) {
		t.Error("after a check a dead token is served")
	}
	s.server.EndAccess(s.token(plainUma))
	s.must(logical.UpdateOperation, "connections/"+plainUma+"/check", nil)
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
	s.must(logical.UpdateOperation, "config/plain", map[string]any{"require_installation": false})
	s.must(logical.UpdateOperation, "creds/"+plainUdo, map[string]any{"access_token": token})
	if s.token(plainUdo) != token {
		t.Error("the token is not imported")
	}
	s.clock.Advance(2 * time.Hour)
	s.sweep()
	if resp, err := s.do(logical.ReadOperation, "creds/"+plainUdo, nil); err == nil {
		t.Errorf("an expired token is served: %v", resp)
	}
}
