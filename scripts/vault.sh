#!/usr/bin/env bash
# Prints the path of a Vault to test and demonstrate with; builds one where there is none.
# It takes the first of these:
#
#   $VAULT_BIN           as it is: whoever sets it has chosen, an OpenBao for instance
#   vault on the PATH    if it is Vault and new enough
#   bin/vault            built here from the module that scripts/vault/go.mod pins
#
# With --find it builds nothing and fails instead.
set -euo pipefail

# The oldest server that the acceptance suite is run against; also what we build.
oldest=1.21.1

say() { echo "$0: $*" >&2; }

# new_enough BINARY: it is a HashiCorp Vault, no pre-release, and not older than $oldest. It is no OpenBao by that name: those
# count their versions otherwise, and do otherwise in some things, so one is tested in when that is asked for.
new_enough() {
  local text release='^Vault v([0-9]+)\.([0-9]+)\.([0-9]+)(\+[a-z0-9.]+)?([ ,]|$)'
  text=$("$1" version 2>/dev/null </dev/null) || return 1
  [[ $text =~ $release ]] || return 1
  local have=("${BASH_REMATCH[@]:1:3}") want i
  IFS=. read -r -a want <<<"$oldest"
  for i in 0 1 2; do
    ((10#${have[i]} == 10#${want[i]})) || return $((10#${have[i]} < 10#${want[i]}))
  done
}

chosen() {
  [[ -x $VAULT_BIN && ! -d $VAULT_BIN ]] || { say "VAULT_BIN is not a program: $VAULT_BIN"; exit 1; }
  echo "$(cd "$(dirname "$VAULT_BIN")" && pwd)/$(basename "$VAULT_BIN")"
}

# A bin/vault is ours while the go.mod that it was built from, kept beside it, is still the one in the tree.
up_to_date() { [[ -x bin/vault ]] && cmp -s scripts/vault/go.mod bin/vault.go.mod; }

# progress shows on a terminal how far the go command has come, by the names of packages that it writes as it compiles
# them. What else it writes, it passes on; and elsewhere than on a terminal, that alone.
progress() {
  local line done=0 all=0
  if [[ -t 2 ]]; then all=$(cd scripts/vault && CGO_ENABLED=0 go list -mod=readonly -tags minimal -deps github.com/hashicorp/vault 2>/dev/null | wc -l); fi
  while IFS= read -r line; do
    if [[ $line == *' '* || $line != [a-z]* ]]; then
      echo "$line" >&2
    elif ((all)); then
      printf '\r\e[K  %d of at most %d packages: %.50s' "$((++done))" "$all" "$line" >&2
    fi
  done
  if ((done)); then printf '\r\e[K' >&2; fi
}

build() {
  mkdir -p bin
  if command -v flock >/dev/null; then # two builds at once would only be slow: without flock the mv below still keeps them apart
    exec 9>bin/.vault.lock
    flock -n 9 || { say "waiting for another build of Vault to end"; flock 9; }
    if up_to_date; then return; fi
  fi
  say "building Vault v$oldest into bin/vault, once: about 2 minutes on 4 cores, 5 on 2, seconds if Go has it in its cache"
  scratch=$(mktemp -d bin/.vault.XXXXXX)
  trap 'rm -rf "$scratch"' EXIT
  # "minimal" is Vault's own tag: it leaves out the clouds' and databases' plugins, half of the work and nothing that authpipe touches.
  (cd scripts/vault && CGO_ENABLED=0 \
    go build -v -mod=readonly -tags minimal -trimpath -ldflags '-s -w' -o "../../$scratch/vault" github.com/hashicorp/vault) 2>&1 >&2 9>&- | progress
  cp scripts/vault/go.mod bin/vault.go.mod
  mv "$scratch/vault" bin/vault
  say "built bin/vault in $SECONDS s"
}

if [[ -n ${VAULT_BIN:-} ]]; then
  chosen
  exit
fi
cd "$(dirname "${BASH_SOURCE[0]}")/.."
if on_path=$(command -v vault) && new_enough "$on_path"; then
  echo "$on_path"
  exit
fi
if ! up_to_date; then
  [[ ${1:-} != --find ]] || { say "no Vault of v$oldest or newer: run 'make vault', or set VAULT_BIN"; exit 1; }
  build
fi
echo "$PWD/bin/vault"
