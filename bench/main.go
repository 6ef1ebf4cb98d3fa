// Command bench measures the engine and prints one table, ratios first:
//
//	warm     reads of creds/ through a real Vault, beside a plugin that answers a constant and Vault's own KV v2
//	cold     the same reads of credentials that the engine does not remember
//	connect  sessions through a real Vault, from authorization URL to stored credential, beside writes to KV v2
//	handler  the same read without Vault: what the engine itself spends on it
//	due      refreshes and checks of credentials that come due together
//	steady   what the default checks cost a day
//	idle     what a sweep costs when nothing is due, with few credentials and with many
//	start    a new engine over many credentials: how long until it serves its first read
//	asleep   a real Vault with integrated storage, over few credentials and many: processor time a minute, memory, bytes, starts
//
// Only warm, cold, connect and asleep need a Vault server; scripts/bench.sh finds one. The others drive the engine in this process, over a storage
// in memory that counts its calls, by a clock that is moved by hand, against a simulated Facebook.
//
// It asserts nothing: figures depend on the machine and on who else uses it. What the contenders of a ratio share, they
// share within a second.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// settings are the command's flags.
type settings struct {
	vault       string        // the Vault binary
	credentials int           // how many sleep
	due         int           // how many come due
	rounds      int           // of each contender
	round       time.Duration // how long each is
	sizes       []int         // how many credentials sleep in a real Vault, growing
	minutes     int           // for how long they are watched
	dir         string        // where that Vault keeps them
}

// A measurement is one of the words of -only.
type measurement struct {
	name string
	run  func(context.Context, *session) ([]row, error)
}

// measurements are in the order in which they run: what fills the memory comes last.
var measurements = []measurement{
	{"warm", warm},
	{"cold", cold},
	{"connect", connects},
	{"handler", handler},
	{"due", due},
	{"steady", steady},
	{"idle", idle},
	{"start", start},
	{"asleep", asleep},
}

// limit is how long a measurement may take. One that gets nowhere must not keep the others' figures from being printed.
const limit = 5 * time.Minute

// patient is the measurement whose time is what its flags say.
const patient = "asleep"

func (m measurement) limited(ctx context.Context, s *session) ([]row, error) {
	if m.name != patient {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return m.run(ctx, s)
}

// A session is one run of the command.
type session struct {
	settings
	filled map[int]*mount // mounts with so many sleeping credentials
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	s := &session{filled: map[int]*mount{}}
	defer s.close()
	names := make([]string, len(measurements))
	for i, m := range measurements {
		names[i] = m.name
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", strings.Join(names, ","), "the measurements to make, with commas")
	flags.StringVar(&s.vault, "vault", os.Getenv("VAULT_BIN"), "the Vault `binary` to measure in; default: $VAULT_BIN")
	flags.IntVar(&s.credentials, "credentials", 1_000_000, "how many credentials sleep in idle and start; each takes about 3 KB of memory")
	flags.IntVar(&s.due, "due", 2_000, "how many credentials come due in due and steady")
	flags.IntVar(&s.rounds, "rounds", 40, "rounds of each contender in warm and cold")
	sizes := flags.String("sizes", "1000,10000", "how many credentials sleep in asleep, growing, with commas; it takes minutes to store 100,000")
	flags.IntVar(&s.minutes, "minutes", 1, "for how long each of these sizes is watched")
	flags.StringVar(&s.dir, "dir", "", "where the Vault of asleep keeps its data; default: the system's directory for temporary files")
	flags.DurationVar(&s.round, "round", 250*time.Millisecond, "how long a round is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no measurement %q; there are %s", name, strings.Join(names, ", "))
		}
	}
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 || len(s.sizes) > 0 && n < s.sizes[len(s.sizes)-1] {
			return fmt.Errorf("-sizes are numbers that grow, and not %q", *sizes)
		}
		s.sizes = append(s.sizes, n)
	}
	return s.measure(ctx, wanted, args)
}

// measure makes the measurements and prints the table. What was measured before an error is printed too.
func (s *session) measure(ctx context.Context, wanted, args []string) error {
	t := table{facts: facts(ctx, s.vault, args)}
	var failed error
	for _, m := range measurements {
		if !slices.Contains(wanted, m.name) {
			continue
		}
		begun := time.Now()
		fmt.Fprintf(os.Stderr, "%s … ", m.name)
		rows, err := m.limited(ctx, s)
		t.rows = append(t.rows, rows...)
		if err != nil {
			failed = fmt.Errorf("measuring %s: %w", m.name, err)
			break
		}
		fmt.Fprintf(os.Stderr, "%.0f s\n", time.Since(begun).Seconds())
	}
	if err := t.print(os.Stdout); err != nil {
		return err
	}
	return failed
}

func (s *session) close() {
	for _, m := range s.filled {
		m.close()
	}
}
