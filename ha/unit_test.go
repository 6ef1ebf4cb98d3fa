package ha_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// The tests of the analysis need no cluster.

var noon = time.Date(2026, time.November, 23, 12, 0, 0, 0, time.UTC)

func at(seconds ...float64) (all []time.Time) {
	for _, s := range seconds {
		all = append(all, noon.Add(time.Duration(s*float64(time.Second))))
	}
	return all
}

// anIncident returns an incident that holds responses from second 9.5 on, begins at 20 and is over at 30.
func anIncident() *incident {
	t := at(9.5, 20, 30)
	return &incident{name: "an incident", held: t[0], begun: t[1], settled: t[2]}
}

func code(seconds float64) authpipetest.Request {
	return authpipetest.Request{Time: at(seconds)[0], Endpoint: authpipetest.EndpointAccessToken, Query: url.Values{"code": {"C"}}, Served: true}
}

func session(begun, ended float64) []span {
	return []span{{at(begun)[0], at(ended)[0]}}
}

func trade(seconds float64) authpipetest.Request {
	return authpipetest.Request{Time: at(seconds)[0], Endpoint: authpipetest.EndpointExchangeToken, Query: url.Values{"fb_exchange_token": {"T"}}, Served: true}
}

func TestFindingsOfRequests(t *testing.T) {
	type counts struct{ CodesTwice, Unexplained, Undue, Traded, Interrupted int }
	notServed, notHeard := trade(40), code(40)
	notServed.Served, notHeard.Served = false, false
	for name, c := range map[string]struct {
		requests      []authpipetest.Request
		interruptions []span
		notDue        bool
		want          counts
	}{
		"each once":                                     {requests: []authpipetest.Request{code(1), trade(2)}},
		"a code twice without a crash":                  {requests: []authpipetest.Request{code(19), code(31)}, want: counts{CodesTwice: 1}},
		"a code again that had no effect":               {requests: []authpipetest.Request{code(19), notHeard}},
		"a refresh whose response was held in a crash":  {requests: []authpipetest.Request{trade(11), trade(25)}, want: counts{Traded: 1}},
		"a refresh in the crash, and one after":         {requests: []authpipetest.Request{trade(25), trade(31)}, want: counts{Traded: 1}},
		"three times, and one crash":                    {requests: []authpipetest.Request{trade(11), trade(25), trade(29)}, want: counts{Traded: 2}},
		"a refresh again before a crash":                {requests: []authpipetest.Request{trade(11), trade(12)}, want: counts{Unexplained: 1}},
		"a refresh again that a crash cannot have lost": {requests: []authpipetest.Request{trade(9), trade(25)}, want: counts{Unexplained: 1}},
		"a refresh again, after the crash":              {requests: []authpipetest.Request{trade(31), trade(32)}, want: counts{Unexplained: 1}},
		"a refresh again that had no effect":            {requests: []authpipetest.Request{trade(31), notServed}},
		"a refresh that was not due":                    {requests: []authpipetest.Request{trade(31)}, notDue: true, want: counts{Undue: 1}},
		"a code again before its call was given up":     {requests: []authpipetest.Request{code(9.6), code(19.5)}, want: counts{CodesTwice: 1}},
		"a code again after its call was given up":      {requests: []authpipetest.Request{code(9.6), code(19.7)}},
		"a session interrupted by a crash":              {interruptions: session(18, 21), want: counts{Interrupted: 1}},
		"a session whose outcome is read later":         {interruptions: session(29, 400), want: counts{Interrupted: 1}},
		"a session interrupted before any crash":        {interruptions: session(18, 19), want: counts{Unexplained: 1}},
		"a session that was begun after the crash":      {interruptions: session(31, 32), want: counts{Unexplained: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := anIncident()
			due := map[string]bool{"T": !c.notDue}
			r := record{c.requests, func(string) string { return "1" }, due, c.interruptions, &stalls{}}.analyze([]*incident{b})
			got := counts{len(r.codesTwice), len(r.unexplained), len(r.undue), len(b.traded), b.interrupted}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestLastReturnsLatestIncident(t *testing.T) {
	first, second := anIncident(), anIncident()
	second.begun = at(40)[0]
	for seconds, want := range map[float64]*incident{19: nil, 20: first, 39: first, 40: second, 100: second} {
		if got := last([]*incident{first, second}, at(seconds)[0]); got != want {
			t.Errorf("at second %v it is another incident", seconds)
		}
	}
}

func TestOutsideLeavesOutIncidents(t *testing.T) {
	if diff := cmp.Diff(at(19, 31), outside(at(19, 20, 25, 30, 31), []*incident{anIncident()})); diff != "" {
		t.Error(diff)
	}
}

func TestStallExplainsRepeatedCall(t *testing.T) {
	var s stalls
	s.note(at(90)[0], 10*time.Second)
	for begun, explained := range map[float64]bool{91: true, 200: false} {
		r := record{[]authpipetest.Request{trade(begun), trade(begun + 1)}, func(string) string { return "1" }, map[string]bool{"T": true}, session(begun, begun+1), &s}.analyze(nil)
		if want := map[bool]int{true: 2}[explained]; len(r.stalled) != want || len(r.unexplained) != 2-want {
			t.Errorf("at second %v: %v are explained, %v are not", begun, r.stalled, r.unexplained)
		}
	}
}

func TestStallsAreSummed(t *testing.T) {
	var s stalls
	s.note(at(12)[0], 2*time.Second)  // from 10 to 12
	s.note(at(30)[0], 10*time.Second) // from 20 to 30
	for name, c := range map[string]struct {
		begun, ended float64
		want         time.Duration
	}{
		"none": {13, 19, 0}, "one": {0, 15, 2 * time.Second}, "a part of one": {25, 26, 10 * time.Second}, "both": {11, 21, 12 * time.Second},
	} {
		if got := s.within(at(c.begun)[0], at(c.ended)[0]); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

func TestGapsInServiceAreSummed(t *testing.T) {
	for name, c := range map[string]struct {
		served []time.Time
		want   time.Duration
	}{
		"never served":                     {nil, 2 * time.Second},
		"served all the time":              {at(0, .2, .4, .6, .8, 1, 1.2, 1.4, 1.6, 1.8), 0},
		"not for a second":                 {at(0, .2, .4, 1.4, 1.6, 1.8), time.Second},
		"not at first, and not at the end": {at(.8, 1, 1.2), 1600 * time.Millisecond},
	} {
		if got := without(c.served, noon, noon.Add(2*time.Second)).Round(time.Millisecond); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestGrowth has samples that differ in one figure only, which is of(n) in the nth calm.
func TestGrowth(t *testing.T) {
	level := func(int) int64 { return 30 }
	rises := func(n int) int64 { return 30 + 10*int64(n) }
	memory := func(s *sample, n int64) { s.plugin.Own = n << 20 }
	snapshot := func(s *sample, n int64) { s.snapshot = n << 10 }
	for name, c := range map[string]struct {
		set   func(*sample, int64)
		of    func(int) int64
		calms int
		want  int
	}{
		"nothing grows":                     {memory, level, 20, 0},
		"the plugin's memory":               {memory, rises, 20, 1},
		"its goroutines":                    {func(s *sample, n int64) { s.goroutines = int(n) }, rises, 20, 1},
		"its files":                         {func(s *sample, n int64) { s.plugin.Files = int(n) }, rises, 20, 1},
		"its processes":                     {func(s *sample, n int64) { s.processes = int(n) }, rises, 20, 1},
		"one process that is left behind":   {func(s *sample, n int64) { s.processes = int(n) }, func(n int) int64 { return 1 + int64(n/8) }, 16, 1},
		"Vault's memory":                    {func(s *sample, n int64) { s.vault.Own = n << 20 }, rises, 20, 1},
		"Vault's files":                     {func(s *sample, n int64) { s.vault.Files = int(n) }, rises, 20, 1},
		"storage":                           {snapshot, rises, 40, 1},
		"storage before it should be level": {snapshot, func(n int) int64 { return 10 * int64(min(n, 20)) }, 40, 0},
		"a peak":                            {memory, func(n int) int64 { return 30 + 500*int64(n%2) }, 20, 0},
		"growth at first only":              {memory, func(n int) int64 { return 60 * int64(min(n, 1)) }, 20, 0},
		"a run with too few calms":          {memory, func(n int) int64 { return 100 * int64(n) }, 4, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var samples []sample
			for n := range c.calms {
				s := sample{at: noon.Add(time.Duration(n) * time.Minute), goroutines: 20, processes: 1, plugin: vaulttest.Usage{Own: 20 << 20}}
				c.set(&s, c.of(n))
				samples = append(samples, s)
			}
			if grown := growth(samples); len(grown) != c.want {
				t.Errorf("%d grow: %v", len(grown), grown)
			}
		})
	}
}
