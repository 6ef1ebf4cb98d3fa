package ha_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// A blow is a fault that has struck.
type blow struct {
	name                   string
	caught                 time.Time // since when Facebook's answers were held
	begun, mended, settled time.Time
	ours, yardstick        outage
	traded                 []string // refreshed twice, which it explains
	interrupted            int      // sessions
	lost                   []string // credentials
}

// longest is how long answers are held at the most: the engine gives a call up after ten seconds, and may send its code again.
const longest = 5 * time.Second

// strike has a fault happen while Facebook's answers to a code and to a refresh are on their way: what they bring must be lost
// with the crash, and nothing else. It returns when every node serves again.
func (l *load) strike(f fault, n int) *blow {
	l.t.Helper()
	if f.prepare != nil {
		f.prepare(l.world)
	}
	b := &blow{name: f.name, caught: time.Now()}
	letGo, open := l.catch(f)
	defer open()
	inTime := time.AfterFunc(longest, letGo)
	defer inTime.Stop()
	b.begun = time.Now()
	mend, err := f.strike(l.world, n)
	letGo()
	if err == nil {
		err = mend()
	}
	if err != nil {
		l.t.Fatalf("%s: %v", f.name, err)
	}
	open()
	b.mended = time.Now()
	l.await("every node to serve again", func() bool {
		for _, p := range l.probes {
			if p.since(b.mended) < 3 {
				return false
			}
		}
		return l.voters(l.cluster.Load()) == nodes
	})
	b.settled = time.Now()
	b.ours, b.yardstick = l.outage(false, b.begun, b.settled), l.outage(true, b.begun, b.settled)
	since := time.Now()
	if f.forgets {
		since = b.begun
	}
	b.lost = l.lost(since)
	return b
}

// catch holds Facebook's answers to one code and to one refresh, which have taken effect, and has whoever comes after them wait at
// the door. It returns when all who connect stand there, so that it is no new token of theirs whose answer is held, and when
// what else was refreshed is kept.
//
// letGo is for when the fault has struck: it sends the two answers. Who stands at the door then has not been heard, unless the fault
// spares them. Who came after that waits for open.
func (l *load) catch(f fault) (letGo, open func()) {
	l.t.Helper()
	letCode, openCodes := l.hold(authpipetest.EndpointAccessToken, nodes, authpipetest.Fault{Hang: true})
	letRefresh, leave := l.hold(authpipetest.EndpointExchangeToken, 1, authpipetest.Fault{Hang: true, Reset: !f.spares})
	l.await("what is refreshed to be kept", func() bool { return !l.underWay() })
	openRefreshes := func() {}
	letGo = sync.OnceFunc(func() {
		openRefreshes = l.facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true})
		letCode()
		letRefresh()
		if !f.spares {
			leave()
		}
	})
	return letGo, func() { letGo(); openCodes(); leave(); openRefreshes() }
}

// hold has the next call of an endpoint take effect and holds its answer, and has the rest wait at the door. It returns when there
// are so many in all.
func (l *load) hold(endpoint string, many int, rest authpipetest.Fault) (letGo, open func()) {
	l.t.Helper()
	rest.Endpoint = endpoint
	since := time.Now()
	letGo = l.facebook.Fail(authpipetest.Fault{Endpoint: endpoint, Times: 1, Hang: true, AfterEffect: true})
	open = l.facebook.Fail(rest)
	l.await("calls of "+endpoint+" to be held", func() bool {
		held := 0
		for _, r := range l.facebook.Requests() {
			if r.Endpoint == endpoint && r.Status == 0 && !r.Time.Before(since) {
				held++
			}
		}
		return held >= many
	})
	return letGo, open
}

// underWay tells whether a refresh is under way whose answer has been sent: the engine has it, and has not stored it yet.
func (l *load) underWay() bool {
	for _, r := range l.facebook.Requests() {
		if r.Endpoint != authpipetest.EndpointExchangeToken || r.Status == 0 || time.Since(r.Time) > impatience {
			continue
		}
		token := parameter(r, "fb_exchange_token")
		seen, _ := l.facebook.Inspect(token)
		if ref := l.refOf(seen.User); ref != "" {
			answer, _ := l.read(0, ref)
			if data, _ := answer["data"].(map[string]any); data["access_token"] == token {
				return true
			}
		}
	}
	return false
}

// voters counts the nodes of a cluster whose word counts: a new one's does not at first, and without a majority nobody leads.
func (w *world) voters(c *vaulttest.Cluster) (n int) {
	text, _ := w.send(context.Background(), c, 0, http.MethodGet, "sys/storage/raft/configuration", nil)
	var answer struct {
		Data struct {
			Config struct{ Servers []struct{ Voter bool } }
		}
	}
	_ = json.Unmarshal(text, &answer) // no answer has no voters
	for _, server := range answer.Data.Config.Servers {
		if server.Voter {
			n++
		}
	}
	return n
}

// lost reads all that anybody was told is connected before then, through each node, and returns what is not there or is not right.
func (l *load) lost(then time.Time) (lost []string) {
	for ref, c := range l.connections() {
		if c.since.After(then) {
			continue
		}
		for node := range nodes {
			answer, status := l.read(node, ref)
			if flaw := l.flaw(answer, status, c.person); flaw != "" {
				lost = append(lost, fmt.Sprintf("%s through node %d: %s", ref, node+1, flaw))
			}
		}
	}
	return lost
}
