#!/usr/bin/env bash
# Runs go test with a Vault to test with, for one package or test:
#
#   scripts/test.sh -v -run TestAcceptance/connect ./cmd/...
#
# make test runs all tests that a change needs: see scripts/runtests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Not in the test: building Vault takes too long for a test.
VAULT_BIN=$(scripts/vault.sh)
export VAULT_BIN
go test -race -timeout 60m "${@:-./...}"
