// Package version says which build of the plugin this is. A release's build
// sets it:
//
//	-ldflags "-X github.com/authpipe/vault-plugin-secrets-authpipe/internal/version.version=v1.2.3
//	          -X …/internal/version.commit=<hash> -X …/internal/version.date=<RFC 3339>"
//
// For any other build it is the information that the go command embeds.
package version

import (
	"regexp"
	"runtime"
	"runtime/debug"
	"time"
)

// Set by a release's build.
var version, commit, date string

// Development is the version of a build that is no release. It is constant so
// that a new build can be registered in place of the old one: Vault's catalog has
// one program for each version of a plugin. Such builds differ by their commit.
const Development = "v0.0.0-dev"

// A Build identifies the source of a program.
type Build struct {
	// Version is a semantic version with a leading v, as Vault requires.
	Version string
	// Commit is the hash of the source's commit; "-dirty" follows it if the source
	// was changed since. "": not known.
	Commit string
	// Date is when a release was built, else when the commit was made. Zero: not
	// known.
	Date time.Time
	// Go is the version of the Go toolchain.
	Go string
}

// Read returns the build of the running program.
func Read() Build {
	info, _ := debug.ReadBuildInfo()
	return Of(version, commit, date, info)
}

// Of returns the build for the version, commit and date that a release's build
// has set, and the info that the go command has embedded. All may be empty.
func Of(version, commit, date string, info *debug.BuildInfo) Build {
	b := Build{Version: named(version), Commit: commit, Go: runtime.Version()}
	stamps := map[string]string{}
	if info != nil {
		for _, s := range info.Settings {
			stamps[s.Key] = s.Value
		}
		if b.Version == "" {
			b.Version = named(info.Main.Version)
		}
	}
	if b.Version == "" {
		b.Version = Development
	}
	if b.Commit == "" {
		b.Commit = stamps["vcs.revision"]
		if b.Commit != "" && stamps["vcs.modified"] == "true" {
			b.Commit += "-dirty"
		}
	}
	if date == "" {
		date = stamps["vcs.time"]
	}
	if at, err := time.Parse(time.RFC3339, date); err == nil {
		b.Date = at.UTC()
	}
	return b
}

var (
	release = regexp.MustCompile(`^v?(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?)$`)
	// pseudo matches the go command's version of a commit without a tag.
	pseudo = regexp.MustCompile(`\d{14}-[0-9a-f]{12}$`)
)

// named returns s as a version if it is a release's, else "".
func named(s string) string {
	found := release.FindStringSubmatch(s)
	if found == nil || pseudo.MatchString(s) {
		return ""
	}
	return "v" + found[1]
}
