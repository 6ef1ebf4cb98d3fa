#!/usr/bin/env bash
# Runs the example of js/example, with a dev Vault, the engine and a simulated Facebook, until Ctrl-C.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
. scripts/js.sh

# free_port PORT prints that port, or the next free one.
free_port() {
  local port=$1
  while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
  echo "$port"
}

echo 'building …'
build
build_js
start_vault
EXAMPLE_ORIGIN=http://localhost:$(free_port "${PORT:-3000}")
WEBHOOK_VERIFY_TOKEN=$(od -An -N 16 -t x1 /dev/urandom | tr -d ' \n')
start_facebook -webhook-url "$EXAMPLE_ORIGIN/authpipe/webhook/facebook" -webhook-verify-token "$WEBHOOK_VERIFY_TOKEN"

vault secrets enable -passthrough-request-headers=Accept-Language authpipe >/dev/null
vault write authpipe/config/facebook client_id="$app_id" client_secret="$app_secret" \
  redirect_uris="$VAULT_ADDR/v1/authpipe/callback/facebook" dialog_url="$facebook" graph_url="$facebook" \
  return_urls="$EXAMPLE_ORIGIN/authpipe/return" >/dev/null
vault policy write example js/example/policy.hcl >/dev/null
vault auth enable approle >/dev/null
vault write auth/approle/role/example token_policies=example token_ttl=20m >/dev/null

# The application's token has only the policy of its role.
role_id=$(vault read -field=role_id auth/approle/role/example/role-id)
secret_id=$(vault write -f -field=secret_id auth/approle/role/example/secret-id)
env -u VAULT_TOKEN EXAMPLE_ORIGIN="$EXAMPLE_ORIGIN" WEBHOOK_VERIFY_TOKEN="$WEBHOOK_VERIFY_TOKEN" GRAPH_URL="$facebook" \
  VAULT_ROLE_ID="$role_id" VAULT_SECRET_ID="$secret_id" node js/example/dist/server/main.js >"$run/example.log" 2>&1 &
example_pid=$!
pids+=("$example_pid")
await "$example_pid" grep -q '^example: ' "$run/example.log" || fail 'the example does not start' "$run/example.log"

cat <<END

The example is at

    $EXAMPLE_ORIGIN

Sign in as Alice, and install. At Facebook, which is simulated at $facebook, be Ada Admin: she has Pages.
At $facebook/_control you break things, and see how the example takes it.
Vault is at $VAULT_ADDR: export VAULT_ADDR=$VAULT_ADDR VAULT_TOKEN=$VAULT_TOKEN. Ctrl-C ends it all.
END

wait "$example_pid" || true
fail 'the example has ended' "$run/example.log"
