package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/oauth"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const umaKey = "cred/org_acme/facebook/users/uma"

// A slow storage has something happen once it has read key, or in place of a
// write of it.
type slow struct {
	*storagetest.Storage
	key     string
	read    func()
	inPlace func(put func() error) error
	once    bool
}

func (s *slow) Get(ctx context.Context, key string) (*logical.StorageEntry, error) {
	e, err := s.Storage.Get(ctx, key)
	if key == s.key && s.read != nil && !s.once {
		s.once = true
		s.read()
	}
	return e, err
}

func (s *slow) Put(ctx context.Context, e *logical.StorageEntry) error {
	put := func() error { return s.Storage.Put(ctx, e) }
	if e.Key == s.key && s.inPlace != nil {
		return s.inPlace(put)
	}
	return put()
}

// grant stores a credential of the account at ref.
func grant(t *testing.T, s *store.Store, ref tenant.Ref, account string) {
	t.Helper()
	c := credential()
	c.Token.Account = account
	put(t, s, ref, c)
}

// account is the account of ref's credential, as s reads it.
func account(t *testing.T, s *store.Store, ref tenant.Ref) string {
	t.Helper()
	c, err := s.Credentials.Read(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	return c.Token.Account
}

func configure(t *testing.T, s *store.Store, id string) {
	t.Helper()
	err := s.Mount.UpdateConfig(t.Context(), "facebook", func(store.Config) (store.Config, error) {
		c := config()
		c.ClientID = id
		return c, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestReadComesFromStorageOnce(t *testing.T) {
	s, storage, clock := newStore()
	put(t, s, uma, credential())
	configure(t, s, "123")
	read := func(s *store.Store) (store.Credential, store.Config) {
		t.Helper()
		c, err := s.Credentials.Connected(t.Context(), uma)
		if err != nil {
			t.Fatal(err)
		}
		o, err := s.Mount.ConfigAsWritten(t.Context(), "facebook")
		if err != nil {
			t.Fatal(err)
		}
		return c, o
	}
	again := store.New(store.Options{Storage: storage, Now: clock.Now})
	cold, coldConfig := read(again)
	storage.Reset()
	for name, s := range map[string]*store.Store{"by who wrote it": s, "by who has read it": again} {
		warm, warmConfig := read(s)
		if diff := cmp.Diff(cold, warm) + cmp.Diff(coldConfig, warmConfig, cmp.AllowUnexported(store.Config{})); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	clock.Advance(365 * 24 * time.Hour)
	read(s)
	if ops := storage.Operations(); len(ops) > 0 {
		t.Errorf("reading what is known makes %v", ops)
	}
}

// TestSlowReadDoesNotCacheOldRecord has everything that may happen to
// a record happen between a reader's look at storage and its return.
func TestSlowReadDoesNotCacheOldRecord(t *testing.T) {
	for name, meanwhile := range map[string]func(s, other *store.Store, standby *bool){
		"written": func(s, _ *store.Store, _ *bool) { grant(t, s, uma, "new") },
		"written by another node": func(s, other *store.Store, _ *bool) {
			grant(t, other, uma, "new")
			s.Invalidate(umaKey)
		},
		"written by another node before this one became active": func(_, other *store.Store, standby *bool) {
			grant(t, other, uma, "new")
			*standby = false
		},
		"deleted and written": func(s, _ *store.Store, _ *bool) {
			if err := s.Credentials.Delete(t.Context(), uma, func(store.Credential) error { return nil }); err != nil {
				t.Fatal(err)
			}
			grant(t, s, uma, "new")
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, storage, clock := newStore()
			other := store.New(store.Options{Storage: storage, Now: clock.Now})
			grant(t, other, uma, "old")
			standby := name == "written by another node before this one became active"
			late := &slow{Storage: storage, key: umaKey}
			s := store.New(store.Options{Storage: late, Now: clock.Now, Writable: func() bool { return !standby }})
			late.read = func() { meanwhile(s, other, &standby) }
			if got := account(t, s, uma); got != "old" {
				t.Fatalf("the slow reader reads %s", got)
			}
			if got := account(t, s, uma); got != "new" {
				t.Errorf("the next one reads %s", got)
			}
		})
	}
}

const keyringKey = "keyring/tenant/org_acme"

func TestReadFailsAfterKeyIsPurged(t *testing.T) {
	gone := func(t *testing.T, s *store.Store) {
		t.Helper()
		if _, err := s.Credentials.Read(t.Context(), uma); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("read is %v", err)
		}
	}
	t.Run("although it was known", func(t *testing.T) {
		s, storage, _ := newStore()
		grant(t, s, uma, "old")
		globex := tenant.Ref{Tenant: "org_globex", Provider: "facebook"}
		grant(t, s, globex, "old")
		if err := storage.Delete(t.Context(), keyringKey); err != nil {
			t.Fatal(err)
		}
		s.Invalidate(keyringKey)
		gone(t, s)
		storage.Reset()
		if account(t, s, globex); len(storage.Operations()) > 0 {
			t.Error("another tenant's is forgotten along")
		}
	})
	t.Run("although a slow reader opens it", func(t *testing.T) {
		_, storage, clock := newStore()
		grant(t, store.New(store.Options{Storage: storage, Now: clock.Now}), uma, "old")
		late := &slow{Storage: storage, key: keyringKey}
		s := store.New(store.Options{Storage: late, Now: clock.Now})
		late.read = func() {
			if err := storage.Delete(t.Context(), keyringKey); err != nil {
				t.Fatal(err)
			}
			s.Invalidate(keyringKey)
		}
		account(t, s, uma)
		gone(t, s)
	})
}

// TestUpdateBypassesCache has another node write and Vault send no invalidation:
// nothing of what it wrote is lost.
func TestUpdateBypassesCache(t *testing.T) {
	s, storage, clock := newStore()
	other := store.New(store.Options{Storage: storage, Now: clock.Now})
	grant(t, s, uma, "old")
	grant(t, other, uma, "new")
	configure(t, s, "old")
	configure(t, other, "new")
	_, err := s.Credentials.Update(t.Context(), uma, func(old *store.Credential) (store.Credential, error) {
		if old.Token.Account != "new" {
			t.Errorf("the credential to change is %s", old.Token.Account)
		}
		return *old, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Mount.UpdateConfig(t.Context(), "facebook", func(old store.Config) (store.Config, error) {
		if old.ClientID != "new" {
			t.Errorf("the configuration to change is %s", old.ClientID)
		}
		return old, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// What turns out to be spoiled is not remembered as good.
	if err := storage.Put(t.Context(), &logical.StorageEntry{Key: umaKey, Value: []byte("spoiled")}); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func() error{
		func() error {
			return s.Credentials.Delete(t.Context(), uma, func(store.Credential) error { return nil })
		},
		func() error { _, err := s.Credentials.Read(t.Context(), uma); return err },
	} {
		if err := read(); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("read is %v", err)
		}
	}
}

// TestFailedWriteIsNotCached has a write fail in each way that a
// storage may.
func TestFailedWriteIsNotCached(t *testing.T) {
	var late func() error
	for name, row := range map[string]struct {
		fail func(put func() error)
		want string
	}{
		"that has no effect":          {func(func() error) {}, "old"},
		"that took effect":            {func(put func() error) { put() }, "new"},
		"that takes effect afterward": {func(put func() error) { late = put }, "new"},
	} {
		t.Run(name, func(t *testing.T) {
			_, storage, clock := newStore()
			broken := &slow{Storage: storage, key: umaKey}
			s := store.New(store.Options{Storage: broken, Now: clock.Now})
			grant(t, s, uma, "old")
			late = func() error { return nil }
			broken.inPlace = func(put func() error) error {
				account(t, s, uma) // a reader comes between
				row.fail(put)
				return storagetest.ErrStorage
			}
			_, err := s.Credentials.Update(t.Context(), uma, func(old *store.Credential) (store.Credential, error) {
				c := *old
				c.Token.Account = "new"
				return c, nil
			})
			if !errors.Is(err, storagetest.ErrStorage) {
				t.Fatal(err)
			}
			account(t, s, uma) // and one before the end
			if err := late(); err != nil {
				t.Fatal(err)
			}
			if got := account(t, s, uma); got != row.want {
				t.Errorf("read is %s, want %s", got, row.want)
			}
			clock.Advance(time.Minute)
			account(t, s, uma)
			storage.Reset()
			if account(t, s, uma); len(storage.Operations()) > 0 {
				t.Error("a minute later it is still not remembered")
			}
		})
	}
}

func TestStandbyCachesForLessThanAMinute(t *testing.T) {
	_, storage, clock := newStore()
	active := store.New(store.Options{Storage: storage, Now: clock.Now})
	standby := store.New(store.Options{Storage: storage, Now: clock.Now, Writable: func() bool { return false }})
	other := uma
	other.User = "other"
	grant(t, active, uma, "old")
	grant(t, active, other, "old")
	configure(t, active, "old")
	configured := func() string {
		t.Helper()
		c, err := standby.Mount.Config(t.Context(), "facebook")
		if err != nil {
			t.Fatal(err)
		}
		return c.ClientID
	}
	account(t, standby, uma)
	configured()
	grant(t, active, uma, "new")
	configure(t, active, "new")
	if got := account(t, standby, uma) + configured(); got != "oldold" {
		t.Fatalf("at once a standby that nobody told reads %s", got)
	}
	clock.Advance(time.Minute)
	if got := account(t, standby, uma) + configured(); got != "newnew" {
		t.Errorf("a minute later it reads %s", got)
	}

	// The second one is opened with a keyring that is remembered.
	clock.Advance(29 * time.Second)
	account(t, standby, other)
	if err := storage.Delete(t.Context(), "keyring/tenant/org_acme"); err != nil {
		t.Fatal(err)
	}
	clock.Advance(31 * time.Second)
	for _, ref := range []tenant.Ref{uma, other} {
		if _, err := standby.Credentials.Read(t.Context(), ref); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("a minute after its key was destroyed %s reads %v", ref, err)
		}
	}
}

func TestStandbyWithClockSetBackDoesNotUseCache(t *testing.T) {
	_, storage, clock := newStore()
	active := store.New(store.Options{Storage: storage, Now: clock.Now})
	standby := store.New(store.Options{Storage: storage, Now: clock.Now, Writable: func() bool { return false }})
	grant(t, active, uma, "old")
	account(t, standby, uma)
	grant(t, active, uma, "new")
	clock.Advance(-time.Hour)
	if got := account(t, standby, uma); got != "new" {
		t.Errorf("it reads %s", got)
	}
}

func TestCacheIsEmptiedWhenNodeChangesRole(t *testing.T) {
	for name, writable := range map[string]bool{"from standby to active": false, "from active to standby": true} {
		t.Run(name, func(t *testing.T) {
			_, storage, clock := newStore()
			other := store.New(store.Options{Storage: storage, Now: clock.Now})
			s := store.New(store.Options{Storage: storage, Now: clock.Now, Writable: func() bool { return writable }})
			grant(t, other, uma, "old")
			account(t, s, uma)
			_, before, _, err := s.Due.Minutes(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			grant(t, other, uma, "new")
			clock.Advance(2 * time.Hour)
			minutes(t, other) // moves the watermark
			clock.Advance(-2 * time.Hour)
			if account(t, s, uma) != "old" {
				t.Fatal("nothing was remembered")
			}
			writable = !writable
			if got := account(t, s, uma); got != "new" {
				t.Errorf("it reads %s", got)
			}
			clock.Advance(2 * time.Hour)
			if _, after, _, err := s.Due.Minutes(t.Context()); err != nil || after-before < 60 {
				t.Errorf("the sweep goes on %d minutes later, %v", after-before, err)
			}
		})
	}
}

// TestCachedRecordIsNotTheWriters has the writer go on with what it has
// stored.
func TestCachedRecordIsNotTheWriters(t *testing.T) {
	s, _, _ := newStore()
	c := credential()
	put(t, s, uma, c)
	c.Token.Scopes[0], c.History[0].Event, c.LastError.Message, c.Page.Tasks[0] = "changed", "changed", "changed", "changed"
	got, err := s.Credentials.Read(t.Context(), uma)
	want := credential()
	want.Due = got.Due
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestCacheIsBounded(t *testing.T) {
	s, storage, _ := newStore()
	const kept = 10_000
	record, err := json.Marshal(store.Tenant{Version: 1, CreatedAt: noon})
	if err != nil {
		t.Fatal(err)
	}
	read := func(i int) {
		t.Helper()
		if _, err := s.Tenants.Read(t.Context(), tenant.ID(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	for i := range kept + 1 {
		if err := storage.Put(t.Context(), &logical.StorageEntry{Key: fmt.Sprint("tenant/", i), Value: record}); err != nil {
			t.Fatal(err)
		}
		read(i)
		read(min(i, 1)) // the one that is read most
	}
	for i, want := range map[int]int{0: 1, 1: 0, kept: 0} {
		storage.Reset()
		read(i)
		if n := len(storage.Operations()); n != want {
			t.Errorf("number %d is read with %d storage calls, want %d", i, n, want)
		}
	}
}

// TestScanDoesNotEvictCachedRecords reads more credentials than the cache holds,
// as a sweep does, beside one that is in use.
func TestScanDoesNotEvictCachedRecords(t *testing.T) {
	s, storage, _ := newStore()
	ref := func(i int) tenant.Ref {
		return tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("u", i)}
	}
	// A small record: the race detector makes 10,000 full ones take five seconds.
	small := store.Credential{Birth: "birth", Status: store.Active, Token: oauth.Token{AccessToken: oauth.NewSecret("EAABtoken")}}
	put := func(ctx context.Context, ref tenant.Ref) {
		t.Helper()
		if _, err := s.Credentials.Update(ctx, ref, func(*store.Credential) (store.Credential, error) { return small, nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(t.Context(), uma)
	passing := store.WithoutCaching(t.Context())
	for i := range 10_100 {
		put(passing, ref(i))
		if _, err := s.Credentials.Read(passing, ref(i)); err != nil {
			t.Fatal(err)
		}
	}
	storage.Reset()
	if _, err := s.Credentials.Read(t.Context(), uma); err != nil || len(storage.Operations()) > 0 {
		t.Errorf("%v, %v", storage.Operations(), err)
	}
	// What is cached stays right, whichever node writes it.
	if _, err := s.Credentials.Update(passing, uma, func(old *store.Credential) (store.Credential, error) {
		c := *old
		c.Status = store.Revoked
		return c, nil
	}); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Credentials.Read(t.Context(), uma); err != nil || c.Status != store.Revoked {
		t.Errorf("%v, %v", c.Status, err)
	}
}

// TestReadDuringPurgeIsNotCached has readers be at
// it while the keys go, among so many records that to forget takes a while.
func TestReadDuringPurgeIsNotCached(t *testing.T) {
	s, storage, _ := newStore()
	for i := range 1000 {
		grant(t, s, tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("u", i)}, "other")
	}
	keys, err := storage.Get(t.Context(), keyringKey)
	if err != nil {
		t.Fatal(err)
	}
	grant(t, s, uma, "old")
	for range 5 {
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for ctx.Err() == nil {
					_, _ = s.Credentials.Read(t.Context(), uma)
				}
			})
		}
		if err := storage.Delete(t.Context(), keyringKey); err != nil {
			t.Fatal(err)
		}
		s.Invalidate(keyringKey)
		stop()
		readers.Wait()
		if _, err := s.Credentials.Read(t.Context(), uma); !errors.Is(err, store.ErrCorrupt) {
			t.Fatalf("read is %v", err)
		}
		if err := storage.Put(t.Context(), keys); err != nil {
			t.Fatal(err)
		}
		for i := range 1000 {
			_, _ = s.Credentials.Read(t.Context(), tenant.Ref{Tenant: "org_acme", Provider: "facebook", User: fmt.Sprint("u", i)})
		}
	}
}
