// Package gzhttp stands in for the compression of Vault's web UI, which this build does not have.
package gzhttp

import (
	"net/http"

	"github.com/authpipe/vault-plugin-secrets-authpipe/scripts/vault/without"
)

// GzipHandler returns a handler that responds with an error. Vault calls it only in a build that has the UI.
func GzipHandler(http.Handler) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, without.Error("the web UI").Error(), http.StatusNotImplemented)
	}
}
