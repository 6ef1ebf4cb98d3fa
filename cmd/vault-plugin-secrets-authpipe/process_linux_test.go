package main_test

import (
	"os/exec"
	"syscall"
)

// dieWithParent has the kernel send cmd a SIGTERM when this process ends by whatever cause, a panic, a test's time
// limit and SIGKILL included. It is not SIGKILL because Vault then could not stop its plugins.
func dieWithParent(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
