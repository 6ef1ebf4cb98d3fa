package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// A replica is a standby as an OpenBao cluster has it: its storage may only be
// read and is behind the active node's, and Vault invalidates each key some time
// after its write has arrived.
type replica struct {
	*enginetest.Engine
	journal     *journal
	arrived     int // how much of the journal is in the replica's storage
	invalidated int // how many of them were invalidated
}

// A journal is the active node's storage, and what was written to it, in order.
type journal struct {
	logical.Storage
	mu     sync.Mutex
	writes []journaled
}

// journaled is an entry of the journal. A nil entry is a deletion.
type journaled struct {
	key   string
	entry *logical.StorageEntry
}

func (j *journal) Put(ctx context.Context, e *logical.StorageEntry) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = append(j.writes, journaled{e.Key, &logical.StorageEntry{Key: e.Key, Value: append([]byte(nil), e.Value...), SealWrap: e.SealWrap}})
	return j.Storage.Put(ctx, e)
}

func (j *journal) Delete(ctx context.Context, key string) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.writes = append(j.writes, journaled{key: key})
	return j.Storage.Delete(ctx, key)
}

// newReplica returns a standby with what is stored now. From now on it hears of
// what happens at e by arrive and invalidate.
func newReplica(e *enginetest.Engine) *replica {
	e.T.Helper()
	j, ok := e.Storage.Storage.(*journal)
	if !ok {
		j = &journal{Storage: e.Storage.Storage}
		e.Storage.Storage = j
	}
	n := len(j.writes)
	storage := storagetest.New()
	ctx := context.Background()
	keys, err := e.Storage.Keys(ctx, "")
	if err != nil {
		e.T.Fatal(err)
	}
	for _, key := range keys {
		entry, err := j.Get(ctx, key)
		if err == nil {
			err = storage.Storage.Put(ctx, entry)
		}
		if err != nil {
			e.T.Fatal(err)
		}
	}
	r := &replica{e.Over(storage, enginetest.Standby()), j, n, n}
	r.readOnly()
	return r
}

// readOnly has the storage refuse to be written, as a standby's does.
func (r *replica) readOnly() {
	r.Storage.Fail(func(_ int, op storagetest.Operation) error {
		if op.Verb == "put" || op.Verb == "delete" {
			return logical.ErrReadOnly
		}
		return nil
	})
}

// behind returns how many writes have not arrived.
func (r *replica) behind() int {
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	return len(r.journal.writes) - r.arrived
}

// arrive has the next n writes arrive in the replica's storage.
func (r *replica) arrive(n int) {
	r.T.Helper()
	r.journal.mu.Lock()
	defer r.journal.mu.Unlock()
	ctx := context.Background()
	for range n {
		w := r.journal.writes[r.arrived]
		r.arrived++
		err := r.Storage.Storage.Delete(ctx, w.key)
		if w.entry != nil {
			err = r.Storage.Storage.Put(ctx, w.entry)
		}
		if err != nil {
			r.T.Fatal(err)
		}
	}
}

// invalidate invalidates the keys of all writes that have arrived.
func (r *replica) invalidate() {
	r.journal.mu.Lock()
	writes := r.journal.writes[r.invalidated:r.arrived]
	r.invalidated = r.arrived
	r.journal.mu.Unlock()
	for _, w := range writes {
		r.InvalidateKey(context.Background(), w.key)
	}
}

// catchUp has all writes arrive, and invalidates their keys.
func (r *replica) catchUp() {
	r.T.Helper()
	r.arrive(r.behind())
	r.invalidate()
}

// looked are what a replica is asked for all the time.
var looked = []struct {
	op   logical.Operation
	path string
}{
	{logical.ReadOperation, "creds/" + enginetest.Installation},
	{logical.ReadOperation, "creds/" + enginetest.Uma},
	{logical.ReadOperation, "creds/" + enginetest.Udo},
	{logical.ReadOperation, "creds/" + enginetest.Page777},
	{logical.ReadOperation, "creds/org_acme/stripe/static/billing"},
	{logical.ReadOperation, "connections/" + enginetest.Installation},
	{logical.ReadOperation, "connections/" + enginetest.Uma},
	{logical.ReadOperation, "connections/" + enginetest.Udo},
	{logical.ListOperation, "connections/org_acme/facebook/users/"},
	{logical.ReadOperation, "config/facebook"},
	{logical.ReadOperation, "settings"},
	{logical.ReadOperation, "tenants/org_acme"},
	{logical.ListOperation, "tenants/"},
	{logical.ReadOperation, "health"},
	{logical.ListOperation, "health/needs_reauth/"},
	{logical.ReadOperation, "events"},
}

// look asks for everything and returns the answers that the replica gives by
// itself. It fails the test for an error of the replica's own: that it may not
// write is the only one which has the active node asked instead.
func (r *replica) look(when string) map[string]*logical.Response {
	r.T.Helper()
	answers := map[string]*logical.Response{}
	for _, l := range looked {
		resp, err := r.Do(l.op, l.path, nil)
		switch {
		case err == nil:
			answers[l.path] = resp
		case !errors.Is(err, logical.ErrReadOnly):
			r.T.Errorf("%s: %s %s: %v", when, l.op, l.path, err)
		}
	}
	return answers
}

// happenings are what the active node does, in this order.
func happenings(e *enginetest.Engine) []struct {
	what string
	do   func()
} {
	return []struct {
		what string
		do   func()
	}{
		{"a user is connected", func() { e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"}) }},
		{"a page is read", func() { e.Read("creds/" + enginetest.Page777) }},
		{"a static credential is written", func() {
			e.Must(logical.UpdateOperation, "creds/org_acme/stripe/static/billing", map[string]any{"credential": "x", "credential_type": "api_key"})
		}},
		{"it is replaced", func() {
			e.Must(logical.UpdateOperation, "creds/org_acme/stripe/static/billing", map[string]any{"credential": "y", "credential_type": "api_key"})
		}},
		{"a token is refreshed", func() {
			e.Clock.Advance(20 * enginetest.Day)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil)
		}},
		{"the configuration is changed", func() { e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"session_ttl": 300}) }},
		{"the app secret is replaced", func() {
			e.Must(logical.UpdateOperation, "config/facebook", map[string]any{"client_secret": enginetest.NewSecret})
			e.Facebook.SetAppSecret(enginetest.AppID, enginetest.NewSecret)
			e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		}},
		{"a setting is changed", func() { e.Must(logical.UpdateOperation, "settings", map[string]any{"tenant_metadata_key": "tenant"}) }},
		{"the tenant gets a new key", func() { e.Must(logical.UpdateOperation, enginetest.Acme+"/rotate", nil) }},
		{"that seals", func() { e.Must(logical.UpdateOperation, "connections/"+enginetest.Uma+"/refresh", nil) }},
		{"everything is sealed anew and the former key destroyed", func() { e.After(3 * enginetest.Day); e.After(2 * enginetest.Day) }},
		{"the tenant is suspended", func() { e.Tenant.Suspend(true) }},
		{"that is lifted", func() { e.Tenant.Suspend(false) }},
		{"a grant is taken away", func() {
			e.Facebook.RemoveApp(enginetest.AppID, "uma")
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		}},
		{"it is given again", func() { e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) }},
		{"the provider throttles", func() {
			e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointDebugToken, Error: &authpipetest.GraphError{Code: 4, Message: "Application request limit reached"}, Times: 1})
			e.Do(logical.UpdateOperation, "connections/"+enginetest.Uma+"/check", nil)
		}},
		{"a user is deleted", func() { e.Clock.Advance(enginetest.Day); e.Must(logical.DeleteOperation, "creds/"+enginetest.Udo, nil) }},
		{"the tenant is deleted", func() {
			e.Must(logical.DeleteOperation, enginetest.Acme, map[string]any{"force": true})
			e.After(enginetest.Day)
		}},
		{"it begins anew", func() { e.Install(); e.Connect(enginetest.Uma, "uma", authpipetest.Consent{User: "uma"}) }},
	}
}

// TestReplicaAnswersFromItsStorage invalidates a standby's keys late and one by one, and reads
// everything in between. It must not cache a record longer than until its
// invalidation: time stands still, so that the cache's own age limit does not help. Its own mistakes would be others than to be
// behind.
func TestReplicaAnswersFromItsStorage(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	r := newReplica(e)
	r.look("at first")
	for _, h := range happenings(e) {
		h.do()
		n := e.Facebook.Count("")
		for i := 0; r.behind() > 0; i++ {
			// The write is there, and the word of it is not.
			r.arrive(1)
			r.look(fmt.Sprintf("%s, and %d writes have arrived", h.what, i))
			if i%3 == 2 {
				r.invalidate()
				r.look(fmt.Sprintf("%s, and %d writes are invalidated", h.what, i))
			}
		}
		r.invalidate()
		if calls, writes := e.Facebook.Count("")-n, r.Storage.Writes(); calls != 0 || len(writes) != 0 {
			t.Errorf("%s: the replica makes %d calls of the provider and %v", h.what, calls, writes)
		}
		r.readOnly()
		cold := newReplica(e).look(h.what + ", to who knows nothing")
		if diff := cmp.Diff(cold, r.look(h.what)); diff != "" {
			t.Errorf("%s, and the replica remembers what was before: %s", h.what, diff)
		}
	}
	if log := e.Log.String(); strings.Contains(log, "panic") {
		t.Error("something panicked")
	}
}

// TestReplicaRefusesNothingByItself has a person connect and read through
// different nodes. What a standby has not heard of yet, it does not deny.
func TestReplicaRefusesNothingByItself(t *testing.T) {
	e := enginetest.Connected(t, authpipetest.Options{})
	r := newReplica(e)
	for _, h := range []struct {
		what string
		do   func()
	}{
		{"connected", func() { e.Connect(enginetest.Udo, "udo", authpipetest.Consent{User: "udo"}) }},
		{"suspended", func() { e.Tenant.Suspend(true) }},
		{"resumed", func() { e.Tenant.Suspend(false) }},
		{"disconnected", func() { e.Must(logical.DeleteOperation, "creds/"+enginetest.Udo, nil) }},
	} {
		h.do()
		for range 2 {
			for _, path := range []string{"creds/" + enginetest.Udo, "connections/" + enginetest.Udo} {
				if _, err := r.Do(logical.ReadOperation, path, nil); err != nil && err != logical.ErrReadOnly {
					t.Errorf("%s: a standby refuses %s: %v", h.what, path, err)
				}
			}
			r.catchUp()
		}
	}
}
