#!/usr/bin/env bash
# Looks for known vulnerabilities. One that our code reaches fails the run. Those of the modules that Vault and the tools are built
# from are listed with the reason why they are still there (scripts/vulnerabilities.txt).
#
# The database is a Go module, golang.org/x/vulndb, in the version that scripts/tools/vulndb/go.mod pins. It comes from the module
# proxy once (25 MB) and is then read from Go's module cache, without a network. govulncheck reads the module's files as they are.
# Where the module cannot be had, the database is that of vuln.go.dev.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

oldest_days=60

say() { echo "$0: $*" >&2; }

# day_number YYYYMMDD counts days, so that two dates can be compared. The date commands of Linux and macOS read dates differently.
day_number() {
  local y=$((10#${1:0:4})) m=$((10#${1:4:2})) d=$((10#${1:6:2}))
  if ((m < 3)); then y=$((y - 1)) m=$((m + 12)); fi
  echo $((365 * y + y / 4 - y / 100 + y / 400 + (153 * (m - 3) + 2) / 5 + d))
}

# The scan is of the Go that releases are built with, whichever Go runs here.
toolchain=$(sed -n 's/^toolchain //p' go.mod)
for file in judges/go judges/vault scripts/tools scripts/vault; do
  [[ $(sed -n 's/^toolchain //p' "$file/go.mod") == "$toolchain" ]] ||
    { say "the toolchain of $file/go.mod is not that of go.mod, $toolchain: make them the same"; exit 1; }
done
here=$(go env GOVERSION)
GOTOOLCHAIN=$toolchain go version >/dev/null || { say "cannot get $toolchain, which go.mod names: the scan needs it"; exit 1; }
if [[ $here != "$toolchain" ]]; then
  say "releases are built with $toolchain, which is scanned; this shell builds with $here"
fi

if dir=$(cd scripts/tools/vulndb && go mod download golang.org/x/vulndb && go list -m -f '{{.Dir}}' golang.org/x/vulndb) && [[ -d $dir/data/osv ]]; then
  # The time in a version without a tag is that of its commit: v0.0.0-20261105234957-e22db6528018.
  version=${dir##*@}
  stamp=${version#*-}
  stamp=${stamp%%-*}
  age=$(($(day_number "$(date -u +%Y%m%d)") - $(day_number "$stamp")))
  echo "database of ${stamp:0:4}-${stamp:4:2}-${stamp:6:2}, $age days old" >&2
  if ((age > oldest_days)); then
    say "WARNING: the database is older than $oldest_days days. scripts/tools/vulndb/go.mod says how to get a newer one."
  fi
  database=(-db "file://$dir/data/osv")
else
  say "cannot get golang.org/x/vulndb from the module proxy; the database is that of vuln.go.dev"
  database=()
fi

# Built with the Go that runs here, which has most of it in its cache, and not by "go tool", which would run under $toolchain.
mkdir -p bin
go build -modfile=scripts/tools/go.mod -o bin/govulncheck golang.org/x/vuln/cmd/govulncheck
govulncheck=$PWD/bin/govulncheck

# scan DIRECTORY LEVEL ARGUMENT... scans for vulnerable packages that are imported, or for vulnerable symbols that are called.
scan() { (cd "$1" && GOTOOLCHAIN=$toolchain CGO_ENABLED=0 "$govulncheck" ${database[@]+"${database[@]}"} -scan "$2" "${@:3}" 2>&1); }

# govulncheck exits with this status if it has found something.
found=3

# ours DIRECTORY ARGUMENT... fails if a vulnerable symbol is called. Whether a vulnerable package is imported is known in a second,
# so only if one is does a scan of all calls follow, in a minute.
ours() {
  local report status=0
  report=$(scan "$1" package "${@:2}") || status=$?
  if ((status == found)); then
    status=0
    report=$(scan "$1" symbol "${@:2}") || status=$?
  fi
  printf '%s: %s\n' "$1" "$report" >&2
  return "$status"
}

# others DIRECTORY ARGUMENT... lists the vulnerabilities of packages that are imported, each with the reason why it is there.
others() {
  local report id why status=0
  report=$(scan "$1" package "${@:2}") || status=$?
  if ((status == 0)); then
    printf '%s: No vulnerabilities found.\n' "$1" >&2
  elif ((status == found)); then
    for id in $(sed -n 's/^Vulnerability #[0-9]*: //p' <<<"$report"); do
      why=$(sed -n "s/^$id //p" scripts/vulnerabilities.txt)
      printf '%s: %s: %s\n' "$1" "$id" "${why:-NEW: require a fixed version in $1/go.mod, or give a reason in scripts/vulnerabilities.txt}" >&2
    done
  else
    printf '%s: %s\n' "$1" "$report" >&2
    return "$status"
  fi
}

failed=()
ours . ./... || failed+=(.)
ours judges/go -test ./... || failed+=(judges/go)
ours judges/vault -test ./... || failed+=(judges/vault)
others scripts/tools tool || failed+=(scripts/tools)
others scripts/vault -tags minimal github.com/hashicorp/vault || failed+=(scripts/vault)
if ((${#failed[@]})); then
  say "failed: ${failed[*]}"
  exit 1
fi
