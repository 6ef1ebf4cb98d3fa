package vaulttest

import (
	"net"
	"sync"
)

// A wire relays the other nodes' connections to a node.
type wire struct {
	of       *Server
	listener net.Listener

	mu sync.Mutex
	to string // where the node listens
}

func newWire(of *Server) (*wire, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	w := &wire{of: of, listener: l}
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go w.relay(near)
		}
	}()
	return w, nil
}

func (w *wire) address() string { return w.listener.Addr().String() }

// lead sets the address to which the wire leads.
func (w *wire) lead(to string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.to = to
}

// relay relays one connection.
func (w *wire) relay(near net.Conn) {
	defer near.Close()
	from := w.of.cluster.callerFrom(near.RemoteAddr().String())
	if w.lost(from) {
		return
	}
	w.mu.Lock()
	to := w.to
	w.mu.Unlock()
	far, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer far.Close()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			w.pump(from, pair[0], pair[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}

func (w *wire) pump(from *Server, source, sink net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := source.Read(buffer)
		if w.lost(from) || err != nil {
			return
		}
		if _, err := sink.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// lost reports whether the connection between the node from and the wire's own node is cut. If so it returns only when that is over: in
// a failed network a connection hangs, and is not refused.
func (w *wire) lost(from *Server) bool {
	c := w.of.cluster
	c.mu.Lock()
	apart, healed := c.isolated != nil && (c.isolated == from || c.isolated == w.of), c.healed
	c.mu.Unlock()
	if apart {
		<-healed
	}
	return apart
}

func (w *wire) close() {
	if w != nil {
		_ = w.listener.Close()
	}
}

// Isolate cuts a node off from the others of a wired cluster, in both directions, until Heal. Its API can still be reached.
func (c *Cluster) Isolate(s *Server) {
	c.Heal()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isolated, c.healed = s, make(chan struct{})
}

// Heal ends what Isolate began. It may be repeated.
func (c *Cluster) Heal() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.isolated != nil {
		c.isolated = nil
		close(c.healed)
	}
}

// callerFrom returns the node whose connection has the address; nil: it is not known.
func (c *Cluster) callerFrom(address string) *Server {
	for _, s := range c.Nodes {
		if pid := s.PID(); pid != 0 && ConnectsFrom([]int{pid}, address) {
			return s
		}
	}
	return nil
}
