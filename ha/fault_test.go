package ha_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/authpipetest"
	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// A fault is something that happens to a cluster.
type fault struct {
	name string
	// prepare is done before; nil: nothing is to be prepared.
	prepare func(w *world)
	// strike has it happen, and returns what ends it and puts things in order.
	strike func(w *world, n int) (mend func() error, err error)
	// forgets tells that what was done in the moment before is not expected to be remembered.
	forgets bool
}

// faults are in the order in which they come round. n counts how often each has.
var faults = []fault{
	{name: "kill -9 the leader", strike: killLeader},
	{name: "step down", strike: stepDown},
	{name: "kill -9 the plugin", strike: killPlugin},
	{name: "cut a node off", strike: cutOff},
	{name: "restart everything", strike: restartAll},
	{name: "restore a snapshot elsewhere", prepare: func(w *world) { w.spare = w.start() }, strike: restoreElsewhere, forgets: true},
}

// killLeader ends Vault on the active node. Who watches over processes ends what it has left behind and starts it again.
func killLeader(w *world, _ int) (func() error, error) {
	leader, err := w.cluster.Load().Active()
	if err != nil {
		return nil, err
	}
	leader.Kill()
	return func() error { return again(leader) }, nil
}

func again(s *vaulttest.Server) error {
	s.KillPlugins()
	if err := s.Launch(); err != nil {
		return err
	}
	return s.Unseal()
}

func stepDown(w *world, _ int) (func() error, error) {
	leader, err := w.cluster.Load().Active()
	if err != nil {
		return nil, err
	}
	vault, err := leader.Client()
	if err != nil {
		return nil, err
	}
	return nothing, vault.Sys().StepDown()
}

func nothing() error { return nil }

func killPlugin(w *world, _ int) (func() error, error) {
	leader, err := w.cluster.Load().Active()
	if err != nil {
		return nil, err
	}
	leader.KillPlugins()
	return nothing, nil
}

// cutOff isolates the leader, and another time a standby. Those who ask the isolated node reach it still. It lasts until the
// others have a leader, and some time more.
func cutOff(w *world, n int) (func() error, error) {
	c := w.cluster.Load()
	leader, err := c.Active()
	if err != nil {
		return nil, err
	}
	cut := leader
	if n%2 == 1 {
		for _, s := range c.Nodes {
			if s != leader {
				cut = s
			}
		}
	}
	c.Isolate(cut)
	return func() error {
		defer c.Heal()
		led := time.Time{}
		w.await("the others to have had a leader for a while", func() bool {
			for _, s := range c.Nodes {
				if s != cut && s.Active() {
					if led.IsZero() {
						led = time.Now()
					}
					return time.Since(led) > 3*time.Second
				}
			}
			led = time.Time{}
			return false
		})
		return nil
	}, nil
}

// restartAll ends all nodes at once, in order or, another time, as when the current fails.
func restartAll(w *world, n int) (func() error, error) {
	c := w.cluster.Load()
	err := c.Each(func(s *vaulttest.Server) error {
		if n%2 == 1 {
			s.Kill()
			return nil
		}
		return s.End()
	})
	return func() error { return c.Each(again) }, err
}

// restoreElsewhere takes a snapshot, loses the cluster, and has a fresh one take its place. It answers to the lost one's
// unseal key and tokens from then on, for it has its storage.
func restoreElsewhere(w *world, _ int) (func() error, error) {
	lost, fresh := w.cluster.Load(), w.spare
	snapshot, err := save(lost)
	if err != nil {
		return nil, err
	}
	_ = lost.Each(func(s *vaulttest.Server) error { s.Kill(); return nil })
	return func() error {
		if err := restore(fresh, snapshot); err != nil {
			return err
		}
		fresh.Inherit(lost)
		if err := fresh.Each((*vaulttest.Server).Reopen); err != nil {
			return err
		}
		w.await("the fresh cluster to have a leader", func() bool { _, err := fresh.Active(); return err == nil })
		w.cluster.Store(fresh)
		w.inspect(lost)
		lost.Stop()
		return nil
	}, nil
}

func save(c *vaulttest.Cluster) ([]byte, error) { return snapshot(c, http.MethodGet, "snapshot", nil) }

func restore(c *vaulttest.Cluster, text []byte) error {
	_, err := snapshot(c, http.MethodPost, "snapshot-force", text)
	return err
}

func snapshot(c *vaulttest.Cluster, method, path string, body []byte) ([]byte, error) {
	leader, err := c.Active()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, leader.Addr+"/v1/sys/storage/raft/"+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Vault-Token", c.Token())
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= 300 {
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, fmt.Errorf("%s of a snapshot: %w: %.500s", method, err, text)
	}
	return text, nil
}

// A blow is a fault that has struck.
type blow struct {
	name                   string
	begun, mended, settled time.Time
	ours, yardstick        outage
	traded                 []string // refreshed twice, which it explains
	interrupted            int      // sessions
	lost                   []string // credentials
}

// strike has a fault happen while Facebook's answers to a code and to a refresh are on their way: what they bring must be lost
// with the crash, and nothing else. It returns when every node serves again.
func (l *load) strike(f fault, n int) *blow {
	l.t.Helper()
	if f.prepare != nil {
		f.prepare(l.world)
	}
	letGo := l.catch(authpipetest.EndpointAccessToken, authpipetest.EndpointExchangeToken)
	defer letGo()
	b := &blow{name: f.name, begun: time.Now()}
	mend, err := f.strike(l.world, n)
	letGo()
	if err == nil {
		err = mend()
	}
	if err != nil {
		l.t.Fatalf("%s: %v", f.name, err)
	}
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

// catch holds the next answer of each endpoint, which has taken effect, and returns when it does.
func (l *load) catch(endpoints ...string) (letGo func()) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), patience)
	defer cancel()
	var clear []func()
	var all sync.WaitGroup
	for _, endpoint := range endpoints {
		clear = append(clear, l.facebook.Fail(authpipetest.Fault{Endpoint: endpoint, Times: 1, Hang: true, AfterEffect: true}))
		n := l.facebook.Count(endpoint)
		all.Go(func() {
			if err := l.facebook.AwaitCount(ctx, endpoint, n+1); err != nil {
				l.t.Error(err)
			}
		})
	}
	all.Wait()
	return func() {
		for _, clear := range clear {
			clear()
		}
	}
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
			answer, status := l.until(l.t.Context(), node, http.MethodGet, "authpipe/creds/"+ref, nil)
			if flaw := l.flaw(answer, status, c.person); flaw != "" {
				lost = append(lost, fmt.Sprintf("%s through node %d: %s", ref, node+1, flaw))
			}
		}
	}
	return lost
}
