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

// An incident is a fault that was injected, and its consequences.
type incident struct {
	name                     string
	held                     time.Time // when the holding of Facebook's responses began
	begun, repaired, settled time.Time
	ours, yardstick          outage
	traded                   []string // tokens that it explains to have been refreshed twice
	interrupted              int      // sessions
	lost                     []string // credentials
}

// longest bounds how long responses are held: the engine gives up a call after ten seconds, and may send its code again.
const longest = 5 * time.Second

// inject injects a fault while Facebook's responses to a code and to a refresh are on their way: those two, and no others, may be lost
// in the crash. It returns when every node serves again.
func (l *load) inject(f fault, n int) *incident {
	l.t.Helper()
	if f.prepare != nil {
		f.prepare(l.environment)
	}
	b := &incident{name: f.name, held: time.Now()}
	release, open := l.hold(f)
	defer open()
	inTime := time.AfterFunc(longest, release)
	defer inTime.Stop()
	b.begun = time.Now()
	repair, err := f.inject(l.environment, n)
	release()
	if err == nil {
		err = repair()
	}
	if err != nil {
		l.t.Fatalf("%s: %v", f.name, err)
	}
	open()
	b.repaired = time.Now()
	l.await("every node to serve again after "+f.name, func() error {
		for _, p := range l.probes {
			if n := p.since(b.repaired); n < 3 {
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

// hold lets one code and one refresh take effect, holds Facebook's responses to them, and holds later calls before they take effect.
// It returns when a call of each connecting person is held, so that the held refresh is not of a new token, and when all other
// refreshes are stored.
//
// release, for after the fault, sends the two responses. It resets the held refreshes, which have had no effect, unless the fault
// spares them. Later calls wait for open.
func (l *load) hold(f fault) (release, open func()) {
	l.t.Helper()
	letCode, openCodes := l.holdOne(authpipetest.EndpointAccessToken, nodes, authpipetest.Fault{Hang: true})
	letRefresh, leave := l.holdOne(authpipetest.EndpointExchangeToken, 1, authpipetest.Fault{Hang: true, Reset: !f.spares})
	l.await("refreshes to be stored", l.stored)
	openRefreshes := func() {}
	release = sync.OnceFunc(func() {
		openRefreshes = l.facebook.Fail(authpipetest.Fault{Endpoint: authpipetest.EndpointExchangeToken, Hang: true})
		letCode()
		letRefresh()
		if !f.spares {
			leave()
		}
	})
	return release, func() { release(); openCodes(); leave(); openRefreshes() }
}

// holdOne lets the next call of an endpoint take effect, holds its response, and holds later calls before they take effect. It returns
// when many calls are held in all.
func (l *load) holdOne(endpoint string, many int, rest authpipetest.Fault) (release, open func()) {
	l.t.Helper()
	rest.Endpoint = endpoint
	since := time.Now()
	release = l.facebook.Fail(authpipetest.Fault{Endpoint: endpoint, Times: 1, Hang: true, AfterEffect: true})
	open = l.facebook.Fail(rest)
	l.await("calls of "+endpoint+" to be held", func() error {
		held := 0
		for _, r := range l.facebook.Requests() {
			if r.Endpoint == endpoint && r.Status == 0 && !r.Time.Before(since) {
				held++
			}
		}
		if held < many {
			return fmt.Errorf("%d of %d are held", held, many)
		}
		return nil
	})
	return release, open
}

// stored returns an error if the engine has received the response to a refresh and not stored it yet. Responses from before the last
// incident do not count: those that it has lost are refreshed again when they are due.
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
				return fmt.Errorf("%s was refreshed at %s, and its former token is served", ref, r.Time.Format(time.StampMilli))
			}
		}
		l.kept[token] = true
	}
	return nil
}

// allVote returns an error unless all nodes of a cluster are voters. A new node is none at first, and a leader needs a majority.
func (w *environment) allVote(c *vaulttest.Cluster) error {
	ctx, cancel := context.WithTimeout(context.Background(), impatience)
	defer cancel()
	text, status := w.send(ctx, c, 0, http.MethodGet, "sys/storage/raft/configuration", nil)
	var answer struct {
		Data struct {
			Config struct{ Servers []struct{ Voter bool } }
		}
	}
	_ = json.Unmarshal(text, &answer) // without a response there are no voters
	n := 0
	for _, server := range answer.Data.Config.Servers {
		if server.Voter {
			n++
		}
	}
	if n != nodes {
		return fmt.Errorf("%d of %d nodes are voters; status %d", n, nodes, status)
	}
	return nil
}

// lost reads, through each node, all credentials whose connecting was confirmed before then, and returns those that are missing or
// wrong.
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
