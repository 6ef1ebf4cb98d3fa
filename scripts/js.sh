# Sourced by scripts that need the packages below js/, from the root of the repository.

# build_js installs their dependencies, as in package-lock.json, and builds them. It prints the output only on failure, because some
# compilers write errors to stdout and progress to stderr.
build_js() {
  local said
  said=$( (cd js && npm ci --no-audit --no-fund && npm run --silent build) 2>&1) || {
    printf '%s\n' "$said" >&2
    return 1
  }
}

install_chromium() {
  apt-get update -qq &&
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 chromium >/dev/null
}

# find_chromium sets CHROMIUM_BIN. It installs Debian's chromium if there is none.
find_chromium() {
  CHROMIUM_BIN=${CHROMIUM_BIN:-$(command -v chromium || true)}
  if [[ -z $CHROMIUM_BIN ]]; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
      echo "$0: no chromium found: install it (Debian: apt-get install chromium), or set CHROMIUM_BIN" >&2
      exit 1
    fi
    echo 'installing chromium …' >&2
    # With retries: a mirror may fail for a moment, and another apt-get may be running.
    install_chromium || { sleep 10; install_chromium; } || { sleep 30; install_chromium; }
    CHROMIUM_BIN=$(command -v chromium)
  fi
  export CHROMIUM_BIN
}
