#!/usr/bin/env bash
# Leaves a dev Vault running with the engine mounted and configured for a simulated Facebook, whose consent page is there
# to be clicked through in a browser. Ctrl-C ends it all.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

echo 'building …'
build
start_vault 8200
start_facebook
vault secrets enable authpipe >/dev/null
vault write authpipe/config/facebook client_id="$app_id" client_secret="$app_secret" \
  redirect_uris="$VAULT_ADDR/v1/authpipe/callback/facebook" dialog_url="$facebook" graph_url="$facebook" >/dev/null

cat <<END

authpipe is mounted in a Vault at $VAULT_ADDR, a simulated Facebook is at $facebook.
In another terminal:

    export VAULT_ADDR=$VAULT_ADDR VAULT_TOKEN=$VAULT_TOKEN
    alias vault=$vault_bin

    vault write authpipe/connect/org_acme/facebook/installation actor=alice

Open the authorization_url in a browser and consent. The page that you come to shows a connect code:

    vault write authpipe/sessions/org_acme/SESSION_ID/complete actor=alice connect_code=CONNECT_CODE
    vault read authpipe/creds/org_acme/facebook/installation

At $facebook/_control you see what Facebook knows, and break things.
docs/tutorial.md goes on from here. Vault logs to $run/vault.log, the simulator to $run/facebook.log. Ctrl-C ends it all.
END

wait "$vault_pid" || true
fail 'Vault has ended' "$run/vault.log"
