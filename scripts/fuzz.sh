#!/usr/bin/env bash
# Fuzzes every target for $FUZZTIME each (default: a minute). Failing inputs are in testdata/fuzz beside the target: commit
# them with the fix, and every go test tries them from then on. Arguments are packages in place of ./...
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

said=$(mktemp)
trap 'rm -f "$said"' EXIT

for package in $(go list "${@:-./...}"); do
  for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
    printf '== %s %s\n' "$package" "$target"
    go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-1m}" "$package" 2>&1 | tee "$said" && continue
    # Go fails a run if its last input is still running when the time is over, although it has found nothing.
    if ! grep -q 'context deadline exceeded' "$said" || grep -q 'Failing input' "$said"; then exit 1; fi
  done
done
