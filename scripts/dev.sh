#!/usr/bin/env bash
# Starts a dev Vault that has the engine mounted and configured for a simulated Facebook, and a simulated Facebook whose consent page
# works in a browser. Both run until Ctrl-C.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

echo 'Building the plugin and the simulated Facebook …'
build
start_vault 8200
start_facebook
vault secrets enable -passthrough-request-headers=Accept-Language authpipe >/dev/null
vault write authpipe/config/facebook client_id="$app_id" client_secret="$app_secret" \
  redirect_uris="$VAULT_ADDR/v1/authpipe/callback/facebook" dialog_url="$facebook" graph_url="$facebook" >/dev/null

cat <<END

authpipe is mounted in a Vault at $VAULT_ADDR, a simulated Facebook is at $facebook.
In another terminal:

    export VAULT_ADDR=$VAULT_ADDR VAULT_TOKEN=$VAULT_TOKEN
    alias vault=$vault_bin

    vault write authpipe/connect/org_acme/facebook/installation actor=alice

Open the authorization_url in a browser and consent. The callback page shows a connect code:

    vault write authpipe/sessions/org_acme/SESSION_ID/complete actor=alice connect_code=CONNECT_CODE
    vault read authpipe/creds/org_acme/facebook/installation

$facebook/_control shows the state of the simulated Facebook, and lets you cause failures.
docs/tutorial.md goes on from here. Vault logs to $run/vault.log, the simulator to $run/facebook.log. Ctrl-C stops both.
END

wait "$vault_pid" || true
fail 'Vault has ended' "$run/vault.log"
