//go:build !linux

package main

import (
	"os/exec"
	"time"
)

// dieWithParent does nothing where the kernel cannot do it: killed, this process may leave its Vault behind.
func dieWithParent(*exec.Cmd) {}

// cpu is not known here.
func cpu() time.Duration { return 0 }
