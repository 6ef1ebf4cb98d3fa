package backend

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/vault/sdk/logical"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store/event"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const (
	// pendingKept bounds how many events wait to be published. Only a sweep that
	// outruns Vault has more; they can be read from events/ all the same.
	pendingKept = 4096
	// publishTimeout bounds one call of Vault.
	publishTimeout = 5 * time.Second
)

// A publisher publishes the engine's events to Vault: on its event bus and, as
// observations, to its ledger. No request waits for it, and what cannot be published is
// dropped: events/ has every event. It works in a goroutine, which ends when nothing is
// left to publish.
type publisher struct {
	ctx       context.Context // ends when the mount shuts down
	log       hclog.Logger
	published func(sink, outcome string, n int)
	sinks     []*sink

	mu      sync.Mutex
	pending []event.Event
	running bool
	done    sync.WaitGroup
}

// A sink is one place to publish to. It is absent if the server does not have it.
type sink struct {
	name   string
	send   func(context.Context, event.Event) error
	absent bool
}

func newPublisher(ctx context.Context, c *logical.BackendConfig, log hclog.Logger, published func(sink, outcome string, n int)) *publisher {
	p := &publisher{ctx: ctx, log: log, published: published}
	if bus := c.EventsSender; bus != nil {
		p.sinks = append(p.sinks, &sink{name: "event_bus", send: func(ctx context.Context, e event.Event) error {
			return logical.SendEvent(ctx, bus, busType(e.Type), busMetadata(e)...)
		}})
	}
	if ledger := c.ObservationRecorder; ledger != nil {
		p.sinks = append(p.sinks, &sink{name: "observations", send: func(ctx context.Context, e event.Event) error {
			return ledger.RecordObservationFromPlugin(ctx, ledgerType(e.Type), ledgerData(e))
		}})
	}
	return p
}

// Publish publishes the events in the background.
func (p *publisher) Publish(events []event.Event) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.sinks) == 0 || p.ctx.Err() != nil {
		return
	}
	p.pending = append(p.pending, events...)
	if dropped := len(p.pending) - pendingKept; dropped > 0 {
		p.pending = p.pending[dropped:]
		for _, s := range p.sinks {
			p.published(s.name, "dropped", dropped)
		}
	}
	if !p.running {
		p.running = true
		p.done.Go(p.run)
	}
}

// Wait returns when the goroutine has ended. It is called after the mount has shut down.
func (p *publisher) Wait() {
	p.mu.Lock() // so that no goroutine starts concurrently
	p.pending = nil
	p.mu.Unlock()
	p.done.Wait()
}

func (p *publisher) run() {
	for {
		p.mu.Lock()
		events := p.pending
		p.pending = nil
		p.running = len(events) > 0
		p.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			for _, s := range p.sinks {
				p.send(s, e)
			}
		}
	}
}

func (p *publisher) send(s *sink, e event.Event) {
	if s.absent || p.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.ctx, publishTimeout)
	defer cancel()
	switch err := guarded(func() error { return s.send(ctx, e) }); {
	case err == nil:
		p.published(s.name, "sent", 1)
	case unimplemented(err):
		s.absent = true
		p.log.Debug("the server takes no such events", "sink", s.name)
	default:
		p.published(s.name, "failed", 1)
		p.log.Debug("publishing an event failed", "sink", s.name, "event", e.ID, "error", err)
	}
}

// guarded turns a panic into an error. In this goroutine it would end every mount of the
// process.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return call()
}

// unimplemented reports whether err says that the server does not know the call, as older
// ones and OpenBao do not. (A plugin always gets a sender, whatever the server has.)
func unimplemented(err error) bool { return status.Code(err) == codes.Unimplemented }

// busType is an event's type by the conventions of Vault's bus, where failures
// end in -fail: authpipe/connection-refreshed, authpipe/connection-refresh-fail.
func busType(t event.Type) string { return "authpipe/" + busOperation(t) }

func busOperation(t event.Type) string {
	return strings.NewReplacer("_failed", "-fail", ".", "-", "_", "-").Replace(string(t))
}

// busMetadata says what happened and where more can be read. A client that may subscribe
// to path gets the event: it may read a connection's state, and no token.
func busMetadata(e event.Event) []string {
	path, dataPath := topic(e)
	return []string{
		logical.EventMetadataPath, path,
		logical.EventMetadataDataPath, dataPath,
		logical.EventMetadataOperation, busOperation(e.Type),
		logical.EventMetadataModified, fmt.Sprint(modifies[e.Type]),
		"ref", e.Ref,
		"event_id", fmt.Sprint(e.ID),
	}
}

// modifies are the events after which a read of data_path has another answer.
var modifies = map[event.Type]bool{
	event.ConnectionCreated: true, event.ConnectionReconnected: true, event.ConnectionRefreshed: true, event.ConnectionRecovered: true,
	event.ConnectionNeedsReauth: true, event.ConnectionRevoked: true, event.ConnectionDeleted: true, event.ScopesChanged: true,
	event.TenantSuspended: true, event.TenantResumed: true, event.TenantKeyRotated: true, event.TenantDeleted: true,
	event.ProviderMisconfigured: true, event.ProviderThrottled: true, event.ProviderUnavailable: true, event.ProviderRecovered: true,
}

// topic returns the path that an event is about, and the one to read.
func topic(e event.Event) (path, dataPath string) {
	switch object, _, _ := strings.Cut(string(e.Type), "."); object {
	case "tenant":
		return "tenants/" + e.Ref, "tenants/" + e.Ref
	case "provider":
		return "config/" + e.Ref, "health"
	}
	return "connections/" + e.Ref, "creds/" + e.Ref
}

// ledgerType is an event's type as observations are called:
// authpipe/connection/refreshed.
func ledgerType(t event.Type) string {
	return "authpipe/" + strings.NewReplacer(".", "/", "_", "-").Replace(string(t))
}

func ledgerData(e event.Event) map[string]any {
	path, _ := topic(e)
	data := map[string]any{"path": path, "ref": e.Ref, "event_id": e.ID, "at": e.At.Format(time.RFC3339)}
	if object, _, _ := strings.Cut(string(e.Type), "."); object == "tenant" {
		data["tenant_id"] = e.Ref
	} else if ref, err := tenant.ParseRef(e.Ref); err == nil {
		data["tenant_id"], data["provider"], data["credential_for"] = string(ref.Tenant), ref.Provider, string(ref.Kind())
	}
	return data
}
