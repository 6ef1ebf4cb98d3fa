#!/usr/bin/env bash
# Shows what authpipe does, with the vault CLI. The script prints each command with its output, and checks the output.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/stage.sh"

bold='' dim='' plain=''
if [[ -t 1 ]]; then
  bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'
fi

chapter() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# show COMMAND... prints the command as one would type it.
show() {
  local word line='$' unquoted='^[A-Za-z0-9_./:=@+,-]+$'
  for word in "$@"; do
    if [[ $word =~ $unquoted ]]; then line+=" $word"; else line+=" '$word'"; fi
  done
  printf '\n%s%s%s\n' "$dim" "$line" "$plain"
}

# run COMMAND... prints the command and its output, and leaves the output in $answer. If the command fails, the demo ends.
run() {
  show "$@"
  answer=$("$@" 2>&1) || { printf '%s\n' "$answer"; fail "this command failed: $*" "$run/vault.log"; }
  printf '%s\n' "$answer"
}

# refused WHY COMMAND... prints the command and its output. The demo ends unless the command fails and its output has WHY.
refused() {
  local why=$1
  shift
  show "$@"
  if answer=$("$@" 2>&1); then
    printf '%s\n' "$answer"
    fail "this command succeeded, and should be refused: $*"
  fi
  printf '%s\n' "$answer"
  [[ $answer == *"$why"* ]] || fail "the error of this command does not have '$why': $*"
  printf '%s(refused, as it should be)%s\n' "$dim" "$plain"
}

# expect TEXT ends the demo unless $answer has the text.
expect() { [[ $answer == *"$1"* ]] || fail "the output does not have '$1'"; }

# become TOKEN sets the token that the vault CLI uses from now on.
become() {
  show export "VAULT_TOKEN=$1"
  VAULT_TOKEN=$1
}

# field NAME prints a field of the table in $answer.
field() { awk -v name="$1" '$1 == name { print $2; exit }' <<<"$answer"; }

# authorize URL does what a browser would: it opens the URL at Facebook, which is simulated and consents, and follows the redirect to
# the callback page. It sets connect_code.
authorize() {
  run visit "$1"
  expect 'Almost connected'
  connect_code=$(tail -n 1 <<<"$answer")
}

echo "Building the plugin and the simulated Facebook; with an empty build cache this takes up to a minute …"
build
start_vault
start_facebook -auto-approve
printf 'Vault is at %s, a simulated Facebook at %s\n' "$VAULT_ADDR" "$facebook"

chapter '1. Enable the engine and tell it about the app that is registered with Facebook'
run vault secrets enable -passthrough-request-headers=Accept-Language authpipe
run vault write authpipe/config/facebook client_id="$app_id" client_secret="$app_secret" \
  redirect_uris="$VAULT_ADDR/v1/authpipe/callback/facebook" dialog_url="$facebook" graph_url="$facebook"
run vault read authpipe/config/facebook
[[ $answer != *"$app_secret"* ]] || fail 'the app secret can be read'

chapter '2. Alice, an admin, installs the app for org_acme'
run vault write authpipe/connect/org_acme/facebook/installation actor=alice
session=$(field session_id)
authorize "$(field authorization_url)"
run vault write "authpipe/sessions/org_acme/$session/complete" actor=alice connect_code="$connect_code"

chapter '3. A person of org_acme connects too'
run vault write authpipe/connect/org_acme/facebook/users/user_123 actor=user_123
session=$(field session_id)
authorize "$(field authorization_url)&_user=uma" # the person at Facebook; without _user it is ada
run vault write "authpipe/sessions/org_acme/$session/complete" actor=user_123 connect_code="$connect_code"

chapter '4. Read both credentials, and use one at Facebook'
run vault read authpipe/creds/org_acme/facebook/installation
run vault read authpipe/creds/org_acme/facebook/users/user_123
token=$(field access_token) proof=$(field appsecret_proof)
run visit "$facebook/v27.0/me?fields=id,name&appsecret_proof=$proof" "Authorization: Bearer $token"

chapter '5. What is connected, without a secret'
run vault list authpipe/connections/org_acme/facebook/users
run vault read authpipe/connections/org_acme/facebook/users/user_123
[[ $answer != *"$token"* ]] || fail 'the token shows in the connection'

chapter '6. A policy for org_acme does not open org_globex'
cat >"$run/org_acme.hcl" <<'POLICY'
path "authpipe/creds/org_acme/*" { capabilities = ["read"] }
POLICY
run cat "$run/org_acme.hcl"
run vault policy write org_acme "$run/org_acme.hcl"
run vault token create -policy=org_acme -ttl=5m
root_token=$VAULT_TOKEN
become "$(field token)"
run vault read -field=scopes authpipe/creds/org_acme/facebook/installation
refused 'permission denied' vault read authpipe/creds/org_globex/facebook/installation
become "$root_token"

chapter '7. Mallory lets another person authorize a link that Mallory made: the engine refuses to complete it'
run vault write authpipe/connect/org_globex/facebook/installation actor=mallory
session=$(field session_id)
authorize "$(field authorization_url)"
refused actor_mismatch vault write "authpipe/sessions/org_globex/$session/complete" actor=alice connect_code="$connect_code"
refused actor_mismatch vault write "authpipe/sessions/org_globex/$session/complete" actor=mallory connect_code="$connect_code"

chapter '8. Disconnect the person: the grant is revoked at Facebook, and the credential deleted'
run vault delete authpipe/creds/org_acme/facebook/users/user_123
refused 'No value found' vault read authpipe/creds/org_acme/facebook/users/user_123
refused '190' visit "$facebook/v27.0/me?appsecret_proof=$proof" "Authorization: Bearer $token"
run vault list authpipe/connections/org_acme/facebook

printf '\n%sThat is all. The demo took %d s.%s\n' "$bold" "$SECONDS" "$plain"
