//go:build race

package main_test

// raceEnabled tells that the test, and so the plugin that it builds, has the race detector.
const raceEnabled = true
