# Sourced by demo.sh, dev.sh and others: functions that build the plugin, and start a Vault in dev mode that has it and a simulated
# Facebook, on loopback. All processes end when the script ends.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# First find the Vault, which reads VAULT_BIN. Then remove all VAULT_ variables, so that none of the developer's own Vault is used.
vault_bin=$(scripts/vault.sh)
unset "${!VAULT_@}"

app_id=1024222333444555
app_secret=0123456789abcdef0123456789abcdef

run=$(mktemp -d)
pids=()
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

vault() { "$vault_bin" "$@"; }
visit() { bin/visit "$@"; }

# fail TEXT [LOG] prints the text and the end of the log, and ends the script.
fail() {
  printf '\n%s: %s\n' "$0" "$1" >&2
  [[ -z ${2:-} ]] || tail -n 30 "$2" >&2
  exit 1
}

# stop_all stops the processes in reverse order and waits for them. Vault ends its plugins itself.
stop_all() {
  trap - EXIT
  trap '' INT TERM HUP
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  rm -rf "$run"
}

# await PID COMMAND... repeats the command until it succeeds. It fails after five minutes at least, or when the process ends.
await() {
  local pid=$1 tries
  shift
  for ((tries = 0; tries < 3000; tries++)); do
    kill -0 "$pid" 2>/dev/null || return 1
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  return 1
}

# build builds the plugin, the simulator and visit. The garbage collection is off for the same reason as in vault.sh.
build() {
  CGO_ENABLED=0 GOGC=off GOMEMLIMIT=768MiB go build -trimpath -o bin/ ./cmd/... ./scripts/visit
  # A dev Vault registers each file of its plugin directory under the file's name, so the plugin has a directory of its own.
  mkdir "$run/plugins"
  cp bin/vault-plugin-secrets-authpipe "$run/plugins/authpipe"
}

registered() { VAULT_CLIENT_TIMEOUT=30 vault plugin list secret | grep '^authpipe '; }

# start_vault [PORT] sets VAULT_ADDR, VAULT_TOKEN and vault_pid. Without a port, or if it is in use, it takes a random one.
start_vault() {
  # No other server accepts this token. So a server that has the port already is not mistaken for this one.
  VAULT_TOKEN=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
  export VAULT_TOKEN VAULT_ADDR
  local port=${1:-$((20000 + RANDOM % 10000))} try
  for try in 1 2 3 4 5; do
    VAULT_ADDR=http://127.0.0.1:$port
    VAULT_DEV_ROOT_TOKEN_ID=$VAULT_TOKEN "$vault_bin" server -dev -dev-no-store-token \
      -dev-listen-address="127.0.0.1:$port" -dev-plugin-dir="$run/plugins" >"$run/vault.log" 2>&1 &
    vault_pid=$!
    pids+=("$vault_pid")
    # A dev server registers the plugins last.
    if await "$vault_pid" registered; then
      return
    fi
    grep -q 'address already in use' "$run/vault.log" || break
    port=$((20000 + RANDOM % 10000))
  done
  fail 'Vault does not start' "$run/vault.log"
}

# start_facebook ARG... starts the simulator with the arguments, and sets facebook to its address.
start_facebook() {
  bin/facebook-simulator -listen 127.0.0.1:0 -app-id "$app_id" -app-secret "$app_secret" \
    -redirect-uri "$VAULT_ADDR/v1/authpipe/callback/facebook" \
    -deauthorize-url "$VAULT_ADDR/v1/authpipe/webhooks/facebook/deauthorize" \
    -data-deletion-url "$VAULT_ADDR/v1/authpipe/webhooks/facebook/data-deletion" "$@" >"$run/facebook.log" 2>&1 &
  pids+=("$!")
  await "$!" grep -q '^facebook simulator: http' "$run/facebook.log" || fail 'the Facebook simulator does not start' "$run/facebook.log"
  facebook=$(sed -n 's/^facebook simulator: \(http:[^ ]*\)$/\1/p' "$run/facebook.log")
}
