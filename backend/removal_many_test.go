package backend_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
)

// throng plants n users of org_acme, each with a page of their own. What is
// planted opens nowhere.
func (e *engine) throng(n int) {
	e.t.Helper()
	record := e.raw("cred/" + installation)
	for i := range n {
		user := fmt.Sprintf("cred/org_acme/facebook/users/%05d", i)
		e.plant(user, record)
		e.plant(user+"/pages/1", record)
	}
}

func TestToUninstallForManyHoldsNoRequest(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.throng(100)
	e.storage.Reset()
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	if n := len(e.storage.Operations()); n > 40 {
		t.Errorf("the request makes %d storage calls", n)
	}
}

// TestARemovalOfManyComesToItsEndHoweverSlowStorageIs has each storage call take
// a second.
func TestARemovalOfManyComesToItsEndHoweverSlowStorageIs(t *testing.T) {
	e := newEngine(t, authpipetest.Options{})
	e.install()
	e.throng(30)
	e.must(logical.DeleteOperation, "creds/"+installation, map[string]any{"force": true})
	for range 100 {
		e.storage.Fail(func(_ int, op storagetest.Operation) error {
			if strings.Contains(op.Key, "cred/org_acme/") {
				e.clock.Advance(time.Second)
			}
			return nil
		})
		e.clock.Advance(2 * time.Minute)
		e.Sweep(t.Context())
	}
	e.storage.Reset()
	if left := e.keys("cred/org_acme/"); len(left) > 0 {
		t.Errorf("after 100 sweeps %d records are left", len(left))
	}
}

// TestARemovalRevokesSeveralAtOnce has the provider not answer before it was
// told of all.
func TestARemovalRevokesSeveralAtOnce(t *testing.T) {
	const users = 10
	e := newEngine(t, authpipetest.Options{})
	e.install()
	for i := range users {
		user := fmt.Sprintf("u%02d", i)
		e.fb.AddUser(authpipetest.User{ID: user})
		e.connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: user})
	}
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	e.clock.Advance(2 * time.Minute)
	n := e.fb.Count(authpipetest.EndpointRevoke)
	release := e.fb.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Hang: true})
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.Sweep(t.Context()) })
	ctx, stop := context.WithTimeout(t.Context(), patience)
	defer stop()
	if err := e.fb.AwaitCount(ctx, authpipetest.EndpointRevoke, n+users); err != nil {
		t.Errorf("of %d grants %d are revoked at once", n+users, e.fb.Count(authpipetest.EndpointRevoke)-n)
	}
	release()
	sweeping.Wait()
	e.after(2 * time.Minute)
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}

// TestWhileTheProviderIsLeftAloneARemovalDoesNotGoThroughAllItHas: it would hear
// the same answer from memory of each. It goes on where it stopped.
func TestWhileTheProviderIsLeftAloneARemovalDoesNotGoThroughAllItHas(t *testing.T) {
	const users = 60
	e := newEngine(t, authpipetest.Options{})
	e.install()
	for i := range users {
		user := fmt.Sprintf("u%02d", i)
		e.fb.AddUser(authpipetest.User{ID: user})
		e.connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: user})
	}
	e.must(logical.DeleteOperation, "creds/"+installation, nil)
	up := e.fb.Fail(authpipetest.Fault{Status: 500, Body: "<html>down</html>"})
	e.clock.Advance(2 * time.Minute)
	e.Sweep(t.Context()) // finds the provider down
	e.clock.Advance(10 * time.Minute)
	e.log.Reset()
	e.storage.Reset()
	e.Sweep(t.Context())
	lines := strings.Count(e.log.String(), "removing failed")
	if n := len(e.storage.Operations()); n > users || lines > 1 {
		t.Errorf("an attempt makes %d storage calls and writes %d lines", n, lines)
	}
	up()
	for range 5 {
		e.after(10 * time.Minute)
	}
	e.refused("not_found", 404, logical.ReadOperation, "connections/"+installation, nil)
}
