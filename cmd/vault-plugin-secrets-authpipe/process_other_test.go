//go:build !linux

package main_test

import "os/exec"

// dieWithParent does nothing where the kernel cannot do it: a test that panics may leave its Vault behind. One that
// ends, fails or is interrupted at a terminal does not.
func dieWithParent(*exec.Cmd) {}
