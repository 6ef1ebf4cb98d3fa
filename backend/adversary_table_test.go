package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A move is something that the adversary tries.
type move struct {
	name     string
	section  string // of RFC 9700, or "update" and a section of draft-ietf-oauth-security-topics-update
	has      string // what the adversary has for it
	applies  func(configuration) bool
	play     func(*attack)
	outcomes []outcome
}

// An outcome is what a move comes to in some configurations. Of several the first that holds counts.
type outcome struct {
	in      func(configuration) bool // nil: all others
	when    string                   // the configurations, in words
	want    evidence
	stops   string // what stopped it, in words
	remains string // that nothing stops it, and the condition
}

// Evidence is what shows how a move ended.
type evidence struct {
	happened          string // what the adversary's requests and the application got, each once
	victim, adversary string // how their sessions read
	events            string
	breach            string // whose token is where it should not be
}

func (a *attack) evidence() evidence {
	a.T.Helper()
	return evidence{strings.Join(a.happened, ", "), a.victim.how(), a.adversary.how(), a.published(), a.breach()}
}

var (
	whereDialog   = configuration.dialog
	whereCode     = func(c configuration) bool { return c.route != onDevice }
	whereDevice   = func(c configuration) bool { return c.route == onDevice }
	whereSDK      = func(c configuration) bool { return c.route == bySDK }
	whereRelayed  = func(c configuration) bool { return c.route == relayed }
	whereBound    = func(c configuration) bool { return c.dialog() && c.openid }
	whereRedeemed = configuration.redeemed
	whereShown    = func(c configuration) bool { return c.route == shown && c.completion == "confirm" }
	whereReturned = func(c configuration) bool { return c.route == returned && c.completion == "confirm" }
	// PKCE has no part in moves without a code.
	wherePKCEIsAuto = func(c configuration) bool { return c.pkce == "auto" }
	whereParked     = func(c configuration) bool { return c.atVault() && c.completion == "confirm" }
)

// checkLogs holds what is read in logs to what a login leaves there.
func (s *setting) checkLogs() {
	s.T.Helper()
	a := s.newAttack("reads logs", 1000)
	a.victim.connects()
	for _, from := range []logName{vaultLog, appLog} {
		var got []string
		for _, parameter := range []string{"code", "connect_code", "state"} {
			if a.read(from, parameter) != nil {
				got = append(got, parameter)
			}
		}
		if want := s.held()[from]; !slices.Equal(got, want) {
			s.T.Errorf("%s holds %q, want %q", from, got, want)
		}
	}
}

// moves are all that are tried.
func moves() []move { return slices.Concat(codeMoves, fixationMoves, sessionMoves, tenantMoves) }

// outcome returns the one that the move is to have in a configuration.
func (m move) outcome(c configuration) (i int, o outcome) {
	for i, o := range m.outcomes {
		if o.in == nil || o.in(c) {
			return i, o
		}
	}
	return -1, outcome{}
}

// saysThatItRemains reports whether an outcome, or the one whose words it shares, says what remains.
func (m move) saysThatItRemains(i int) bool {
	for i > 0 && m.outcomes[i].stops == "" && m.outcomes[i].remains == "" {
		i--
	}
	return m.outcomes[i].remains != ""
}

// TestAdversary tries every move in every configuration. Each ends as it is written down: with a token of the victim's in the adversary's
// hands, or an account of the adversary's in the victim's tenant, only where the outcome says that it remains.
func TestAdversary(t *testing.T) {
	reached := map[string]int{}
	for _, c := range configurations() {
		t.Run(c.String(), func(t *testing.T) {
			s := newSetting(t, c)
			s.checkLogs()
			for number, m := range moves() {
				if m.applies != nil && !m.applies(c) {
					continue
				}
				a := s.newAttack(m.name, number)
				m.play(a)
				i, o := m.outcome(c)
				reached[fmt.Sprint(m.name, i)]++
				if got := a.evidence(); got != o.want {
					t.Errorf("the adversary %s:\n got %q\nwant %q", m.name, got, o.want)
				}
			}
		})
	}
	for _, m := range moves() {
		for i, o := range m.outcomes {
			if reached[fmt.Sprint(m.name, i)] == 0 {
				t.Errorf("the adversary %s: no configuration has outcome %d", m.name, i+1)
			}
			if o.want.breach != "" && !m.saysThatItRemains(i) {
				t.Errorf("the adversary %s: outcome %d is a breach that does not say so", m.name, i+1)
			}
		}
	}
}
