#!/bin/sh
# Registers this release of the authpipe secrets engine in Vault's catalog:
#
#   ./register.sh PLUGIN_DIRECTORY [NAME]
#
# It first verifies the signature of SHA256SUMS with the maintainers' public keys, which are in the file $AUTHPIPE_SIGNERS. Take that
# file from the source repository once (scripts/release-signers) and keep it away from the releases: keys that come with a release
# prove nothing. AUTHPIPE_SIGNERS=none leaves the signature out, for a release that you made yourself.
#
# It copies the plugin for this machine's platform into PLUGIN_DIRECTORY (the server's plugin_directory) and registers it with
# the Vault at $VAULT_ADDR, with $VAULT_TOKEN, as NAME (vault-plugin-secrets-authpipe). It uses the vault command or, if there is none,
# OpenBao's bao. Every node of a cluster needs the file: on the others, run it with VAULT_ADDR empty, which only copies. It may be
# repeated, and restarts nothing: a mount runs its former version until you run the commands that the script prints at its end.
set -eu

version=
program=vault-plugin-secrets-authpipe

die() { echo "$0: $*" >&2; exit 1; }

[ -n "$version" ] || die "this is the source of a release's script: run 'make release', and the one in dist/"
[ $# -ge 1 ] && [ $# -le 2 ] || die "usage: $0 PLUGIN_DIRECTORY [NAME]"
[ -d "$1" ] || die "no such directory: $1"
directory=$(cd "$1" && pwd -P) # Vault refuses links
name=${2:-$program}
signers=
if [ -n "${AUTHPIPE_SIGNERS-}" ] && [ "$AUTHPIPE_SIGNERS" != none ]; then
  [ -f "$AUTHPIPE_SIGNERS" ] || die "AUTHPIPE_SIGNERS: no such file: $AUTHPIPE_SIGNERS"
  signers=$(cd "$(dirname "$AUTHPIPE_SIGNERS")" && pwd -P)/$(basename "$AUTHPIPE_SIGNERS")
fi
cd "$(dirname "$0")"

os=$(uname -s | tr '[:upper:]' '[:lower:]')
case $(uname -m) in
x86_64 | amd64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
*) die "no release for $(uname -m): build it with make build" ;;
esac
file=${program}_${version}_${os}_${arch}
[ -f "$file" ] || die "no $file here: download it beside this script"

if [ -z "${AUTHPIPE_SIGNERS-}" ]; then
  die "cannot verify the signature: set AUTHPIPE_SIGNERS to the file with the maintainers' public keys, scripts/release-signers of the source repository (none: a release that you made yourself)"
elif [ "$AUTHPIPE_SIGNERS" = none ]; then
  echo "the signature is not verified: AUTHPIPE_SIGNERS=none" >&2
else
  [ "$(dirname "$signers")" != "$(pwd -P)" ] || die "$AUTHPIPE_SIGNERS is in the release's own directory: take it from the source repository"
  command -v ssh-keygen >/dev/null || die "cannot verify the signature: install OpenSSH 8.2 or newer, for ssh-keygen"
  [ -f SHA256SUMS.sig ] || die "SHA256SUMS is not signed: SHA256SUMS.sig is missing"
  ssh-keygen -Y verify -f "$signers" -I release -n authpipe-release -s SHA256SUMS.sig <SHA256SUMS >/dev/null ||
    die "the signature of SHA256SUMS is not by a key in $AUTHPIPE_SIGNERS: do not use this release"
fi

sum=$(grep " [ *]*$file\$" SHA256SUMS | cut -d ' ' -f 1)
if command -v sha256sum >/dev/null; then is=$(sha256sum "$file"); else is=$(shasum -a 256 "$file"); fi
[ -n "$sum" ] && [ "$sum" = "${is%% *}" ] || die "$file is not the one in SHA256SUMS: download it again"

# Renamed into place, so that Vault never finds an incomplete file, and a running process keeps its own.
cp "$file" "$directory/.$file.$$"
chmod 755 "$directory/.$file.$$"
mv "$directory/.$file.$$" "$directory/$file"
echo "copied $file to $directory"

[ -n "${VAULT_ADDR-set}" ] || exit 0
cli=vault
command -v vault >/dev/null || ! command -v bao >/dev/null || cli=bao
$cli plugin register -sha256="$sum" -command="$file" -version="$version" secret "$name"
cat <<END

To mount it:

    $cli secrets enable -path=authpipe -plugin-version=$version -passthrough-request-headers=Accept-Language $name

To have a mount run it in place of the version that it runs now, or to go back:

    $cli secrets tune -plugin-version=$version authpipe/
    $cli plugin reload -plugin=$name
END
