package main

import (
	"os"
	"time"
)

// endWithParent ends the process soon after the Vault that started it has ended for any reason. go-plugin does not: after a kill -9 of
// Vault the plugin's process would stay, with the tokens in its memory. On Windows, where a process keeps its parent's id, this does
// nothing.
//
// It polls. Linux's own means, PR_SET_PDEATHSIG, depends on the thread that has forked, and Vault's threads come and go.
func endWithParent() {
	parent := os.Getppid()
	for range time.Tick(5 * time.Second) {
		if os.Getppid() != parent {
			os.Exit(0)
		}
	}
}
