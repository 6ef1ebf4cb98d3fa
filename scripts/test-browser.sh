#!/usr/bin/env bash
# Tests the example in a headless Chromium, with the built engine in a real Vault and a simulated Facebook. Arguments go to vitest:
# scripts/test-browser.sh -t stranger. With SCREENSHOTS=FOLDER it takes pictures.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
. scripts/js.sh

find_chromium
build
build_js
start_vault
export FACEBOOK_SIMULATOR=$PWD/bin/facebook-simulator
if [[ -n ${SCREENSHOTS:-} ]]; then
  mkdir -p "$SCREENSHOTS"
  SCREENSHOTS=$(cd "$SCREENSHOTS" && pwd)
  export SCREENSHOTS
fi

(cd js && npm run --silent test:browser --workspace example -- "$@")
