//go:build !race

package vaulttest

// raceEnabled reports whether this program has the race detector.
const raceEnabled = false
