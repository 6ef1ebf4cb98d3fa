#!/usr/bin/env bash
# Runs the benchmarks and prints one table. The arguments are those of bench/ (-h lists them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VAULT_BIN=$(scripts/vault.sh)
export VAULT_BIN
# Built and not "go run", which would not pass a signal on to the program, and the program stops its Vault at a signal.
go build -trimpath -o bin/bench ./bench
exec bin/bench "$@"
