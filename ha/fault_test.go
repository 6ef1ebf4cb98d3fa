package ha_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/vaulttest"
)

// A fault is a failure of a part of a cluster.
type fault struct {
	name string
	// prepare is called before, unless it is nil.
	prepare func(w *environment)
	// inject makes it happen, and returns a function that ends it and repairs the cluster.
	inject func(w *environment, n int) (repair func() error, err error)
	// forgets is set if the writes just before it may be lost.
	forgets bool
	// spares is set if it does not interrupt requests under way.
	spares bool
}

// faults are in the order in which they are injected, over and over. n counts the rounds.
var faults = []fault{
	{name: "kill -9 the leader", inject: killLeader},
	{name: "step down", inject: stepDown, spares: true},
	{name: "kill -9 the plugin", inject: killPlugin},
	{name: "cut the leader off", inject: cutLeaderOff},
	{name: "restart everything", inject: restartAll},
	{name: "cut a standby off", inject: cutStandbyOff, spares: true},
	{name: "restore a snapshot elsewhere", prepare: func(w *environment) { w.spare = w.start() }, inject: restoreElsewhere, forgets: true},
}

// killLeader kills Vault on the active node, and starts it again beside the plugin that it has left behind.
func killLeader(w *environment, _ int) (func() error, error) {
	leader := w.leader(w.cluster.Load())
	leader.Kill()
	return func() error { return again(leader) }, nil
}

// leader returns the active node of a cluster. If the machine stalls for some seconds there may be none for a moment.
func (w *environment) leader(c *vaulttest.Cluster) (leader *vaulttest.Server) {
	w.t.Helper()
	w.await("a leader", func() (err error) {
		leader, err = c.Active()
		return err
	})
	return leader
}

func again(s *vaulttest.Server) error {
	if err := s.Launch(); err != nil {
		return err
	}
	return s.Unseal()
}

func stepDown(w *environment, _ int) (func() error, error) {
	leader := w.leader(w.cluster.Load())
	vault, err := leader.Client()
	if err != nil {
		return nil, err
	}
	return nothing, vault.Sys().StepDown()
}

func nothing() error { return nil }

func killPlugin(w *environment, _ int) (func() error, error) {
	leader := w.leader(w.cluster.Load())
	leader.KillPlugins()
	return nothing, nil
}

// cutLeaderOff isolates the leader until the others have one, and waits until the deposed one has ended its plugin.
func cutLeaderOff(w *environment, _ int) (func() error, error) {
	leader := w.leader(w.cluster.Load())
	repair := w.cutOff(leader)
	return func() error {
		repair()
		w.await("the deposed leader to end its plugin", func() error {
			if left := vaulttest.ProcessesOf(leader.Program()); len(left) > 0 {
				return fmt.Errorf("its processes are %v", left)
			}
			return nil
		})
		return nil
	}, nil
}

func cutStandbyOff(w *environment, n int) (func() error, error) {
	c := w.cluster.Load()
	leader := w.leader(c)
	i := slices.Index(c.Nodes, leader)
	repair := w.cutOff(c.Nodes[(i+1+n%(nodes-1))%nodes])
	return func() error { repair(); return nil }, nil
}

// cutOff isolates a node from the others, but not from clients. repair ends that when the others have had a leader for some time.
func (w *environment) cutOff(cut *vaulttest.Server) (repair func()) {
	c := w.cluster.Load()
	c.Isolate(cut)
	return func() {
		defer c.Heal()
		led := time.Time{}
		w.await("the others to have a leader for 3 s", func() error {
			for _, s := range c.Nodes {
				if s == cut || !s.Active() {
					continue
				}
				if led.IsZero() {
					led = time.Now()
				}
				if had := time.Since(led); had <= 3*time.Second {
					return fmt.Errorf("they have had one for %v", had)
				}
				return nil
			}
			led = time.Time{}
			return errors.New("they have none")
		})
	}
}

// restartAll ends all nodes at the same time: orderly, or in odd rounds by SIGKILL, as if the power failed.
func restartAll(w *environment, n int) (func() error, error) {
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

// restoreElsewhere takes a snapshot, kills the cluster, and restores the snapshot in a fresh one, which has the lost one's unseal key
// and tokens from then on.
func restoreElsewhere(w *environment, _ int) (func() error, error) {
	lost, fresh := w.cluster.Load(), w.spare
	var snapshot []byte
	w.await("a snapshot", func() (err error) {
		snapshot, err = save(lost)
		return err
	})
	_ = lost.Each(func(s *vaulttest.Server) error { s.Kill(); return nil })
	return func() error {
		w.await("the fresh cluster to take the snapshot", func() error { return restore(fresh, snapshot) })
		fresh.Inherit(lost)
		if err := fresh.Each((*vaulttest.Server).Reopen); err != nil {
			return err
		}
		w.await("the fresh cluster to have a leader", func() error { _, err := fresh.Active(); return err })
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
