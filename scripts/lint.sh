#!/usr/bin/env bash
# Format, vet, staticcheck (its checks: staticcheck.conf) and known vulnerabilities. scripts/tools/go.mod pins the versions of the tools.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tool() { go tool -modfile=scripts/tools/go.mod "$@"; }

echo '== gofmt' >&2
unformatted=$(find . \( -name .git -o -name node_modules -o -name bin \) -prune -o -name '*.go' -exec gofmt -l {} +)
if [[ -n $unformatted ]]; then
  printf 'not formatted (make fmt):\n%s\n' "$unformatted" >&2
  exit 1
fi

echo '== go vet' >&2
go vet ./...

echo '== staticcheck' >&2
tool staticcheck ./...

echo '== govulncheck' >&2
scripts/vulnerabilities.sh
