package vaulttest

import (
	"io/fs"
	"path/filepath"
	"time"
)

// Usage is the usage of a process.
type Usage struct {
	CPU    time.Duration // since its start
	Memory int64         // resident bytes
	Own    int64         // resident bytes that are not mapped from files
	Files  int           // descriptors
}

// Usage returns the usage of the server, and of its plugin.
func (s *Server) Usage() (vault, plugin Usage) {
	for _, pid := range ProcessesOf(s.Program()) {
		plugin = UsageOf(pid)
	}
	return UsageOf(s.PID()), plugin
}

// Stored returns the bytes that the server's storage takes on disk: the state and the raft log.
func (s *Server) Stored() (state, log int64) {
	_ = filepath.WalkDir(s.storage(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it was just removed
		}
		info, err := d.Info()
		switch {
		case err != nil:
		case d.Name() == "vault.db":
			state += info.Size()
		default:
			log += info.Size()
		}
		return nil
	})
	return state, log
}
