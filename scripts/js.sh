# Sourced by what needs the packages below js/, from the root of the repository.

# build_js installs what they need, as package-lock.json has it, and builds them. What that has to say is said where it fails:
# compilers write their errors where others write that all is well.
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

# find_chromium sets CHROMIUM_BIN; installs Debian's where there is none.
find_chromium() {
  CHROMIUM_BIN=${CHROMIUM_BIN:-$(command -v chromium || true)}
  if [[ -z $CHROMIUM_BIN ]]; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
      echo "$0: there is no chromium: install it (Debian: apt-get install chromium), or set CHROMIUM_BIN" >&2
      exit 1
    fi
    echo 'installing chromium …' >&2
    # Once more, and again: a mirror may be away for a moment, and another apt-get at work.
    install_chromium || { sleep 10; install_chromium; } || { sleep 30; install_chromium; }
    CHROMIUM_BIN=$(command -v chromium)
  fi
  export CHROMIUM_BIN
}
