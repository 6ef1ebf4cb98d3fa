#!/usr/bin/env bash
# Prints the path of a Vault for tests and demos. Builds one if there is none.
# It takes the first of these:
#
#   $VAULT_BIN           whatever its version; it may be an OpenBao
#   vault on the PATH    if it is HashiCorp's and new enough
#   bin/vault            built here from scripts/vault/go.mod, without the clouds' SDKs (scripts/vault/without)
#
# With --find it does not build, and fails instead.
set -euo pipefail

# The oldest version that the acceptance suite runs against, and the version that is built.
oldest=1.21.1

say() { echo "$0: $*" >&2; }

# new_enough BINARY succeeds for a HashiCorp Vault that is not a pre-release and not older than $oldest. OpenBao has other version
# numbers and behaves differently in places: only VAULT_BIN selects one.
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

# "minimal" is Vault's own tag: it leaves out the plugins for clouds and databases.
flags=(-mod=readonly -tags minimal -trimpath -ldflags '-s -w')

# go_vault runs the go command in the module that has Vault. Its processes collect no garbage below 768 MiB, which saves an eighth
# of the processor time.
go_vault() { (cd scripts/vault && CGO_ENABLED=0 GOGC=off GOMEMLIMIT=768MiB go "$@"); }

# sources prints the flags, and a checksum of each file that bin/vault is built from.
sources() {
  echo "${flags[*]}"
  (cd scripts/vault && find . -type f ! -name '.*' | LC_ALL=C sort | xargs cksum)
}

# bin/vault.sources has the sources of bin/vault.
up_to_date() { [[ -x bin/vault ]] && sources | cmp -s - bin/vault.sources; }

# progress WHAT [ALL] reads the messages of a go command. It counts the lines that name a module or a package, and shows the count:
# on a terminal in one line that changes, elsewhere in a line every 30 seconds. It prints every other line.
progress() {
  local line status wait done=0 next=30 clear=''
  if [[ -t 2 ]]; then clear=$'\r\e[K'; fi
  while :; do
    # The status of read is above 128 when the time is up. Bash 3 does not tell that from the end of the input.
    if ((BASH_VERSINFO[0] < 4)); then wait=86400; else wait=$((next > SECONDS ? next - SECONDS : 1)); fi
    status=0
    IFS= read -r -t "$wait" line || status=$?
    if ((status > 0 && status <= 128)); then break; fi
    if ((status == 0)); then
      if [[ $line == 'go: downloading '* ]]; then
        line=${line#go: downloading }
      elif [[ $line == *' '* || $line != [a-z]* ]]; then
        printf '%s%s\n' "$clear" "$line" >&2
        continue
      fi
      ((++done))
      if [[ -n $clear ]]; then printf '%s  %d%s %s: %.50s' "$clear" "$done" "${2:+ of $2}" "$1" "$line" >&2; fi
    fi
    if ((SECONDS >= next)); then
      if [[ -z $clear ]]; then printf '  %d%s %s after %d min %d s\n' "$done" "${2:+ of $2}" "$1" $((SECONDS / 60)) $((SECONDS % 60)) >&2; fi
      next=$((SECONDS + 30))
    fi
  done
  printf '%s' "$clear" >&2
}

build() {
  mkdir -p bin
  if command -v flock >/dev/null; then # without flock two builds at once are only slow: each is renamed into place
    exec 9>bin/.vault.lock
    flock -n 9 || { say "waiting for another build of Vault to end"; flock 9; }
    if up_to_date; then return; fi
  fi
  SECONDS=0
  say "building Vault v$oldest into bin/vault: 1 to 2 minutes on 2 fast cores, 4 on slow ones, seconds if Go has it in its cache"
  scratch=$(mktemp -d bin/.vault.XXXXXX)
  trap 'rm -rf "$scratch"' EXIT
  sources >"$scratch/vault.sources"
  # go list downloads the modules. It lists the packages that the build cache does not have.
  { go_vault list "${flags[@]}" -deps -f '{{if .Stale}}{{.ImportPath}}{{end}}' github.com/hashicorp/vault \
    2>&1 >"$scratch/packages" 9>&- | progress 'modules downloaded'; } || { say "go list failed"; exit 1; }
  { go_vault build "${flags[@]}" -v -o "../../$scratch/vault" github.com/hashicorp/vault 2>&1 >&2 9>&- |
    progress 'packages compiled' "$(wc -l <"$scratch/packages" | tr -d ' ')"; } || { say "go build failed"; exit 1; }
  rm -f bin/vault.sources bin/vault.go.mod
  mv "$scratch/vault" bin/vault
  mv "$scratch/vault.sources" bin/vault.sources
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
