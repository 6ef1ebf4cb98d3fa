// Package enginetest is the harness of the engine's tests: the real engine over a
// storage in memory, a simulated Facebook and a clock, which the test package of any
// room drives as Vault would.
package enginetest

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest/storagetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/backend"
)

// An Engine is the engine under test, driven as Vault drives it, with the
// world around it.
type Engine struct {
	*backend.Backend
	Dialog
	Webhooks Webhooks
	Tenant   Tenant
	Storage  *Storage
	Facebook *Facebook
	Clock    *authpipetest.Clock
	T        testing.TB
	Log      *strings.Builder
	Ends     sync.Map // the deadlines of calls

	// options are what backends are made with. answered is called with each answer.
	options  func() backend.Options
	answered func(path string, resp *logical.Response, err error)
}

// newNode returns an engine without a backend: see RestartOn.
func newNode(t testing.TB, storage *storagetest.Storage, fb *Facebook, clock *authpipetest.Clock, log *strings.Builder) *Engine {
	e := &Engine{T: t, Storage: &Storage{storage, t}, Facebook: fb, Clock: clock, Log: log}
	e.options = func() backend.Options {
		return backend.Options{Now: e.Clock.Now, Transport: panics{e.Facebook.link, e.T, &e.Ends}, Build: Build}
	}
	e.answered = func(string, *logical.Response, error) {}
	e.Dialog.e, e.Webhooks.e, e.Tenant.e = e, e, e
	return e
}

// Over returns the engine of another node over another storage.
func (e *Engine) Over(storage *storagetest.Storage, system logical.SystemView) *Engine {
	e.T.Helper()
	other := newNode(e.T, storage, e.Facebook, e.Clock, e.Log)
	other.RestartOn(system)
	return other
}

// New returns an engine that is configured for a Facebook where Ada, an admin of
// two pages, and Uma and Udo have accounts.
func New(t testing.TB, o authpipetest.Options) *Engine {
	t.Helper()
	return NewOver(t, o, func(fb *authpipetest.Facebook) (string, http.RoundTripper) {
		return fb.Start(t), Unhurried{http.DefaultTransport}
	})
}

// NewInBubble is New for a test with [synctest.Test]: Facebook answers in memory,
// so that the time limits of calls pass by the bubble's clock.
func NewInBubble(t testing.TB, o authpipetest.Options) *Engine {
	t.Helper()
	e := NewOver(t, o, func(fb *authpipetest.Facebook) (string, http.RoundTripper) {
		return "https://graph.example.com", fb.Transport()
	})
	t.Cleanup(func() { e.Cleanup(context.Background()) }) // before CheckMemory
	return e
}

// NewOver is New with a Facebook that is reached in another way.
func NewOver(t testing.TB, o authpipetest.Options, reach func(*authpipetest.Facebook) (base string, link http.RoundTripper)) *Engine {
	t.Helper()
	clock := authpipetest.NewClock(time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC))
	o.Now = clock.Now
	fb := authpipetest.NewFacebook(o)
	fb.AddApp(authpipetest.App{ID: AppID, Secret: AppSecret, RedirectURIs: []string{MountURL + "/callback/facebook", "https://app.example.com/oauth"}})
	fb.AddPage(authpipetest.Page{ID: "777", Name: "Page A"})
	fb.AddPage(authpipetest.Page{ID: "778", Name: "Page B"})
	fb.AddUser(authpipetest.User{ID: "ada", Name: "Ada Admin", Pages: []string{"777", "778"}})
	fb.AddUser(authpipetest.User{ID: "uma", Name: "Uma User"})
	fb.AddUser(authpipetest.User{ID: "udo", Name: "Udo User"})
	over := &Facebook{Facebook: fb, t: t}
	over.URL, over.link = reach(fb)
	e := newNode(t, storagetest.New(), over, clock, &strings.Builder{})
	e.Restart()
	t.Cleanup(e.CheckMemory)
	e.Must(logical.UpdateOperation, "config/facebook", map[string]any{
		"client_id": AppID, "client_secret": AppSecret,
		"redirect_uris": []string{MountURL + "/callback/facebook", "https://app.example.com/oauth"},
		"return_urls":   []string{ReturnURL},
		"dialog_url":    e.Facebook.URL, "graph_url": e.Facebook.URL,
	})
	return e
}

// NewOther returns an engine that is not configured, for another provider than Facebook,
// which options name by that clock. Answered is called with the answer to each request.
func NewOther(t testing.TB, clock *authpipetest.Clock, options func() backend.Options, answered func(path string, resp *logical.Response, err error)) *Engine {
	t.Helper()
	e := newNode(t, storagetest.New(), nil, clock, &strings.Builder{})
	e.options, e.answered = options, answered
	e.Restart()
	return e
}

// Restart drops the engine as a crash would and makes another over the same
// storage.
func (e *Engine) Restart() { e.RestartOn(SystemView()) }

// RestartOn is Restart with another system view.
func (e *Engine) RestartOn(system logical.SystemView) {
	e.T.Helper()
	e.Storage.Reset()
	b, err := backend.New(context.Background(), &logical.BackendConfig{
		StorageView: e.Storage,
		System:      system,
		Logger:      hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: e.Log}),
	}, e.options())
	if err != nil {
		e.T.Fatalf("making the engine: %v", err)
	}
	e.Backend = b
}

// Node returns the engine of another node over the same storage.
func (e *Engine) Node(system logical.SystemView) *Engine {
	e.T.Helper()
	return e.Over(e.Storage.counted, system)
}

// Plant stores bytes as another node would, and invalidates the key as Vault
// does.
func (e *Engine) Plant(key string, value []byte) {
	e.T.Helper()
	ctx := context.Background()
	if err := e.Storage.Storage.Put(ctx, &logical.StorageEntry{Key: key, Value: value}); err != nil {
		e.T.Fatal(err)
	}
	e.InvalidateKey(ctx, key)
}

// WrittenByOther has another node write, and invalidates each key as Vault does.
func (e *Engine) WrittenByOther(write func(other *Engine)) {
	e.T.Helper()
	other := e.Node(SystemView())
	other.PassWrites(e, func() { write(other) })
}

// PassWrites runs write and invalidates at other each key that it wrote.
func (e *Engine) PassWrites(other *Engine, write func()) {
	e.Storage.Reset()
	write()
	for _, op := range e.Storage.Writes() {
		other.InvalidateKey(e.T.Context(), op.Key)
	}
}

// Do makes a request as the harness's caller.
func (e *Engine) Do(op logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	return e.HandleRequest(context.Background(), &logical.Request{
		Operation: op, Path: path, Data: data, Storage: e.Storage, EntityID: "entity-1", DisplayName: "token-app",
	})
}

// DoAs is Do for another entity. "" is a caller without one.
func (e *Engine) DoAs(entity string, op logical.Operation, path string, data map[string]any) (*logical.Response, error) {
	return e.HandleRequest(context.Background(), &logical.Request{
		Operation: op, Path: path, Data: data, Storage: e.Storage, EntityID: entity, DisplayName: "token-app",
	})
}

// Must is Do for a request that succeeds, and returns its data.
func (e *Engine) Must(op logical.Operation, path string, data map[string]any) map[string]any {
	e.T.Helper()
	resp, err := e.Do(op, path, data)
	if err != nil {
		e.T.Fatalf("%s %s: %v", op, path, err)
	}
	if resp == nil {
		return nil
	}
	if resp.IsError() {
		e.T.Fatalf("%s %s: %v", op, path, resp.Error())
	}
	return resp.Data
}

// Read is Must for a read.
func (e *Engine) Read(path string) map[string]any {
	e.T.Helper()
	return e.Must(logical.ReadOperation, path, nil)
}

// Refused checks that a request fails with the API's code and the HTTP status,
// and returns the error's text.
func (e *Engine) Refused(code string, status int, op logical.Operation, path string, data map[string]any) string {
	e.T.Helper()
	resp, err := e.Do(op, path, data)
	if err == nil {
		e.T.Fatalf("%s %s was answered %v, want %s", op, path, resp, code)
	}
	CheckCode(e.T, err, code, status)
	return err.Error()
}

// Warnings makes a write and returns its warnings.
func (e *Engine) Warnings(path string, data map[string]any) []string {
	e.T.Helper()
	resp, err := e.Do(logical.UpdateOperation, path, data)
	if err != nil {
		e.T.Fatalf("%s: %v", path, err)
	}
	if resp == nil {
		return nil
	}
	return resp.Warnings
}

// MustSweep sweeps once.
func (e *Engine) MustSweep() {
	e.T.Helper()
	if err := e.Sweep(context.Background()); err != nil {
		e.T.Fatalf("sweeping: %v", err)
	}
}

// SweepRecovering sweeps as the worker does: a panic becomes an error.
func (e *Engine) SweepRecovering(ctx context.Context) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic in the sweep: %v", p)
		}
	}()
	return e.Sweep(ctx)
}

// After advances the clock and sweeps.
func (e *Engine) After(d time.Duration) {
	e.T.Helper()
	e.Clock.Advance(d)
	e.MustSweep()
}

// SweepUntil advances the clock to end, an hour and a sweep at a time.
func (e *Engine) SweepUntil(end time.Time) {
	e.T.Helper()
	for e.Clock.Now().Before(end) {
		e.After(min(time.Hour, end.Sub(e.Clock.Now())))
	}
}

// AdvanceToDue sweeps through the idle time until something is due at ref.
func (e *Engine) AdvanceToDue(ref string) {
	e.T.Helper()
	due, err := time.Parse(time.RFC3339, e.Read("connections/" + ref)["next_due_at"].(string))
	if err != nil {
		e.T.Fatal(err)
	}
	e.Clock.Set(due.Add(-2 * time.Minute))
	e.MustSweep()
	e.Clock.Set(due)
}

// FinishRemoval runs the sweeps that a removal leaves to the background.
func (e *Engine) FinishRemoval() {
	for range 4 {
		e.After(2 * time.Minute)
	}
}
