// Command bench measures the engine and prints one table, ratios first:
//
//	warm     reads of creds/ through a real Vault, compared with a plugin that answers a constant and with Vault's own KV v2
//	cold     the same reads of credentials that are not in the engine's cache
//	connect  sessions through a real Vault, from authorization URL to stored credential, compared with writes to KV v2
//	handler  the same read without Vault: the engine's own share
//	due      refreshes and checks of credentials that are due in the same minute
//	steady   the cost of the default checks in a day
//	idle     the cost of a sweep when nothing is due, with few credentials and with many
//	start    a new engine with many credentials: the time to its first read
//	asleep   a real Vault with integrated storage and idle credentials: processor time a minute, memory, bytes, starts
//
// Only warm, cold, connect and asleep need a Vault server; scripts/bench.sh finds one. The others run the engine in this process, with a
// storage in memory that counts its calls, a simulated clock and a simulated Facebook.
//
// It asserts nothing: figures depend on the machine and its other work. The contenders of a ratio run within a second of each other,
// so that they share that work.
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
	credentials int           // how many are idle
	due         int           // how many are due in the same minute
	rounds      int           // of each contender
	round       time.Duration // how long each is
	sizes       []int         // the numbers of idle credentials in a real Vault, growing
	minutes     int           // how long each size is measured
	dir         string        // that Vault's data
}

// A measurement is one that -only can name.
type measurement struct {
	name string
	run  func(context.Context, *session) ([]row, error)
}

// measurements are in the order in which they run: those that fill the memory come last.
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

// limit bounds the time of a measurement, so that one that hangs does not suppress the figures of the others.
const limit = 5 * time.Minute

// patient is the measurement without a limit: its flags set its time.
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
	filled map[int]*mount // mounts by their number of idle credentials
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
	flags.IntVar(&s.credentials, "credentials", 1_000_000, "how many idle credentials there are in idle and start; each takes about 3 KB of memory")
	flags.IntVar(&s.due, "due", 2_000, "how many credentials are due in due and steady")
	flags.IntVar(&s.rounds, "rounds", 40, "rounds of each contender in warm and cold")
	sizes := flags.String("sizes", "1000,10000", "how many idle credentials there are in asleep, growing, with commas; it takes minutes to store 100,000")
	flags.IntVar(&s.minutes, "minutes", 1, "how long each of these sizes is measured")
	flags.StringVar(&s.dir, "dir", "", "the data directory of asleep's Vault; default: the system's directory for temporary files")
	flags.DurationVar(&s.round, "round", 250*time.Millisecond, "how long a round is")
	if err := flags.Parse(args); err != nil {
		return err
	}
	wanted := strings.Split(*only, ",")
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return fmt.Errorf("there is no measurement %q; use %s", name, strings.Join(names, ", "))
		}
	}
	for size := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(size)
		if err != nil || n < 1 || len(s.sizes) > 0 && n < s.sizes[len(s.sizes)-1] {
			return fmt.Errorf("-sizes must be growing numbers, not %q", *sizes)
		}
		s.sizes = append(s.sizes, n)
	}
	return s.measure(ctx, wanted, args)
}

// measure makes the measurements and prints the table, after an error too.
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
