#!/usr/bin/env bash
# Prints how many of the statements of internal/, paths/ and backend/ the tests of make test run, per package and in all. Packages for
# tests only are left out.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

profile=$(mktemp)
trap 'rm -f "$profile"' EXIT
packages=$(go list ./internal/... ./paths ./backend | grep -v -e /internal/vaulttest -e /internal/longtest -e /internal/canary -e /internal/enginetest | paste -sd,)
go test -timeout 30m -coverpkg="$packages" -coverprofile="$profile" ./backend ./paths ./internal/... >/dev/null

# Each test binary reports all statements. One counts as run if any binary ran it.
awk -F '[: ]' 'NR > 1 {
    block = $1 ":" $2; statements[block] = $3; if ($4 > 0) ran[block] = 1
  }
  END {
    for (block in statements) {
      package = block; sub("/[^/]*$", "", package); sub("^github.com/[^/]*/[^/]*/", "", package)
      all[package] += statements[block]; total += statements[block]
      if (block in ran) { hit[package] += statements[block]; sum += statements[block] }
    }
    for (package in all) printf "%5.1f %%  %s\n", 100 * hit[package] / all[package], package
    printf "%5.1f %%  in all\n", 100 * sum / total
  }' "$profile" | sort -k3
