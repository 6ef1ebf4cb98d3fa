package version_test

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/version"
)

func TestBuildIsReadFromFlagsAndInfo(t *testing.T) {
	built, committed := time.Date(2026, 12, 1, 8, 0, 0, 0, time.UTC), time.Date(2026, 11, 30, 17, 0, 0, 0, time.UTC)
	stamped := func(main string, more ...debug.BuildSetting) *debug.BuildInfo {
		return &debug.BuildInfo{Main: debug.Module{Version: main}, Settings: append(more,
			debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.time", Value: "2026-11-30T18:00:00+01:00"})}
	}
	for name, row := range map[string]struct {
		version, commit, date string
		info                  *debug.BuildInfo
		want                  version.Build
	}{
		"a release has flags":                  {"v1.2.3", "def", "2026-12-01T08:00:00Z", stamped("v9.9.9"), version.Build{Version: "v1.2.3", Commit: "def", Date: built}},
		"a release without a v gets one":       {"1.2.3-rc.1", "def", "2026-12-01T08:00:00Z", nil, version.Build{Version: "v1.2.3-rc.1", Commit: "def", Date: built}},
		"go install names a release":           {"", "", "", &debug.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, version.Build{Version: "v1.2.3"}},
		"a commit without a tag is no release": {"", "", "", stamped("v1.2.4-0.20261130170000-abcdefabcdef"), version.Build{Version: version.Development, Commit: "abc", Date: committed}},
		"a changed release is no release":      {"", "", "", stamped("v1.2.3+dirty", debug.BuildSetting{Key: "vcs.modified", Value: "true"}), version.Build{Version: version.Development, Commit: "abc-dirty", Date: committed}},
		"a build without information":          {"", "", "", nil, version.Build{Version: version.Development}},
		"malformed flags are ignored":          {"tomorrow's", "", "soon", stamped("(devel)"), version.Build{Version: version.Development, Commit: "abc"}},
	} {
		row.want.Go = runtime.Version()
		if got := version.Of(row.version, row.commit, row.date, row.info); got != row.want {
			t.Errorf("%s: %+v, want %+v", name, got, row.want)
		}
	}
}
