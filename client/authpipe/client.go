package authpipe

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/vault/api"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/steady"
)

// Options say how a [Client] behaves. The zero value is fit for use.
type Options struct {
	// Mount is where the engine is mounted. Zero: "authpipe".
	Mount string

	// Size bounds the cache, in credentials. Those that are asked for least go first. Zero: 10,000, for about 10 MB.
	Size int

	// MaxAge is how old an answer may get before it is asked for anew in the background, even if the engine's ttl is longer,
	// as a token's of sixty days is: by then the person may have connected again, or the tenant may be suspended. Zero: five
	// minutes.
	MaxAge time.Duration

	// MaxStale is how much older than that an answer may get while it cannot be renewed, because Vault is sealed, out of reach, or no
	// longer accepts the client's token. Then it is dropped, and [Client.Credential] returns the error of the failed read. A token is
	// never served after its own end. Zero: a day. Negative: no longer than MaxAge allows.
	MaxStale time.Duration

	// RefusalAge is how old a refusal (not_found, needs_reauth, …) may get before it is asked about anew. Somebody who connects
	// in this process is seen at once; elsewhere, so much later. Zero: 30 seconds.
	RefusalAge time.Duration

	// Timeout is how long one question to Vault may take, with what its client tries again. It bounds what a caller waits for a
	// credential that is not in the cache, whose own context bounds it too. Zero: 30 seconds.
	Timeout time.Duration

	// Parallel is how many credentials are renewed at once in the background. Zero: 16.
	Parallel int

	// Logger is told what fails in the background. Zero: nobody is.
	Logger *slog.Logger

	// Now is the clock that lives are reckoned by; it must not go back. Zero: time.Now, and of it the monotonic reading, so that
	// nobody who sets the wall clock prolongs a token's life, and what the wall clock gains on that: so the machine's sleep counts.
	// What Vault's clock shows does not matter, nor the other way round: an end is told by how far away it is.
	Now func() time.Time
}

func (o Options) withDefaults() Options {
	o.Mount = cmp.Or(strings.Trim(o.Mount, "/"), "authpipe")
	o.Size = cmp.Or(max(o.Size, 0), 10_000)
	o.MaxAge = cmp.Or(min(max(o.MaxAge, 0), ages), 5*time.Minute)
	o.MaxStale = min(max(cmp.Or(o.MaxStale, 24*time.Hour), 0), ages)
	o.RefusalAge = cmp.Or(min(max(o.RefusalAge, 0), ages), 30*time.Second)
	o.Timeout = cmp.Or(min(max(o.Timeout, 0), ages), 30*time.Second)
	o.Parallel = cmp.Or(max(o.Parallel, 0), 16)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// A Client asks the engine, and remembers what it answered. It is safe for concurrent use; a process needs one for each mount.
// Make it with [New]; the zero value does not work.
type Client struct {
	unprintable // its cache is full of tokens

	vault   *api.Client
	options Options
	now     func() time.Duration // the client's clock: what has passed since New

	life    context.Context // ends with Close
	end     context.CancelFunc
	running sync.WaitGroup // the scheduler and the flights

	caller caller // the Vault token's state

	table table // readers take no lock; writers take mu

	mu         sync.Mutex
	closed     bool
	flights    map[ref]*flight // what is being asked, one each
	agenda     agenda          // what will be
	background int             // flights that the scheduler began
	wake       chan struct{}   // pokes the scheduler
}

// New returns a client that asks through vault, which the application has authenticated and keeps so: a token that is set
// there later is used here from then on. Close it when it is no longer needed.
func New(vault *api.Client, options Options) *Client {
	c := &Client{
		vault: vault, options: options.withDefaults(),
		flights: map[ref]*flight{}, wake: make(chan struct{}, 1),
	}
	c.now = clock(c.options.Now)
	c.table = newTable(c.options.Size)
	c.life, c.end = context.WithCancel(context.Background())
	c.running.Go(c.schedule)
	return c
}

// Close forgets all credentials and ends what the client does by itself; when it returns, nothing of it is running any more.
// Every method returns [ErrClosed] from then on. It may be repeated.
func (c *Client) Close() {
	c.mu.Lock()
	c.closed = true
	c.table.clear()
	c.agenda = nil
	c.mu.Unlock()
	c.end()
	c.running.Wait()
}

// wall is what the client's clock shows.
func (c *Client) wall() time.Time {
	if c.options.Now != nil {
		return c.options.Now()
	}
	return time.Now()
}

// clock begins to count by now; nil: by the process' own clock.
func clock(now func() time.Time) func() time.Duration {
	if now == nil {
		return steady.New().Elapsed
	}
	began := now()
	return func() time.Duration { return now().Sub(began) }
}

// Credential returns a credential that works. Once it was asked for it is in the cache and answered from there, without a lock,
// an allocation or a wait; it is renewed in the background while it is being used.
//
// Only who asks first, or again after a long time, waits for Vault, and all who wait for the same credential share one question.
// ctx ends the waiting and not the question. A token that has ended is never returned, whatever becomes of its renewal.
//
// The errors are [*NeedsReauthError], [*NotConnectedError] and [*Error]; ctx's own; [ErrClosed].
func (c *Client) Credential(ctx context.Context, q Request) (*Credential, error) {
	r, orInstallation, err := q.refs()
	if err != nil {
		return nil, err
	}
	now := c.now() // it is a third of what a read costs
	a := c.known(&r, now)
	if a == nil {
		a, err = c.await(ctx, r)
		now = c.now()
	}
	if err == nil && orInstallation && a.absent {
		r.user = ""
		if a = c.known(&r, now); a == nil {
			a, err = c.await(ctx, r)
		}
	}
	if err != nil {
		return nil, err
	}
	return a.credential, a.err
}

// known returns what is known about r; nil: nothing (any more).
func (c *Client) known(r *ref, now time.Duration) *answer {
	e := c.table.get(r)
	if e == nil {
		return nil
	}
	a := e.answer.Load()
	if now >= a.until || c.slept(e, a, now) {
		return nil
	}
	c.use(e, a, now)
	return a
}

// slept reports whether nobody has used e for so long that its answer is too old to be woken with.
func (c *Client) slept(e *entry, a *answer, now time.Duration) bool {
	return e.marks.Load()&asleep != 0 && now-a.due >= c.options.MaxAge
}

// use notes that e's answer is of use. Whoever finds it noted writes nothing, so that a ref that all cores read stays in all
// their caches.
func (c *Client) use(e *entry, a *answer, now time.Duration) {
	if e.marks.Load() != recent|used {
		e.marks.Store(recent | used)
	}
	if now >= a.due && !a.nudged.Load() && a.nudged.CompareAndSwap(false, true) {
		c.nudge(e)
	}
}

// Forget has the next who ask for a credential wait for what the engine says then. ref is what an [Event] or
// [Credential].Ref calls it: a credential, and the pages below it are forgotten along with it, or a tenant, and all that it has.
// What is neither is nothing to forget.
func (c *Client) Forget(ref string) {
	if r, ok := parseRef(ref); ok {
		c.forget(r)
	} else if !strings.Contains(ref, "/") {
		c.forgetTenant(ref)
	}
}

func (c *Client) forgetTenant(tenant string) {
	c.forgetAll(func(r ref) bool { return r.tenant == tenant })
}

// forget drops r and the pages that are reached through it.
func (c *Client) forget(r ref) {
	c.forgetAll(func(q ref) bool { return q == r || q.above() == r })
}

// forgetAll drops what is meant. What is being asked is asked once more: the answer that is under way may be of before.
func (c *Client) forgetAll(meant func(ref) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.table.those(meant) {
		c.drop(e)
	}
	for _, f := range c.flights {
		if meant(f.ref) {
			f.again = true
		}
	}
}
