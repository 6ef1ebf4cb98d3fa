//go:build !linux

package vaulttest

import "os/exec"

// dieWithParent does nothing where the kernel cannot do it: killed, this process may leave its Vault behind.
func dieWithParent(*exec.Cmd) {}
