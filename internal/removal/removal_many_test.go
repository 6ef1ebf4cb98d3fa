package removal_test

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
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/enginetest"
)

// throng plants n users of org_acme, each with a page of their own. What is
// planted opens nowhere.
func throng(e *enginetest.Engine, n int) {
	e.T.Helper()
	record := e.Storage.Raw("cred/" + enginetest.Installation)
	for i := range n {
		user := fmt.Sprintf("cred/org_acme/facebook/users/%05d", i)
		e.Plant(user, record)
		e.Plant(user+"/pages/1", record)
	}
}

func TestRemovalOfManyReturnsAtOnce(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	throng(e, 100)
	e.Storage.Reset()
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	if n := len(e.Storage.Operations()); n > 40 {
		t.Errorf("the request makes %d storage calls", n)
	}
}

// TestRemovalOfManyEndsOnSlowStorage has each storage call take
// a second.
func TestRemovalOfManyEndsOnSlowStorage(t *testing.T) {
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	throng(e, 30)
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, map[string]any{"force": true})
	for range 100 {
		e.Storage.Fail(func(_ int, op storagetest.Operation) error {
			if strings.Contains(op.Key, "cred/org_acme/") {
				e.Clock.Advance(time.Second)
			}
			return nil
		})
		e.Clock.Advance(2 * time.Minute)
		e.Sweep(t.Context())
	}
	e.Storage.Reset()
	if left := e.Storage.Under("cred/org_acme/"); len(left) > 0 {
		t.Errorf("after 100 sweeps %d records are left", len(left))
	}
}

// TestRemovalRevokesSeveralAtOnce has the provider not answer before it has
// received all revocations.
func TestRemovalRevokesSeveralAtOnce(t *testing.T) {
	const users = 10
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for i := range users {
		user := fmt.Sprintf("u%02d", i)
		e.Facebook.AddUser(authpipetest.User{ID: user})
		e.Connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: user})
	}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	e.Clock.Advance(2 * time.Minute)
	n := e.Facebook.Count(authpipetest.EndpointRevoke)
	release := e.Facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointRevoke, Hang: true})
	var sweeping sync.WaitGroup
	sweeping.Go(func() { e.Sweep(t.Context()) })
	ctx, stop := context.WithTimeout(t.Context(), enginetest.Patience)
	defer stop()
	if err := e.Facebook.AwaitCount(ctx, authpipetest.EndpointRevoke, n+users); err != nil {
		t.Errorf("of %d grants %d are revoked at once", n+users, e.Facebook.Count(authpipetest.EndpointRevoke)-n)
	}
	release()
	sweeping.Wait()
	e.After(2 * time.Minute)
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}

// TestRemovalWaitsForOpenCircuit: it would hear
// the same answer from memory of each. It goes on where it stopped.
func TestRemovalWaitsForOpenCircuit(t *testing.T) {
	const users = 60
	e := enginetest.New(t, authpipetest.Options{})
	e.Install()
	for i := range users {
		user := fmt.Sprintf("u%02d", i)
		e.Facebook.AddUser(authpipetest.User{ID: user})
		e.Connect("org_acme/facebook/users/"+user, user, authpipetest.Consent{User: user})
	}
	e.Must(logical.DeleteOperation, "creds/"+enginetest.Installation, nil)
	up := e.Facebook.Fail(authpipetest.Fault{Status: 500, Body: "<html>down</html>"})
	e.Clock.Advance(2 * time.Minute)
	e.Sweep(t.Context()) // finds the provider down
	e.Clock.Advance(10 * time.Minute)
	e.Log.Reset()
	e.Storage.Reset()
	e.Sweep(t.Context())
	lines := strings.Count(e.Log.String(), "removing failed")
	if n := len(e.Storage.Operations()); n > users || lines > 1 {
		t.Errorf("an attempt makes %d storage calls and writes %d lines", n, lines)
	}
	up()
	for range 5 {
		e.After(10 * time.Minute)
	}
	e.Refused("not_found", 404, logical.ReadOperation, "connections/"+enginetest.Installation, nil)
}
