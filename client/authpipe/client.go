package authpipe

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/steady"
)

// Options configure a [Client]. The zero value is ready for use.
type Options struct {
	// Mount is the path at which the engine is mounted. Zero: "authpipe".
	Mount string

	// Size bounds the cache, in credentials. The least recently used go first. Zero: 10,000, which take about 10 MB.
	Size int

	// MaxAge is how old a cached response may get before it is renewed in the background, even if the engine's ttl is longer, as
	// for a token of sixty days. Meanwhile the person may have connected again, or an operator may have suspended the tenant.
	// Zero: five minutes.
	MaxAge time.Duration

	// MaxStale is how much older than that a cached response may get while it cannot be renewed, because Vault is sealed, out of
	// reach, or no longer accepts the client's token. Then it is dropped, and [Client.Credential] returns the error of the failed
	// read. A token is never served after it has expired. Zero: a day. Negative: no longer than MaxAge allows.
	MaxStale time.Duration

	// RefusalAge is how old a cached refusal (not_found, needs_reauth, …) may get. A connection that this client completes takes
	// effect at once, one made elsewhere after that time. Zero: 30 seconds.
	RefusalAge time.Duration

	// Timeout bounds one request to Vault, with the retries of Vault's client. It also bounds how long a caller waits for a
	// credential that is not in the cache, as does the caller's context. Zero: 30 seconds.
	Timeout time.Duration

	// Parallel bounds how many credentials are renewed at the same time in the background. Zero: 16.
	Parallel int

	// Logger receives failures in the background. Zero: they are not logged.
	Logger *slog.Logger

	// Now is the clock that lifetimes are measured with; it must not go back. Zero: a monotonic clock that also counts the time
	// that the machine sleeps, so that setting the wall clock back prolongs no token. The clock may differ from Vault's: a
	// lifetime is the time from a response's Date to the token's expiry.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.Mount = cmp.Or(strings.Trim(o.Mount, "/"), "authpipe")
	o.Size = cmp.Or(max(o.Size, 0), 10_000)
	o.MaxAge = cmp.Or(min(max(o.MaxAge, 0), longest), 5*time.Minute)
	o.MaxStale = min(max(cmp.Or(o.MaxStale, 24*time.Hour), 0), longest)
	o.RefusalAge = cmp.Or(min(max(o.RefusalAge, 0), longest), 30*time.Second)
	o.Timeout = cmp.Or(min(max(o.Timeout, 0), longest), 30*time.Second)
	o.Parallel = cmp.Or(max(o.Parallel, 0), 16)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Client reads credentials from the engine and caches them. It is safe for concurrent use; a process needs one for each mount.
// Make it with [New]; the zero value does not work.
type Client struct {
	unprintable // its cache is full of tokens

	mount *mount
	cache *cache
}

// New returns a client that sends its requests through vault. The application authenticates vault and keeps its token valid: a
// token that is set there later is used from then on. Close the client when it is no longer needed.
func New(vault *api.Client, options Options) *Client {
	options = options.withDefaults()
	now := clock(options.Now)
	m := &mount{vault: vault, path: options.Mount, timeout: options.Timeout, now: now, wall: options.Now}
	m.ctx, m.shutdown = context.WithCancel(context.Background())
	if m.wall == nil {
		m.wall = time.Now
	}
	return &Client{mount: m, cache: newCache(m, options, now)}
}

// Close empties the cache, ends the client's goroutines and waits for them. Every method returns [ErrClosed] from then on. Close
// may be called more than once.
func (c *Client) Close() {
	c.cache.close()
	c.mount.shutdown()
	c.cache.running.Wait()
}

// clock returns the time that has passed since it was made, by now; nil: by the process' own clock.
func clock(now func() time.Time) func() time.Duration {
	if now == nil {
		return steady.New().Elapsed
	}
	began := now()
	return func() time.Duration { return now().Sub(began) }
}

// Credential returns a credential that works. After the first read it comes from the cache, without a lock, an allocation or a
// wait. It is renewed in the background while it is in use.
//
// Only the first read, or one after a long pause, waits for Vault. All callers that wait for the same credential share one
// request, and a caller's ctx ends its own wait only. An expired token is never returned, even if its renewal fails.
//
// The errors are [*NeedsReauthError], [*NotConnectedError] and [*Error]; ctx's own; [ErrClosed].
func (c *Client) Credential(ctx context.Context, q Request) (*Credential, error) {
	r, orInstallation, err := q.refs()
	if err != nil {
		return nil, err
	}
	now := c.cache.now() // it is a third of what a read costs
	a := c.cache.lookup(&r, now)
	if a == nil {
		a, err = c.cache.read(ctx, r)
		now = c.cache.now()
	}
	if err == nil && orInstallation && a.absent {
		r.user = ""
		if a = c.cache.lookup(&r, now); a == nil {
			a, err = c.cache.read(ctx, r)
		}
	}
	if err != nil {
		return nil, err
	}
	return a.credential, a.err
}

// Forget removes a credential from the cache, so that the next read waits for the engine's current response. ref is the Ref of an
// [Event] or a [Credential]: of a credential, which goes together with its pages, or of a tenant, all of whose credentials go. Any
// other string has no effect.
func (c *Client) Forget(ref string) {
	if r, ok := parseRef(ref); ok {
		c.cache.forget(r)
	} else if !strings.Contains(ref, "/") {
		c.cache.forgetTenant(ref)
	}
}
