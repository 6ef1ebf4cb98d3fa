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

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/store"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/tenant"
)

const (
	// unheardKept bounds how many events wait to be told. More come only of a
	// sweep that outruns Vault; they are in events/ all the same.
	unheardKept = 4096
	// hearing is how long Vault may take to take one in.
	hearing = 5 * time.Second
)

// A herald tells Vault of the engine's events: on its event bus and, as
// observations, for its ledger. Nobody waits for it, and what cannot be told is
// dropped: events/ is what was written. It works as long as there is something
// to tell, in a goroutine that then ends.
type herald struct {
	life      context.Context
	log       hclog.Logger
	announced func(medium, outcome string, n int)
	media     []*medium

	mu      sync.Mutex
	unheard []store.Event
	telling bool
	done    sync.WaitGroup
}

// A medium is one way to tell. Where the server has none it is given up.
type medium struct {
	name   string
	tell   func(context.Context, store.Event) error
	absent bool
}

func newHerald(life context.Context, c *logical.BackendConfig, log hclog.Logger, announced func(medium, outcome string, n int)) *herald {
	h := &herald{life: life, log: log, announced: announced}
	if bus := c.EventsSender; bus != nil {
		h.media = append(h.media, &medium{name: "event_bus", tell: func(ctx context.Context, e store.Event) error {
			return logical.SendEvent(ctx, bus, busType(e.Type), busMetadata(e)...)
		}})
	}
	if ledger := c.ObservationRecorder; ledger != nil {
		h.media = append(h.media, &medium{name: "observations", tell: func(ctx context.Context, e store.Event) error {
			return ledger.RecordObservationFromPlugin(ctx, ledgerType(e.Type), ledgerData(e))
		}})
	}
	return h
}

// Tell has events told, and returns at once.
func (h *herald) Tell(events []store.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.media) == 0 || h.life.Err() != nil {
		return
	}
	h.unheard = append(h.unheard, events...)
	if late := len(h.unheard) - unheardKept; late > 0 {
		h.unheard = h.unheard[late:]
		for _, m := range h.media {
			h.announced(m.name, "dropped", late)
		}
	}
	if !h.telling {
		h.telling = true
		h.done.Go(h.speak)
	}
}

// Wait returns when nothing is being told any more. It is called after life
// has ended.
func (h *herald) Wait() {
	h.mu.Lock() // so that no goroutine starts beside it
	h.unheard = nil
	h.mu.Unlock()
	h.done.Wait()
}

func (h *herald) speak() {
	for {
		h.mu.Lock()
		events := h.unheard
		h.unheard = nil
		h.telling = len(events) > 0
		h.mu.Unlock()
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			for _, m := range h.media {
				h.say(m, e)
			}
		}
	}
}

func (h *herald) say(m *medium, e store.Event) {
	if m.absent || h.life.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(h.life, hearing)
	defer cancel()
	switch err := guarded(func() error { return m.tell(ctx, e) }); {
	case err == nil:
		h.announced(m.name, "sent", 1)
	case missing(err):
		m.absent = true
		h.log.Debug("the server takes no such announcements", "medium", m.name)
	default:
		h.announced(m.name, "failed", 1)
		h.log.Debug("an event could not be announced", "medium", m.name, "event", e.ID, "error", err)
	}
}

// guarded turns a panic into an error: here nobody else would catch it.
func guarded(call func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return call()
}

// missing reports whether err says that the server has nobody to tell: older
// ones, and OpenBao, do not know the call. (For a plugin there is always a
// sender, whatever the server has.)
func missing(err error) bool { return status.Code(err) == codes.Unimplemented }

// busType is an event's type by the conventions of Vault's bus, where failures
// end in -fail: authpipe/connection-refreshed, authpipe/connection-refresh-fail.
func busType(t store.EventType) string { return "authpipe/" + busOperation(t) }

func busOperation(t store.EventType) string {
	return strings.NewReplacer("_failed", "-fail", ".", "-", "_", "-").Replace(string(t))
}

// busMetadata says what happened and where more is to be read. Who may
// subscribe to path hears of it: who sees a connection's state, and no token.
func busMetadata(e store.Event) []string {
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

// modifies are the events after which what is read at data_path is another.
var modifies = map[store.EventType]bool{
	store.ConnectionCreated: true, store.ConnectionReconnected: true, store.ConnectionRefreshed: true, store.ConnectionRecovered: true,
	store.ConnectionNeedsReauth: true, store.ConnectionRevoked: true, store.ConnectionDeleted: true, store.ScopesChanged: true,
	store.TenantSuspended: true, store.TenantResumed: true, store.TenantKeyRotated: true, store.TenantDeleted: true,
	store.ProviderMisconfigured: true, store.ProviderThrottled: true, store.ProviderUnavailable: true, store.ProviderRecovered: true,
}

// topic returns the path that an event is about, and the one to read.
func topic(e store.Event) (path, dataPath string) {
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
func ledgerType(t store.EventType) string {
	return "authpipe/" + strings.NewReplacer(".", "/", "_", "-").Replace(string(t))
}

func ledgerData(e store.Event) map[string]any {
	path, _ := topic(e)
	data := map[string]any{"path": path, "ref": e.Ref, "event_id": e.ID, "at": e.At.Format(time.RFC3339)}
	if object, _, _ := strings.Cut(string(e.Type), "."); object == "tenant" {
		data["tenant_id"] = e.Ref
	} else if ref, err := tenant.ParseRef(e.Ref); err == nil {
		data["tenant_id"], data["provider"], data["credential_for"] = string(ref.Tenant), ref.Provider, string(ref.Kind())
	}
	return data
}
