package main

import (
	"os"
	"time"
)

// endWithParent ends the process soon after the Vault that started it has ended in whatever way. go-plugin does not: after a kill
// -9 of Vault the plugin's process would stay, with the tokens that it remembers, until somebody finds it. On Windows, where a
// process keeps the id of the parent it had, this does nothing.
//
// It asks now and then, because what Linux offers instead (PR_SET_PDEATHSIG) goes by the thread that has forked, and
// Vault's threads come and go.
func endWithParent() {
	parent := os.Getppid()
	for range time.Tick(5 * time.Second) {
		if os.Getppid() != parent {
			os.Exit(0)
		}
	}
}
