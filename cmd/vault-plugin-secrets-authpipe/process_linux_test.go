package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// dieWithParent has the kernel send cmd a SIGTERM when this process ends by whatever cause, a panic, a test's time
// limit and SIGKILL included. It is not SIGKILL because Vault then could not stop its plugins.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}

// processesOf returns the ids of the running processes of a program.
func processesOf(program string) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != program {
			continue // most often not ours to look at, or gone meanwhile
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// connectsFrom reports whether one of the processes has a connection whose own end is address, 127.0.0.1:port.
func connectsFrom(pids []int, address string) bool {
	_, port, _ := strings.Cut(address, ":")
	n, _ := strconv.Atoi(port)
	table, _ := os.ReadFile("/proc/net/tcp")
	for line := range strings.Lines(string(table)) {
		// sl, local address, remote address, st, queues, timer, retransmits, uid, timeout, inode
		field := strings.Fields(line)
		if len(field) < 10 || field[1] != fmt.Sprintf("0100007F:%04X", n) {
			continue
		}
		for _, pid := range pids {
			files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
			for _, file := range files {
				if target, err := os.Readlink(file); err == nil && target == "socket:["+field[9]+"]" {
					return true
				}
			}
		}
	}
	return false
}
