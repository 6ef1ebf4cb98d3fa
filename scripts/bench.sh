#!/usr/bin/env bash
# Measures, in a real Vault and out of it, and prints one table; the arguments are those of bench/ (-h lists them).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

VAULT_BIN=$(scripts/vault.sh)
export VAULT_BIN
# Built and not "go run": that would stand between a signal and the program, which stops the Vault that it started.
go build -trimpath -o bin/bench ./bench
exec bin/bench "$@"
