package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

var update = flag.Bool("update", false, "write the golden files anew")

var (
	noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)
	uma  = tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: "uma"}
)

func newStore() (*store.Store, *storagetest.Storage, *authpipetest.Clock) {
	storage, clock := storagetest.New(), authpipetest.NewClock(noon)
	return store.New(store.Options{Storage: storage, Now: clock.Now}), storage, clock
}

func credential() store.Credential {
	return store.Credential{
		Birth: "birth", Generation: 3, Revision: 4, Status: store.Active,
		Token: oauth.Token{
			AccessToken: oauth.NewSecret("EAABtoken"), Type: "bearer", Account: "900", Kind: "SYSTEM_USER", Business: "5566", Scopes: []string{"email"},
			Granular: []oauth.GranularScope{{Scope: "pages_show_list", Targets: []string{"777"}}},
			IssuedAt: noon, ExpiresAt: noon.Add(60 * 24 * time.Hour), DataAccessExpiresAt: noon.Add(90 * 24 * time.Hour),
		},
		AskedScopes: []string{"email", "public_profile"},
		ConnectedAt: noon, ConnectedBy: store.Caller{Actor: "uma", EntityID: "e", DisplayName: "d"}, Session: "s",
		RefreshedAt: noon, CheckedAt: noon,
		NextRefresh: noon.Add(40 * 24 * time.Hour), NextCheck: noon.Add(20 * time.Hour),
		RetryAt: noon.Add(time.Hour), AskedAt: noon, Exhausted: true,
		LastError:           &store.Failure{Class: "transient", Code: 2, Subcode: 1, Message: "m", TraceID: "t", At: noon},
		ConsecutiveFailures: 1, FailingSince: noon,
		Page: &store.Page{Name: "n", Tasks: []string{"t"}, Birth: "b", Generation: 2}, PagesAt: 3,
		History: []store.Outcome{{At: noon, Event: "connected"}, {At: noon, Event: "refresh_failed", Reason: "m"}},
	}
}

func session() store.Session {
	return store.Session{
		ID: "id", Ref: uma, Actor: "uma", Status: store.SessionAuthorized, CreatedAt: noon, ExpiresAt: noon.Add(10 * time.Minute),
		RedirectURI: "https://e/cb", ReturnURL: "https://e/r", Scopes: []string{"email"}, Completion: "confirm", AllowAccountChange: true,
		StartedBy: store.Caller{Actor: "uma"}, Verifier: oauth.NewSecret("verifier"), Nonce: oauth.NewSecret("nonce"), ConnectKey: oauth.NewSecret("key"), Code: oauth.NewSecret("AQcode"),
		Token:  oauth.Token{AccessToken: oauth.NewSecret("EAABparked"), Type: "bearer", ExpiryUnknown: true, IssuedAt: noon},
		Device: true, PollAt: noon, Interval: 5 * time.Second,
		CallbackHash: []byte("callback"), ConnectCodeHash: []byte("connect"), WrongTries: 2,
	}
}

func config() store.Config {
	no, interval := false, 12*time.Hour
	return store.Config{
		ClientID: "123", ClientSecret: oauth.NewSecret("SEC"), RedirectURIs: []string{"https://e/cb"}, PublicURL: "https://e", ReturnURLs: []string{"https://e/r"},
		InstallationScopes: []string{"a"}, UserScopes: []string{"b"}, APIVersion: "v26.0", PKCE: "auto", Completion: "confirm",
		ClientSecretOverlap: &interval, ClientToken: oauth.NewSecret("CT"), InstallationConfig: "31", UserConfig: "32", FormerSecret: oauth.NewSecret("OLD"), FormerSecretUntil: noon.Add(time.Hour), FormerAccepted: true,
		RequireInstallation: &no, SessionTTL: time.Minute, CheckInterval: &interval, Enabled: &no, AuthorizationBase: "https://d", APIBase: "https://g",
	}
}

func put(t *testing.T, s *store.Store, ref tenant.Ref, c store.Credential) store.Credential {
	t.Helper()
	c, err := s.Credentials.Update(t.Context(), ref, func(*store.Credential) (store.Credential, error) { return c, nil })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRecordsAtRest writes one record of each kind and reads it back from the
// bytes of the first release, which testdata keeps: later versions of the
// engine must still read them.
func TestRecordsAtRest(t *testing.T) {
	const golden = "testdata/v1.json"
	ctx := t.Context()
	if *update {
		s, storage, _ := newStore()
		put(t, s, uma, credential())
		if err := s.Sessions.Create(ctx, session(), noon.Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := s.Mount.UpdateConfig(ctx, "facebook", func(store.Config) (store.Config, error) { return config(), nil }); err != nil {
			t.Fatal(err)
		}
		if err := s.Removals.Update(ctx, uma, func(*store.Removal) (store.Removal, time.Time, error) {
			return store.Removal{StartedAt: noon, ID: "removal", Revoke: true, RevokedBirth: "birth", Attempts: 1, Removed: 2, Unrevoked: []string{"u"}, UnrevokedCount: 1}, noon, nil
		}); err != nil {
			t.Fatal(err)
		}
		writeGolden(t, storage, golden)
	}
	storage := readGolden(t, golden)
	s := store.New(store.Options{Storage: storage, Now: authpipetest.NewClock(noon).Now})

	c, err := s.Credentials.Read(ctx, uma)
	want := credential()
	want.Due = c.Due
	if diff := cmp.Diff(want, c); err != nil || diff != "" {
		t.Errorf("credential: %v %s", err, diff)
	}
	// A Secret does not print, so a difference would not show.
	if c.Token.AccessToken.Reveal() != "EAABtoken" {
		t.Error("the token is another")
	}
	got, err := s.Sessions.Read(ctx, "id")
	wantSession := session()
	wantSession.Due = got.Due
	if diff := cmp.Diff(wantSession, got); err != nil || diff != "" {
		t.Errorf("session: %v %s", err, diff)
	}
	gotConfig, err := s.Mount.ConfigAsWritten(ctx, "facebook")
	if diff := cmp.Diff(config(), gotConfig, cmpopts.IgnoreUnexported(store.Config{})); err != nil || diff != "" {
		t.Errorf("config: %v %s", err, diff)
	}
	removal, err := s.Tenants.Removal(ctx, uma)
	if err != nil || removal.Attempts != 1 || removal.Due == "" {
		t.Errorf("removal: %+v, %v", removal, err)
	}
	holders, err := s.Credentials.Holders(ctx, "facebook", "900")
	if diff := cmp.Diff([]store.Holder{{Ref: uma, Status: store.Active, Token: oauth.NewSecret("EAABtoken")}}, holders); err != nil || diff != "" {
		t.Errorf("account index: %v %s", err, diff)
	}
	due := map[string]int{}
	for minute := int64(0); minute <= 24*60; minute++ {
		entries, err := s.Due.At(ctx, noon.Unix()/60+minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range entries {
			due[d.Kind]++
		}
	}
	if diff := cmp.Diff(map[string]int{"credential": 1, "session": 1, "removal": 1}, due); diff != "" {
		t.Error("due index: " + diff)
	}
}

func writeGolden(t *testing.T, storage *storagetest.Storage, name string) {
	t.Helper()
	records := map[string][]byte{}
	keys, err := storage.Keys(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		entry, err := storage.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		records[key] = entry.Value
	}
	b, err := json.MarshalIndent(records, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(b, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readGolden(t *testing.T, name string) *storagetest.Storage {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string][]byte{}
	if err := json.Unmarshal(b, &records); err != nil {
		t.Fatal(err)
	}
	storage := storagetest.New()
	for key, value := range records {
		if err := storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: value}); err != nil {
			t.Fatal(err)
		}
	}
	return storage
}

func TestChangedByteDoesNotOpen(t *testing.T) {
	for key, read := range map[string]func(*store.Store) error{
		"cred/org_acme/facebook/users/uma": func(s *store.Store) error { _, err := s.Credentials.Read(context.Background(), uma); return err },
		"session/id":                       func(s *store.Store) error { _, err := s.Sessions.Read(context.Background(), "id"); return err },
		"config/facebook":                  func(s *store.Store) error { _, err := s.Mount.Config(context.Background(), "facebook"); return err },
	} {
		storage := readGolden(t, "testdata/v1.json")
		entry, err := storage.Get(t.Context(), key)
		if err != nil || entry == nil {
			t.Fatalf("%s: %v, %v", key, entry, err)
		}
		original := slices.Clone(entry.Value)
		for i := range original {
			changed := slices.Clone(original)
			changed[i] ^= 1
			for _, b := range [][]byte{changed, original[:i]} {
				storage.Put(t.Context(), &logical.StorageEntry{Key: key, Value: b})
				s := store.New(store.Options{Storage: storage, Now: authpipetest.NewClock(noon).Now})
				if err := read(s); !errors.Is(err, store.ErrCorrupt) {
					t.Fatalf("%s with byte %d of %d changed or cut: %v", key, i, len(original), err)
				}
			}
		}
	}
}

func TestIndexEntriesFollowTheRecord(t *testing.T) {
	s, storage, _ := newStore()
	hints := func() string {
		t.Helper()
		var all []string
		for _, prefix := range []string{"account/", "status/", "due/"} {
			keys, err := storage.Keys(t.Context(), prefix)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range keys {
				all = append(all, prefix+"…"+key[strings.LastIndex(key, "/"):])
			}
		}
		slices.Sort(all)
		return strings.Join(all, " ")
	}
	const flat = "org_acme,facebook,users,uma"
	first := credential()
	first.Page = nil
	c := put(t, s, uma, first)
	active := "account/…/" + flat + " account/…/" + flat + " due/…/0030010320,credential," + flat
	if got := hints(); got != active {
		t.Errorf("connected: %s\nwant %s", got, active)
	}
	c.Status, c.NextCheck, c.NextRefresh = store.Revoked, time.Time{}, time.Time{}
	c = put(t, s, uma, c)
	if got, want := hints(), "account/…/"+flat+" account/…/"+flat+" status/…/"+flat; got != want {
		t.Errorf("revoked: %s\nwant %s", got, want)
	}
	c.Token.Account = "901"
	c = put(t, s, uma, c)
	if holders, err := s.Credentials.Holders(t.Context(), "facebook", "900"); err != nil || len(holders) != 0 {
		t.Errorf("the former account is held by %v, %v", holders, err)
	}
	if err := s.Credentials.Delete(t.Context(), uma, func(store.Credential) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if got := hints(); got != "" {
		t.Errorf("deleted: %s", got)
	}
}

func TestTenantIDsDoNotCollideWithStorageKeys(t *testing.T) {
	s, _, _ := newStore()
	for _, name := range []tenant.ID{"mount", "tenant", "account", "keyring"} {
		ref := tenant.Ref{Tenant: name, Provider: "facebook"}
		put(t, s, ref, credential())
		if c, err := s.Credentials.Read(t.Context(), ref); err != nil || c.Token.AccessToken != oauth.NewSecret("EAABtoken") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := s.Mount.UpdateConfig(t.Context(), "facebook", func(store.Config) (store.Config, error) { return config(), nil }); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Mount.Config(t.Context(), "facebook"); err != nil {
		t.Error(err)
	}
}

func TestKeyringIsCreatedOnce(t *testing.T) {
	s, storage, _ := newStore()
	const n = 16
	var arrived sync.WaitGroup
	arrived.Add(n)
	var looks atomic.Int64
	storage.Fail(func(_ int, op storagetest.Operation) error {
		// None goes on before all have seen that there is none.
		if op == (storagetest.Operation{Verb: "get", Key: "keyring/tenant/org_new"}) && looks.Add(1) <= n {
			arrived.Done()
			arrived.Wait()
		}
		for range 100 {
			runtime.Gosched()
		}
		return nil
	})
	ref := func(i int) tenant.Ref {
		return tenant.Ref{Tenant: "org_new", Provider: "facebook", User: fmt.Sprint("u", i)}
	}
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { put(t, s, ref(i), credential()) })
	}
	all.Wait()
	again := store.New(store.Options{Storage: storage, Now: time.Now})
	for i := range n {
		if _, err := again.Credentials.Read(t.Context(), ref(i)); err != nil {
			t.Error(err)
		}
	}
}

func TestUpdateLosesNoChange(t *testing.T) {
	s, storage, _ := newStore()
	put(t, s, uma, store.Credential{Status: store.Active})
	storage.Fail(func(int, storagetest.Operation) error { runtime.Gosched(); return nil })
	const n = 32
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			_, err := s.Credentials.Update(t.Context(), uma, func(old *store.Credential) (store.Credential, error) {
				c := *old
				c.Generation++
				return c, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if c, err := s.Credentials.Read(t.Context(), uma); err != nil || c.Generation != n || c.Revision != n {
		t.Errorf("after %d changes: %+v, %v", n, c, err)
	}
}

func TestHoldersDeletesStaleEntry(t *testing.T) {
	s, storage, _ := newStore()
	c := put(t, s, uma, credential())
	other := uma
	other.User = "other"
	put(t, s, other, credential())
	storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "delete" && strings.HasPrefix(op.Key, "account/") {
			return storagetest.ErrStorage
		}
		return nil
	})
	if err := s.Credentials.Delete(t.Context(), uma, func(store.Credential) error { return nil }); err != nil {
		t.Errorf("the record is gone, and that is what was asked for: %v", err)
	}
	storage.Reset()
	for range 2 {
		holders, err := s.Credentials.Holders(t.Context(), "facebook", c.Token.Account)
		if diff := cmp.Diff([]store.Holder{{Ref: other, Status: store.Active, Token: oauth.NewSecret("EAABtoken")}}, holders); err != nil || diff != "" {
			t.Errorf("held by: %v %s", err, diff)
		}
	}
	if keys, _ := storage.Keys(t.Context(), "account/"); len(keys) != 1 {
		t.Errorf("hints left: %v", keys)
	}
}

// TestInvalidateReadsOtherNodesWrite has a second store over the same storage make
// every key anew, as the active node may while this one is a standby.
func TestInvalidateReadsOtherNodesWrite(t *testing.T) {
	s, storage, clock := newStore()
	ctx := t.Context()
	write := func(s *store.Store) {
		t.Helper()
		put(t, s, uma, credential())
		if err := s.Mount.UpdateConfig(ctx, "facebook", func(store.Config) (store.Config, error) { return config(), nil }); err != nil {
			t.Fatal(err)
		}
	}
	write(s)
	keys, err := storage.Keys(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range keys {
		if err := storage.Delete(ctx, key); err != nil {
			t.Fatal(err)
		}
	}
	write(store.New(store.Options{Storage: storage, Now: clock.Now}))
	for _, key := range keys {
		s.Invalidate(key)
	}
	if _, err := s.Credentials.Read(ctx, uma); err != nil {
		t.Error(err)
	}
	if _, err := s.Mount.Config(ctx, "facebook"); err != nil {
		t.Error(err)
	}
	if holders, err := s.Credentials.Holders(ctx, "facebook", "900"); err != nil || len(holders) != 1 {
		t.Errorf("held by %v, %v", holders, err)
	}
}

func TestMissingKeyringIsCorrupt(t *testing.T) {
	s, storage, clock := newStore()
	put(t, s, uma, credential())
	if err := storage.Delete(t.Context(), "keyring/tenant/org_acme"); err != nil {
		t.Fatal(err)
	}
	_, err := store.New(store.Options{Storage: storage, Now: clock.Now}).Credentials.Read(t.Context(), uma)
	if !errors.Is(err, store.ErrCorrupt) || errors.Is(err, store.ErrNotFound) {
		t.Errorf("reading it: %v", err)
	}
}

func TestUnderYieldsUsersBeforePages(t *testing.T) {
	s, _, _ := newStore()
	installation := uma.Installation()
	page, userPage := installation, uma
	page.Page, userPage.Page = "777", "778"
	for _, ref := range []tenant.Ref{installation, uma, page, userPage, {Tenant: "org_acme2", Provider: "facebook", User: "x"}} {
		put(t, s, ref, credential())
	}
	for after, want := range map[string][]tenant.Ref{
		"": {page, uma, userPage}, page.String(): {uma, userPage}, uma.String(): {userPage}, userPage.String(): nil,
	} {
		var under []tenant.Ref
		for ref, err := range s.Credentials.Under(t.Context(), installation, after) {
			if err != nil {
				t.Fatal(err)
			}
			under = append(under, ref)
		}
		if diff := cmp.Diff(want, under); diff != "" {
			t.Errorf("after %q: %s", after, diff)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	var c store.Credential
	for i := range 25 {
		c.Record(noon, fmt.Sprint(i), "")
	}
	if len(c.History) != 20 || c.History[0].Event != "5" || c.History[19].Event != "24" {
		t.Errorf("history is %v", c.History)
	}
}
