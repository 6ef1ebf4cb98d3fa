package metric

import (
	"slices"
	"strings"
)

// The words that a path may begin and end with. Between them are names.
var (
	families = []string{"accounts", "config", "connect", "callback", "sessions", "creds", "connections", "tenants", "health", "events", "webhooks", "settings", "metrics", "info"}
	actions  = map[string][]string{
		"config":      {"verify"},
		"sessions":    {"complete"},
		"connections": {"refresh", "check"},
		"tenants":     {"rotate", "reindex"},
		"webhooks":    {"deauthorize", "data-deletion", "notify"},
	}
)

// template returns the path without the names in it: "sessions/complete". A
// path that the engine does not have is "other".
func template(path string) string {
	family, rest, _ := strings.Cut(strings.Trim(path, "/"), "/")
	if !slices.Contains(families, family) {
		return "other"
	}
	// A name may be such a word, too, but an action follows a name.
	if i := strings.LastIndexByte(rest, '/'); i > 0 && slices.Contains(actions[family], rest[i+1:]) {
		return family + "/" + rest[i+1:]
	}
	return family
}
