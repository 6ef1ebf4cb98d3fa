package vaulttest

import (
	"net"
	"sync"
)

// A wire relays to a node what the other nodes of its cluster send it.
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

// lead says where the wire leads.
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

// lost reports whether nothing gets through between the node from and the wire's own. If so it returns when that is over, for in
// a network that has failed nobody is told: what is sent gets no answer, not even that a connection is refused.
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

// Isolate cuts a node off from the others of a wired cluster, both ways, until Heal. Who asks its API reaches it still.
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

// callerFrom returns the node whose connection has the address, or nil if nobody knows.
func (c *Cluster) callerFrom(address string) *Server {
	for _, s := range c.Nodes {
		if pid := s.PID(); pid != 0 && ConnectsFrom([]int{pid}, address) {
			return s
		}
	}
	return nil
}
