package main

import (
	"os/exec"
	"syscall"
	"time"
)

// dieWithParent has the kernel send cmd a SIGTERM when this process ends by whatever cause. It is not SIGKILL because
// Vault then could not stop its plugins.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}

// cpu returns the processor time that this process has used.
func cpu() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
