package vaulttest

import (
	"io/fs"
	"path/filepath"
	"time"
)

// Usage is what a process uses.
type Usage struct {
	CPU    time.Duration // since it was started
	Memory int64         // bytes that are resident
	Own    int64         // those of them that are no file's
	Files  int           // descriptors
}

// Usage is the server's, and that of its plugin.
func (s *Server) Usage() (vault, plugin Usage) {
	for _, pid := range ProcessesOf(s.Program()) {
		plugin = UsageOf(pid)
	}
	return UsageOf(s.PID()), plugin
}

// Stored is how many bytes the server's storage takes on disk: what is stored, and the log of how it came there.
func (s *Server) Stored() (state, log int64) {
	_ = filepath.WalkDir(s.storage(), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // gone meanwhile
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
