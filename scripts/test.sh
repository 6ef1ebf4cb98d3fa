#!/usr/bin/env bash
# Runs every test: the packages', and the acceptance suite that drives the built plugin in a real Vault.
# Arguments go to go test in place of ./...: scripts/test.sh -v -run Acceptance/connect ./cmd/...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Found or built here and not in the test: building Vault would eat up go test's time limit.
VAULT_BIN=$(scripts/vault.sh)
export VAULT_BIN
go test -race -timeout 20m "${@:-./...}"
if [ $# -eq 0 ]; then
	# At full size, which the race detector would make last too long.
	go test -timeout 20m -run TestTwoHundredDays ./backend -longrun.credentials=2000
	go test -timeout 20m -run 'TestLoad$' ./client/authpipe -load.refs=10000 -load.time=20m
	. scripts/js.sh
	build_js
	(cd js && npm run --silent typecheck && npm run --silent test)
	# Briefly: for as many inputs as take a second or so.
	FUZZTIME=2000x scripts/fuzz.sh
fi
