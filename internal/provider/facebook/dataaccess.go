package facebook

import (
	"slices"
	"strings"
)

// exempt are the scopes whose data an app may use however long the person has
// been away, besides those for pages (Meta: "Authentication Versus Data Access",
// copy of 2026-09-11). public_profile opens nothing that ends.
var exempt = []string{"ads_management", "ads_read", "business_management", "openid", "public_profile", "read_insights"}

// dataAccessEnds reports whether the end that debug_token names for data access
// means anything for a token with these scopes.
func dataAccessEnds(scopes []string) bool {
	return slices.ContainsFunc(scopes, func(scope string) bool {
		return !slices.Contains(exempt, scope) && !strings.HasPrefix(scope, "pages_")
	})
}
