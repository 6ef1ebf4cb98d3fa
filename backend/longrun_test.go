package backend_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/sdk/logical"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/longtest"
)

var (
	longrunSeed  = flag.Uint64("longrun.seed", 1, "the seed of the long runs; 0: a new one")
	longrunCount = flag.Int("longrun.credentials", 24, "how many credentials TestMonthsOfTrouble has; make test-days has 2,000")
	longrunDays  = flag.Int("longrun.days", 55, "how many days TestMonthsOfTrouble lasts; make test-days has 200")
)

// TestMonthsOfTrouble lives through all troubles at once, and holds the engine
// against the books of the Facebook that it works with: nothing that could be
// kept is lost, what is dead is noticed within a check interval and a sweep of
// untroubled time, calls stay within the budget, and nothing is stuck.
func TestMonthsOfTrouble(t *testing.T) {
	seed := cmp.Or(*longrunSeed, rand.Uint64())
	t.Logf("-longrun.seed=%d -longrun.credentials=%d -longrun.days=%d", seed, *longrunCount, *longrunDays)
	newWorld(t, seed).run(*longrunCount, *longrunDays, []plan{
		{outage, 72 * time.Hour, 2},
		{broken, 20 * time.Hour, 3},
		{lostAnswers, 5 * time.Hour, 4},
		{throttling, 5 * time.Hour, 5},
		{wrongSecret, 24 * time.Hour, 2},
		{fast, 12 * time.Hour, 2},
		{slow, 12 * time.Hour, 2},
		{failing, 3 * time.Hour, 20},
		{standstill, 30 * time.Hour, 3},
		{crashing, sweepEvery, 150},
	})
}

// TestEachTroubleAlone has each trouble alone, and often, while the first
// refreshes of all fall due: what fails here says what is not borne.
func TestEachTroubleAlone(t *testing.T) {
	longtest.Only(t, "test-full")
	seed := cmp.Or(*longrunSeed, rand.Uint64())
	for _, p := range []plan{
		{"", 0, 0},
		{outage, 72 * time.Hour, 3},
		{broken, 30 * time.Hour, 5},
		{lostAnswers, 12 * time.Hour, 10},
		{throttling, 12 * time.Hour, 10},
		{wrongSecret, 24 * time.Hour, 8},
		{fast, 12 * time.Hour, 8},
		{slow, 12 * time.Hour, 8},
		{failing, 6 * time.Hour, 40},
		{standstill, 40 * time.Hour, 6},
		{crashing, sweepEvery, 300},
	} {
		t.Run(cmp.Or(string(p.what), "no trouble at all"), func(t *testing.T) {
			t.Parallel()
			t.Logf("-longrun.seed=%d", seed)
			newWorld(t, seed).run(24, 52, []plan{p})
		})
	}
}

// A plan is how often a trouble comes, and for how long.
type plan struct {
	what  trouble
	lasts time.Duration
	times int
}

// run lives through days with n credentials, which come on the first.
func (w *world) run(n, days int, plans []plan) {
	w.T.Helper()
	hours := days * 24
	strikes := w.schedule(plans, hours)
	for hour := range hours {
		// Anew each hour: what one more draw changes is over with the hour.
		w.rand = rand.New(rand.NewPCG(w.seed, uint64(hour)))
		w.Clock.Advance(sweepEvery)
		w.pass()
		for _, p := range strikes[hour] {
			w.strike(p.what, p.lasts)
		}
		switch {
		case hour < 24:
			w.settle(n/24, hour)
		case hour < hours-quiet:
			w.happen(hours)
			if hour == hours*2/3 {
				w.uninstall = append(w.uninstall, org(1))
			}
		}
		w.work()
		w.observe(hour%(10*24) == 0)
		if hour%(10*24) == 0 {
			w.settleUp()
		}
	}
	w.observe(true)
	w.settleUp()
	w.checkLeftovers()
}

// quiet is for how many hours nothing happens at the end, so that what is left
// to do then is stuck.
const quiet = 5 * 24

// schedule spreads the troubles over the time between the first days and the
// quiet at the end, each kind evenly and at hours of chance.
func (w *world) schedule(plans []plan, hours int) map[int][]plan {
	const first = 2 * 24
	all := map[int][]plan{}
	for _, p := range plans {
		for i := range p.times {
			slot := (hours - first - quiet) / p.times
			at := first + i*slot + w.rand.IntN(max(slot-int(p.lasts/time.Hour), 1))
			all[at] = append(all[at], p)
		}
	}
	return all
}

const tenants = 20

func org(i int) string { return fmt.Sprintf("org_%02d", i%tenants) }

// settle has n people connect, in the hour of the first day.
func (w *world) settle(n, hour int) {
	w.T.Helper()
	for i := range n {
		id := hour*n + i
		org := org(id)
		k := &kept{ref: fmt.Sprintf("%s/facebook/users/u%d", org, id), person: fmt.Sprintf("person-%d", id)}
		if id < tenants {
			k.ref = org + "/facebook/installation"
		}
		w.join(k)
		w.kept = append(w.kept, k)
	}
}

// happen is what people do in an hour.
func (w *world) happen(hours int) {
	w.T.Helper()
	if w.in(crashing) {
		w.doom()
	}
	if len(w.uninstall) > 0 && !w.in(standstill) {
		w.leave()
	}
	deaths, deletions := 0.35/float64(hours), 0.05/float64(hours)
	for _, k := range w.kept {
		alive := !k.gone && k.deleting == "" && k.died.IsZero()
		installation := strings.HasSuffix(k.ref, "/installation")
		switch chance := w.rand.Float64(); {
		case alive && chance < deaths && !w.life.dead.Load():
			w.lose(k)
		case alive && chance < deaths+deletions && !installation && !w.in(standstill) && !w.life.dead.Load():
			w.remove(k)
		case k.noticed && !k.gone && k.deleting == "" && chance < 1.0/24 && w.calm():
			w.join(k)
		}
	}
}

// leave has an operator remove what is to be uninstalled, and try again if that
// was not taken in.
func (w *world) leave() {
	w.T.Helper()
	w.uninstall = slices.DeleteFunc(w.uninstall, func(org string) bool {
		installation := "creds/" + org + "/facebook/installation"
		tokens := map[*kept]string{}
		for _, k := range w.kept {
			if strings.HasPrefix(k.ref, org+"/") && !k.gone {
				if c, err := w.Do(logical.ReadOperation, "creds/"+k.ref, nil); err == nil {
					tokens[k] = c.Data["access_token"].(string)
				}
			}
		}
		w.Do(logical.DeleteOperation, installation, nil)
		if c, err := w.Do(logical.ReadOperation, "connections/"+org+"/facebook/installation", nil); err != nil && w.life.dead.Load() || err == nil && c.Data["removal"] == nil {
			for k, token := range tokens {
				if strings.HasSuffix(k.ref, "/installation") {
					k.deleting = token // its grant may have gone, and only the answer been lost
				}
			}
			return false
		}
		for _, k := range w.kept {
			if strings.HasPrefix(k.ref, org+"/") && !k.gone {
				w.forgotten(k, tokens[k])
			}
		}
		return true
	})
}

// work is the engine's hour: a sweep, and readers beside it.
func (w *world) work() {
	w.T.Helper()
	w.budget.pass(w, sweepEvery)
	w.budget.sweep(w)
	if w.in(standstill) {
		return
	}
	if w.in(failing) {
		w.failStorage(0.02)
	}
	var readers sync.WaitGroup
	for _, k := range w.some(2) {
		// What they get is looked at in observe; here they are in the way.
		readers.Go(func() { w.Do(logical.ReadOperation, "creds/"+k.ref, nil) })
	}
	err := w.Sweep(w.T.Context())
	readers.Wait()
	if err != nil && !w.in(failing) && !w.life.dead.Load() {
		w.wrong("the sweep: %v", err)
	}
	w.Storage.Reset()
	if w.life.dead.Load() {
		w.start()
	}
	if w.in(crashing) { // it may not have come to it
		w.life.calls.Store(0)
		w.life.ops.Store(0)
	}
}

// some returns n that the engine keeps.
func (w *world) some(n int) (some []*kept) {
	for range min(n, len(w.kept)) {
		if k := w.kept[w.rand.IntN(len(w.kept))]; !k.gone {
			some = append(some, k)
		}
	}
	return some
}

// observe looks at some credentials, or all, and at each that is dead and was
// not noticed yet.
func (w *world) observe(all bool) {
	w.T.Helper()
	calm := w.calm()
	for _, k := range w.kept {
		if k.deleting != "" && !k.gone {
			w.fell(k)
		}
		if !k.died.IsZero() && calm {
			k.calm += sweepEvery
		}
	}
	if w.in(standstill) {
		return
	}
	looked := w.some(4)
	for _, k := range w.kept {
		if !k.gone && (all || !k.died.IsZero() && !k.noticed || k.deleting != "") && !slices.Contains(looked, k) {
			looked = append(looked, k)
		}
	}
	for _, k := range looked {
		w.look(k)
		k.deleting = ""
	}
}

// checkLeftovers looks at what lies in storage after quiet days.
func (w *world) checkLeftovers() {
	w.T.Helper()
	w.CheckInvariants("at the end")
	entries, err := w.Storage.Keys(w.T.Context(), "due/")
	if err != nil {
		w.T.Fatal(err)
	}
	n := w.living()
	for _, k := range w.kept {
		if !k.gone && k.noticed && w.Read("connections/" + k.ref)["next_due_at"] != nil {
			n++ // it is dead, and asked about for a month
		}
	}
	if len(entries) != n {
		w.wrong("%d credentials have %d entries in the due index", n, len(entries))
	}
	for ref, token := range w.gone {
		if known, _ := w.Facebook.Inspect(token); known.Valid {
			w.wrong("%s was deleted, and its grant lives", ref)
		}
		w.Refused("not_found", 404, logical.ReadOperation, "connections/"+ref, nil)
	}
}
