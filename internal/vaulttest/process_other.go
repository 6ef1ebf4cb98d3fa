//go:build !linux

package vaulttest

import "os/exec"

// dieWithParent does nothing on this system: if this process is killed, its Vault may survive.
func dieWithParent(*exec.Cmd) {}

// ProcessesOf returns none on this system.
func ProcessesOf(string) []int { return nil }

// ConnectsFrom returns false on this system.
func ConnectsFrom([]int, string) bool { return false }

// UsageOf returns the zero value on this system.
func UsageOf(int) Usage { return Usage{} }
