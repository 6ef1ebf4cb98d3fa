package paths

import (
	"fmt"
	"slices"

	"github.com/authpipe/vault-plugin-secrets-authpipe/internal/provider"
)

// scopeWarnings warns of the scopes of a field that the provider is not known to have. Each
// warning names the nearest that it has.
func scopeWarnings(p provider.Provider, name, field string, scopes []string) (warnings []string) {
	known := p.Scopes()
	if known == nil {
		return nil
	}
	for _, scope := range scopes {
		if slices.Contains(known, scope) {
			continue
		}
		hint := "check its spelling with the provider's reference"
		if near := nearest(scope, slices.Values(known)); near != "" {
			hint = "did you mean " + near + "?"
		}
		warnings = append(warnings, fmt.Sprintf("%s: %q is no permission of %s that this build knows: %s", field, scope, name, hint))
	}
	return warnings
}
