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
	l.await("every node to serve again after "+f.name, func() error {
		for _, p := range l.probes {
			if n := p.since(b.mended); n < 3 {
				return fmt.Errorf("node %d (KV: %t) has served %d reads; the last failures: %s", p.node+1, p.kv, n, p.lastFailures())
			}
		}
		return l.allVote(l.cluster.Load())
	})
	b.settled = time.Now()
	l.settled.Store(&b.settled)
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
	l.await("refreshes to be stored", l.stored)
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
	l.await("calls of "+endpoint+" to be held", func() error {
		held := 0
		for _, r := range l.facebook.Requests() {
			if r.Endpoint == endpoint && r.Status == 0 && !r.Time.Before(since) {
				held++
			}
		}
		if held < many {
			return fmt.Errorf("%d of %d are", held, many)
		}
		return nil
	})
	return letGo, open
}

// stored returns an error if the engine has the answer to a refresh and has not stored it yet. What a fault has lost before does not
// count: it is refreshed again when it is due.
func (l *load) stored() error {
	var since time.Time
	if settled := l.settled.Load(); settled != nil {
		since = *settled
	}
	for _, r := range l.facebook.Requests() {
		token := parameter(r, "fb_exchange_token")
		if r.Endpoint != authpipetest.EndpointExchangeToken || r.Status == 0 || r.Time.Before(since) || l.kept[token] {
			continue
		}
		seen, _ := l.facebook.Inspect(token)
		if ref := l.refOf(seen.User); ref != "" {
			answer, _ := l.read(0, ref)
			if data, _ := answer["data"].(map[string]any); data["access_token"] == token {
				return fmt.Errorf("%s was refreshed at %s, and is served as it was before", ref, r.Time.Format(time.StampMilli))
			}
		}
		l.kept[token] = true
	}
	return nil
}

// allVote returns an error unless all nodes of a cluster have a vote: a new one's does not count at first, and without a majority
// nobody leads.
func (w *world) allVote(c *vaulttest.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), impatience)
	defer cancel()
	text, status := w.send(ctx, c, 0, http.MethodGet, "sys/storage/raft/configuration", nil)
	var answer struct {
		Data struct {
			Config struct{ Servers []struct{ Voter bool } }
		}
	}
	_ = json.Unmarshal(text, &answer) // no answer has no voters
	n := 0
	for _, server := range answer.Data.Config.Servers {
		if server.Voter {
			n++
		}
	}
	if n != nodes {
		return fmt.Errorf("%d of %d nodes have a vote, by an answer with status %d", n, nodes, status)
	}
	return nil
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
