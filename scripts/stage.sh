# Sourced by demo.sh and dev.sh: the stage that both play on. A Vault in dev mode with the plugin in its directory and a
# simulated Facebook, on loopback, which end with the script, however it ends.

cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Found before the environment is cleaned: nothing of the developer's own Vault may reach this one.
vault_bin=$(scripts/vault.sh)
unset "${!VAULT_@}"

app_id=1024222333444555
app_secret=0123456789abcdef0123456789abcdef

run=$(mktemp -d)
pids=()
trap strike EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

vault() { "$vault_bin" "$@"; }
visit() { bin/visit "$@"; }

# fail TEXT [LOG]: ends the script, with the end of a log.
fail() {
  printf '\n%s: %s\n' "$0" "$1" >&2
  [[ -z ${2:-} ]] || tail -n 30 "$2" >&2
  exit 1
}

# strike stops what was started, the last first, and waits for it: Vault takes its plugins along.
strike() {
  trap - EXIT
  trap '' INT TERM HUP
  local i
  for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
    kill "${pids[i]}" 2>/dev/null || true
    wait "${pids[i]}" 2>/dev/null || true
  done
  rm -rf "$run"
}

# await PID COMMAND...: until the command succeeds, half a minute at most and while the process lives.
await() {
  local pid=$1 tries
  shift
  for ((tries = 0; tries < 300; tries++)); do
    kill -0 "$pid" 2>/dev/null || return 1
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  return 1
}

build() {
  CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/... ./scripts/visit
  # A dev Vault registers every file of its plugin directory by the file's name, so this one has a directory to itself.
  mkdir "$run/plugins"
  cp bin/vault-plugin-secrets-authpipe "$run/plugins/authpipe"
}

registered() { VAULT_CLIENT_TIMEOUT=2 vault plugin list secret | grep '^authpipe '; }

# start_vault [PORT]: sets VAULT_ADDR, VAULT_TOKEN and vault_pid. Without a port, or where it is taken, it tries others.
start_vault() {
  # A token that only this server has: where another one holds the port, it must not be taken for ours.
  VAULT_TOKEN=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
  export VAULT_TOKEN VAULT_ADDR
  local port=${1:-$((20000 + RANDOM % 10000))} try
  for try in 1 2 3 4 5; do
    VAULT_ADDR=http://127.0.0.1:$port
    VAULT_DEV_ROOT_TOKEN_ID=$VAULT_TOKEN "$vault_bin" server -dev -dev-no-store-token \
      -dev-listen-address="127.0.0.1:$port" -dev-plugin-dir="$run/plugins" >"$run/vault.log" 2>&1 &
    vault_pid=$!
    pids+=("$vault_pid")
    # The plugin's place in the catalog comes last when a dev server starts.
    if await "$vault_pid" registered; then
      return
    fi
    grep -q 'address already in use' "$run/vault.log" || break
    port=$((20000 + RANDOM % 10000))
  done
  fail 'Vault does not start' "$run/vault.log"
}

# start_facebook ARG...: sets facebook to its address. The arguments go to the simulator.
start_facebook() {
  bin/facebook-simulator -listen 127.0.0.1:0 -app-id "$app_id" -app-secret "$app_secret" \
    -redirect-uri "$VAULT_ADDR/v1/authpipe/callback/facebook" \
    -deauthorize-url "$VAULT_ADDR/v1/authpipe/webhooks/facebook/deauthorize" \
    -data-deletion-url "$VAULT_ADDR/v1/authpipe/webhooks/facebook/data-deletion" "$@" >"$run/facebook.log" 2>&1 &
  pids+=("$!")
  await "$!" grep -q '^facebook simulator: http' "$run/facebook.log" || fail 'the Facebook simulator does not start' "$run/facebook.log"
  facebook=$(sed -n 's/^facebook simulator: \(http:[^ ]*\)$/\1/p' "$run/facebook.log")
}
