#!/usr/bin/env bash
# Format, vet, staticcheck (its checks: staticcheck.conf) and govulncheck, in the versions that scripts/tools/go.mod pins.
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

# A finding fails the run; a database out of reach does not, or nobody could work without a network.
echo '== govulncheck' >&2
status=0
report=$(tool govulncheck ./... 2>&1) || status=$?
if ((status != 0)) && [[ $report == *'fetching vulnerabilities'* ]]; then
  printf 'NOT CHECKED for known vulnerabilities, the database is out of reach:\n%s\n' "$report" >&2
  exit
fi
printf '%s\n' "$report" >&2
exit "$status"
