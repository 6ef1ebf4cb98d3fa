package authpipetest

import (
	"regexp"
	"slices"
	"time"
)

// Version is a row of the table of Graph API versions ("Graph API Changelog"). The rows stand in order, oldest first.
type Version struct {
	Name  string    // as it stands in a path, such as v26.0
	Until time.Time // when it stops being served; zero: not announced
}

// versions is the table of 2026. The versions of before 2024 are known to Facebook, and served by a younger one.
func versions() []Version {
	table := []Version{}
	for _, name := range []string{
		"v1.0", "v2.0", "v2.1", "v2.2", "v2.3", "v2.4", "v2.5", "v2.6", "v2.7", "v2.8", "v2.9", "v2.10", "v2.11", "v2.12",
		"v3.0", "v3.1", "v3.2", "v3.3", "v4.0", "v5.0", "v6.0", "v7.0", "v8.0", "v9.0", "v10.0", "v11.0", "v12.0", "v13.0",
		"v14.0", "v15.0", "v16.0", "v17.0", "v18.0",
	} {
		table = append(table, Version{Name: name, Until: day(2026, time.January, 26)})
	}
	return append(table,
		Version{Name: "v19.0", Until: day(2026, time.May, 21)},
		Version{Name: "v20.0", Until: day(2026, time.September, 24)},
		Version{Name: "v21.0", Until: day(2027, time.January, 21)},
		Version{Name: "v22.0", Until: day(2027, time.May, 20)},
		Version{Name: "v23.0", Until: day(2027, time.October, 8)},
		Version{Name: "v24.0", Until: day(2028, time.February, 18)},
		Version{Name: "v25.0", Until: day(2028, time.July, 29)},
		Version{Name: "v26.0"},
		Version{Name: "v27.0"},
	)
}

func day(year int, month time.Month, d int) time.Time {
	return time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
}

var versionSegment = regexp.MustCompile(`^v[0-9]+\.[0-9]+$`)

// served tells which version serves a call that asks for the version asked, and whether asked is a version at all. A
// version that has expired is served by the oldest that is alive ("Versioning"). A version counts as released once it
// stands in the table: a test may set its clock to any year and still call v26.0.
func (f *Facebook) served(asked string) (string, bool) {
	at := slices.IndexFunc(f.options().Versions, func(v Version) bool { return v.Name == asked })
	if at < 0 {
		return "", false
	}
	if f.alive(f.options().Versions[at]) {
		return asked, true
	}
	return f.oldestVersion(), true
}

// knows tells whether a path may begin with that version, or with none.
func (f *Facebook) knows(version string) bool {
	_, known := f.served(version)
	return known || version == ""
}

func (f *Facebook) oldestVersion() string {
	if at := slices.IndexFunc(f.options().Versions, f.alive); at >= 0 {
		return f.options().Versions[at].Name
	}
	return ""
}

func (f *Facebook) alive(v Version) bool {
	return v.Until.IsZero() || f.options().Now().Before(v.Until)
}

// versionFor tells which version answers this call. A call without a version goes by the app's setting.
func (f *Facebook) versionFor(c *call) string {
	asked := c.version
	if asked == "" && c.app != nil {
		asked = c.app.Version
	}
	if served, known := f.served(asked); known {
		return served
	}
	return f.oldestVersion()
}
