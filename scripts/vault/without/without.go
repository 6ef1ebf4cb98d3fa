// Package without lets scripts/vault.sh build Vault without the clouds' SDKs, which take two thirds of a full build and which no
// test and no demo of authpipe uses.
//
// Each folder below is a small module that go.mod puts in the place of a real one. It declares what Vault's source uses of the real
// module, and its entry points return [Error]. Everything else in the binary is HashiCorp's own code. The modules have no
// requirements of their own: they are only built from the folder of that go.mod, which has the versions of all modules.
package without

import "fmt"

// Error returns the error of a feature that is left out.
func Error(feature string) error {
	return fmt.Errorf("%s is not part of this build of Vault, which is for demos and tests: set VAULT_BIN to HashiCorp's release", feature)
}
