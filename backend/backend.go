// Package backend assembles the engine: it joins the rooms, names the
// providers that this build knows, and answers Vault's calls.
package backend

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/vault/sdk/framework"
	"github.com/hashicorp/vault/sdk/logical"
	"golang.org/x/time/rate"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/breaker"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/call"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/flow"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/metric"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/notification"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/pages"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider/facebook"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/refresh"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/removal"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/revoke"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/sweep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/upkeep"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
	"github.com/authpipe/vault-plugin-secrets-authpipe/paths"
)

const help = `
The authpipe secrets engine keeps other people's OAuth credentials: it runs the
authorization code grant, keeps the tokens sealed under a key of each tenant's
own, refreshes them before they expire, and hands them out.

Write the client that is registered with the provider to config/<provider>.
Begin a session at connect/, send the browser to its authorization_url, and
complete it at sessions/. From then on the credential can be read at creds/, and
its state at connections/.
`

// Options are what an engine needs of the world. The zero value is the real
// one.
type Options struct {
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
	// Providers makes the dialects of the providers that the engine knows, by their names
	// in the API. Nil: those of this build.
	Providers map[string]Dialect
	// Transport carries the calls to providers. Nil: HTTP, through the proxy
	// that the environment of the Vault server names.
	Transport http.RoundTripper
	// CallsPerSecond is how many calls a second, by the wall clock, the background
	// work makes of providers at most. Zero: 1000. Less than 50, the size of a
	// batch, is 50.
	CallsPerSecond int
	// Build is which build of the plugin this is. Zero: as the running program
	// says.
	Build version.Build
}

// A Dialect makes a provider of the transport of its calls and the clock.
type Dialect func(transport http.RoundTripper, now func() time.Time) provider.Provider

// dialects are those of the providers that this build knows.
var dialects = map[string]Dialect{
	"facebook": func(t http.RoundTripper, now func() time.Time) provider.Provider { return facebook.New(t, now) },
}

// A Backend is one mount of the engine. No state lives outside it: several
// mounts share a process.
type Backend struct {
	*framework.Backend
	store   *store.Store
	callers *callers
	worker  *sweep.Worker
	breaker *breaker.Breaker
	metrics *metric.Metrics
	events  *publisher
	calls   *call.Calls
	start   sync.Once
}

// Factory returns what makes engines of that build for Vault.
func Factory(build version.Build) logical.Factory {
	return func(ctx context.Context, c *logical.BackendConfig) (logical.Backend, error) {
		return New(ctx, c, Options{Build: build})
	}
}

// New makes an engine. Its background work starts with Initialize and ends
// with Cleanup.
func New(ctx context.Context, c *logical.BackendConfig, o Options) (*Backend, error) {
	if c == nil {
		return nil, fmt.Errorf("making the engine: no configuration")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Transport == nil {
		o.Transport = newTransport()
	}
	if o.Providers == nil {
		o.Providers = dialects
	}
	if o.Build == (version.Build{}) {
		o.Build = version.Read()
	}
	o.CallsPerSecond = max(cmp.Or(o.CallsPerSecond, 1000), 50)
	life, end := context.WithCancel(context.Background())
	b := &Backend{}
	b.Backend = &framework.Backend{
		Help:           help,
		BackendType:    logical.TypeLogical,
		RunningVersion: o.Build.Version,
		PathsSpecial:   &logical.Paths{Unauthenticated: paths.Unauthenticated, SealWrapStorage: store.SealWrapped},
		InitializeFunc: func(context.Context, *logical.InitializationRequest) error {
			b.Logger().Info("at work", "version", o.Build.Version, "commit", o.Build.Commit, "writes", b.WriteSafeReplicationState())
			b.start.Do(b.worker.Start)
			// Work that came due while the plugin did not run need not wait for the tick.
			return b.tick(context.Background(), nil)
		},
		PeriodicFunc: b.tick,
		Invalidate: func(_ context.Context, key string) {
			b.store.Invalidate(key)
			if name, ok := store.OutageOf(key); ok {
				b.breaker.Invalidate(name)
			}
		},
		Clean: func(context.Context) {
			end()
			b.worker.Wait()
			b.calls.Wait()
			b.events.Wait()
		},
	}
	setup := *c
	setup.System = &roleView{SystemView: c.System, now: o.Now}
	if err := b.Setup(ctx, &setup); err != nil {
		end()
		return nil, err
	}
	b.callers = newCallers(c.System, o.Now, b.Logger())
	b.assemble(life, c, o)
	return b, nil
}

// assemble joins the rooms.
func (b *Backend) assemble(life context.Context, c *logical.BackendConfig, o Options) {
	providers := map[string]provider.Provider{}
	for name, dialect := range o.Providers {
		providers[name] = dialect(o.Transport, o.Now)
	}
	names := slices.Sorted(maps.Keys(providers))
	b.metrics = metric.New(metric.Options{Build: o.Build, Providers: names, Now: o.Now})
	b.events = newPublisher(life, c, b.Logger(), b.metrics.Published)
	b.store = store.New(store.Options{
		Storage: b.metrics.Storage(c.StorageView), Now: o.Now, Writable: b.WriteSafeReplicationState, Fallbacks: fallbacks(providers), Wrote: b.wrote,
	})
	calls := breaker.New(breaker.Options{
		Store: b.store, Providers: providers, Now: o.Now, Log: b.Logger(), Writable: b.WriteSafeReplicationState, Context: life, Called: b.metrics.Called,
	})
	b.breaker = calls
	revoker := revoke.New(revoke.Options{Store: b.store, Breaker: calls, Now: o.Now, Log: b.Logger()})
	notifications := notification.New(notification.Options{
		Store: b.store, Breaker: calls, Revoker: revoker, Now: o.Now, Log: b.Logger(), Writable: b.WriteSafeReplicationState,
	})
	budget := rate.NewLimiter(rate.Limit(o.CallsPerSecond), o.CallsPerSecond)
	tokenCalls := call.New(call.Options{
		Store: b.store, Breaker: calls, Revoker: revoker, Now: o.Now, Log: b.Logger(), Writable: b.WriteSafeReplicationState, Context: life, Ended: b.metrics.CallEnded,
	})
	b.calls = tokenCalls
	pageReader := pages.New(pages.Options{
		Store: b.store, Breaker: calls, Calls: tokenCalls, Now: o.Now, Log: b.Logger(), Writable: b.WriteSafeReplicationState, Context: life,
	})
	refresher := refresh.New(refresh.Options{
		Store: b.store, Providers: providers, Breaker: calls, Revoker: revoker, Calls: tokenCalls, Pages: pageReader, Now: o.Now, Log: b.Logger(), Budget: budget,
	})
	removals := removal.Options{
		Store: b.store, Providers: providers, Revoker: revoker, Calls: tokenCalls, Notifications: notifications,
		Now: o.Now, Log: b.Logger(), Writable: b.WriteSafeReplicationState, Budget: budget,
	}
	remover, deletions := removal.New(removals), removal.NewDataDeletions(removals)
	sessions := flow.New(flow.Options{
		Store: b.store, Providers: providers, Now: o.Now, Log: b.Logger(), Breaker: calls, Revoker: revoker,
		Begun: b.metrics.Begun, Ended: b.metrics.Ended,
	})
	scans := upkeep.New(upkeep.Options{Store: b.store, Providers: providers, Now: o.Now, Log: b.Logger()})
	b.worker = sweep.New(sweep.Options{Store: b.store, Before: func(ctx context.Context) { calls.Tick(ctx); b.storeUnstored(ctx); b.reconsider(ctx, scans) }, Works: map[string]sweep.Work{
		store.DueCredential:   refresher.RefreshDue,
		store.DueRemoval:      sweep.Each(remover.RemoveInstallation),
		store.DueReindex:      sweep.Each(scans.Reindex),
		store.DueRecheck:      sweep.Each(scans.Recheck),
		store.DueRotation:     sweep.Each(scans.Rotate),
		store.DueKeyAge:       sweep.Each(scans.RotateAged),
		store.DueKeyAges:      sweep.Each(scans.PlanAges),
		store.DueNewTenant:    sweep.Each(b.store.Removals.EndNewTenant),
		store.DueIndexEntry:   sweep.Each(b.store.Credentials.DeleteUnusedEntries),
		store.DueDeletion:     sweep.Each(remover.RemoveTenant),
		store.DueRedaction:    b.store.Removals.Redact,
		store.DueDataDeletion: sweep.Each(deletions.Continue),
		store.DueSession:      sweep.Each(sessions.Expire),
	}, Now: o.Now, Log: b.Logger(), Context: life, Done: b.metrics.Swept})
	b.metrics.Watch(b.store, calls, b.worker)
	b.Paths = paths.All(paths.Deps{
		Store: b.store, Flow: sessions, Pages: pageReader, Refresh: refresher, Removal: remover, DataDeletions: deletions, Notifications: notifications, Upkeep: scans, Breaker: calls, Worker: b.worker,
		Providers: names, Versions: func() map[string][]string { return versions(providers) },
		Metrics: paths.Metrics{ContentType: metric.ContentType, Text: b.metrics.Text}, Build: o.Build, Now: o.Now,
	})
}

// wrote passes on what was written of events.
func (b *Backend) wrote(events []event.Event) {
	b.metrics.Wrote(events)
	b.events.Publish(events)
}

// versions returns the API versions of each provider that has some.
func versions(providers map[string]provider.Provider) map[string][]string {
	all := map[string][]string{}
	for name, p := range providers {
		if served := p.Versions(); served != nil {
			all[name] = served
		}
	}
	return all
}

// fallbacks returns what each provider's configuration falls back on: the
// engine's own defaults and the provider's.
func fallbacks(providers map[string]provider.Provider) map[string]store.Config {
	yes, day := true, 24*time.Hour
	all := map[string]store.Config{}
	for name, p := range providers {
		d := p.Defaults()
		all[name] = store.Config{
			InstallationScopes:  d.InstallationScopes,
			UserScopes:          d.UserScopes,
			APIVersion:          d.APIVersion,
			AuthorizationBase:   d.AuthorizationBase,
			APIBase:             d.APIBase,
			PKCE:                flow.PKCEAuto,
			Completion:          flow.Confirm,
			RequireInstallation: &yes,
			SessionTTL:          10 * time.Minute,
			CheckInterval:       &day,
			ClientSecretOverlap: &day,
			Enabled:             &yes,
		}
	}
	return all
}

// newTransport returns a transport with connections enough for the worker, and
// no wait that is longer than a call may be.
//
// A connection can die without a word: a firewall forgets it, or a node of the
// provider's goes. HTTP/2 sends every call through one connection, and goes on
// using one whose calls have timed out, so it is pinged.
func newTransport() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = 30 * time.Second
	t.TLSHandshakeTimeout = provider.CallTimeout
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 5 * time.Second, PingTimeout: 5 * time.Second}
	return t
}

// tick is called once a minute while Vault holds locks of its core, so it only
// wakes the worker, and only on the node that may write.
func (b *Backend) tick(context.Context, *logical.Request) error {
	if b.WriteSafeReplicationState() {
		b.worker.Poke()
	}
	return nil
}

// Sweep does what is due now and returns when it is done. The worker does so
// by itself; tests and tools that have a clock of their own call it.
func (b *Backend) Sweep(ctx context.Context) error { return b.worker.Sweep(ctx) }

// storeUnstored stores the fresh tokens that storage did not take before, whether or not
// anything is due.
func (b *Backend) storeUnstored(ctx context.Context) {
	if !b.WriteSafeReplicationState() {
		return
	}
	if err := b.calls.StoreUnstored(ctx); err != nil {
		b.Logger().Warn("a fresh token could not be stored yet", "error", err)
	}
}

// reconsider looks again at what was decided by a clock that was set back since.
func (b *Backend) reconsider(ctx context.Context, u *upkeep.Upkeep) {
	if !b.store.Due.ClockSetBack() {
		return
	}
	b.Logger().Warn("the clock was set back: tokens that were called failed are asked about again if they live")
	if err := u.Reconsider(ctx); err != nil {
		b.Logger().Warn("some could not be asked about; a read of them or a check does", "error", err)
	}
}

// flushEvents writes the events that were noted meanwhile, on the node that may.
// A read does not wait for the events of others: the next write or the sweep
// writes them.
func (b *Backend) flushEvents(ctx context.Context, op logical.Operation) error {
	if op == logical.ReadOperation || op == logical.ListOperation || !b.WriteSafeReplicationState() {
		return nil
	}
	return b.store.Events.Flush(context.WithoutCancel(ctx))
}

// HandleRequest implements [logical.Backend]. Around the framework's it holds
// callers to their tenant, checks the fields of the request, gives it its
// budget of provider calls and errors their status, turns a panic into an
// error, and counts how it ended.
func (b *Backend) HandleRequest(ctx context.Context, req *logical.Request) (*logical.Response, error) {
	resp, err := b.handle(ctx, req)
	if err != nil {
		err = b.refusal(err)
	}
	b.metrics.Request(req.Operation, req.Path, paths.Outcome(resp, err))
	if err != nil {
		return nil, paths.Coded(err)
	}
	b.logChange(req)
	return resp, nil
}

func (b *Backend) handle(ctx context.Context, req *logical.Request) (resp *logical.Response, err error) {
	defer func() {
		if p := recover(); p != nil {
			b.Logger().Error("panic in a handler", "operation", req.Operation, "path", req.Path, "panic", p, "stack", string(debug.Stack()))
			resp, err = nil, fmt.Errorf("handling %s: internal error", req.Operation)
		}
	}()
	if err := b.admit(ctx, req); err != nil {
		return nil, err
	}
	warnings, err := b.check(req)
	if err != nil {
		return nil, err
	}
	resp, err = b.Backend.HandleRequest(provider.WithBudget(ctx), req)
	if err == nil && resp != nil {
		for _, warning := range warnings {
			resp.AddWarning(warning)
		}
	}
	if flushErr := b.flushEvents(ctx, req.Operation); flushErr != nil {
		b.Logger().Warn("events could not be written", "error", flushErr)
	}
	if err == nil && req.Operation == logical.HelpOperation {
		err = readable(resp)
	}
	return resp, err
}

// readable has the help in an answer written for people, and its document so
// that Vault reads all of it.
func readable(resp *logical.Response) error {
	if text, ok := resp.Data["help"].(string); ok {
		resp.Data["help"] = paths.Help(text)
	}
	doc, ok := resp.Data["openapi"].(*framework.OASDocument)
	if !ok {
		return nil
	}
	document, err := paths.Document(doc)
	resp.Data["openapi"] = document
	return err
}

// check checks the fields of the request. Finding its route takes longer than
// to answer it from memory, so a request without fields does it only once.
func (b *Backend) check(req *logical.Request) (warnings []string, err error) {
	if len(req.Data) == 0 || req.Operation == logical.HelpOperation {
		return nil, nil
	}
	route := b.Route(req.Path)
	if route == nil {
		return nil, nil
	}
	return paths.Check(route, req)
}
