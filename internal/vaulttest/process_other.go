//go:build !linux

package vaulttest

import "os/exec"

// dieWithParent does nothing where the kernel cannot do it: killed, this process may leave its Vault behind.
func dieWithParent(*exec.Cmd) {}

// ProcessesOf knows of no process.
func ProcessesOf(string) []int { return nil }

// ConnectsFrom knows of no connection.
func ConnectsFrom([]int, string) bool { return false }

// UsageOf knows of no process.
func UsageOf(int) Usage { return Usage{} }
