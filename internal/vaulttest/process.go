package vaulttest

import (
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync/atomic"
)

// StartProcess starts a process that ends, at the latest, when this one ends in whatever way. (On systems other than Linux it may
// survive if this one is killed.) exited is closed when it has ended and been waited for.
//
// It has a directory of its own for temporary files, which is removed with it: a killed plugin leaves its socket there. The directory's
// name is short, because the path of a socket is limited to some hundred bytes.
func StartProcess(cmd *exec.Cmd) (exited <-chan struct{}, err error) {
	temp, err := os.MkdirTemp("", "authpipe-")
	if err != nil {
		return nil, err
	}
	// A program with the race detector sleeps for a second before it exits, to find races of its last moments. Vault starts and
	// ends a plugin three times when it mounts it.
	cmd.Env = append(cmd.Environ(), "TMPDIR="+temp, "GORACE=atexit_sleep_ms=20")
	dieWithParent(cmd)
	started, done := make(chan error), make(chan struct{})
	go func() {
		// For the kernel the thread that forked is the parent, so that thread must live as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		if err != nil {
			_ = os.RemoveAll(temp)
			started <- err
			return
		}
		started <- nil
		_ = cmd.Wait() // its log has the reason
		_ = os.RemoveAll(temp)
		close(done)
	}()
	return done, <-started
}

// nextPort is where the search for ports goes on. It begins below the range from which kernels choose ports, because other processes,
// and this one's simulators, get theirs from there.
var nextPort = func() *atomic.Int32 {
	var port atomic.Int32
	port.Store(20000 + 2*mathrand.Int32N(4000))
	return &port
}()

// FreeAddress returns an address on loopback with a free port, another one each time. The next port is free too: Vault listens on it
// for its cluster. Another process may take either before Vault does.
func FreeAddress() (string, error) {
	for range 1000 {
		port := nextPort.Add(2)
		address := fmt.Sprintf("127.0.0.1:%d", port)
		if free(address) && free(fmt.Sprintf("127.0.0.1:%d", port+1)) {
			return address, nil
		}
	}
	return "", errors.New("found no free port")
}

func free(address string) bool {
	l, err := net.Listen("tcp", address)
	return err == nil && l.Close() == nil
}
