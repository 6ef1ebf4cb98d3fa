//go:build !linux

package main_test

import "os/exec"

// dieWithParent does nothing where the kernel cannot do it: a test that panics may leave its Vault behind. One that
// ends, fails or is interrupted at a terminal does not.
func dieWithParent(*exec.Cmd) {}

// processesOf knows of no process: the scripts that ask for [linux] are skipped elsewhere.
func processesOf(string) []int { return nil }

// connectsFrom knows of no process either.
func connectsFrom([]int, string) bool { return false }
