package vaulttest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// dieWithParent makes the kernel send cmd a SIGTERM when this process ends for any reason. With SIGKILL, Vault could not stop its
// plugins.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}

// ProcessesOf returns the ids of the running processes of a program.
func ProcessesOf(program string) []int {
	var pids []int
	links, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, link := range links {
		if target, err := os.Readlink(link); err != nil || target != program {
			continue // another user's process, or one that has just ended
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(link))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// ConnectsFrom reports whether one of the processes has a connection whose own end is address, 127.0.0.1:port.
func ConnectsFrom(pids []int, address string) bool {
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

// UsageOf returns the usage of a process; the zero value if it has ended.
func UsageOf(pid int) (u Usage) {
	dir := fmt.Sprintf("/proc/%d/", pid)
	stat, _ := os.ReadFile(dir + "stat")
	_, rest, _ := strings.Cut(string(stat), ") ") // the name may have spaces
	if field := strings.Fields(rest); len(field) > 12 {
		user, _ := strconv.Atoi(field[11])
		system, _ := strconv.Atoi(field[12])
		u.CPU = time.Duration(user+system) * (time.Second / 100) // the unit of /proc
	}
	status, _ := os.ReadFile(dir + "status")
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "VmRSS":
			u.Memory = n << 10
		case "RssAnon":
			u.Own = n << 10
		}
	}
	files, _ := os.ReadDir(dir + "fd")
	u.Files = len(files)
	return u
}
