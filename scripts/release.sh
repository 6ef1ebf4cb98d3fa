#!/usr/bin/env bash
# Makes a release in dist/: the plugin for each platform, an SBOM of each, register.sh, SHA256SUMS and its signature.
#
#   scripts/release.sh [v1.2.3 [OS/ARCH...]]
#
# Without a version it takes the tag at HEAD. The files in dist/ depend on the commit and the version only, because go.mod names the
# toolchain: another machine makes the same SHA256SUMS.
#
#   RELEASE_KEY=~/.ssh/id_release  signs SHA256SUMS with this SSH key, which must be in scripts/release-signers. A public key selects
#                                  the private key in ssh-agent.
#   RELEASE_UNCHECKED=1            leaves out lint and tests. The tests of this script need it: they are among those tests.
#
# docs/releasing.md has the whole procedure.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

name=vault-plugin-secrets-authpipe
module=github.com/authpipe/vault-plugin-secrets-authpipe

die() { echo "$0: $*" >&2; exit 1; }

version=${1:-$(git describe --tags --exact-match --match 'v*' 2>/dev/null)} ||
  die "no version: HEAD has no tag; tag it, or say one: make release VERSION=v1.2.3"
# Vault accepts only such versions of a plugin.
[[ $version =~ ^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$ ]] ||
  die "no version: $version: it is a v and a semantic version, as v1.2.3 or v1.3.0-rc1"
# Untracked files are compiled in, too.
[[ -z $(git status --porcelain) ]] || die "the tree is not what is committed: commit or stash what 'git status' shows"
shift $(($# > 0))
platforms=("$@")
signed_by=
if [[ -n ${RELEASE_KEY:-} ]]; then
  [[ -f $RELEASE_KEY ]] || die "RELEASE_KEY is not a file: $RELEASE_KEY"
  command -v ssh-keygen >/dev/null || die "ssh-keygen is missing: install OpenSSH to sign with RELEASE_KEY"
  signed_by=$(cd "$(dirname "$RELEASE_KEY")" && pwd)/$(basename "$RELEASE_KEY")
fi
((${#platforms[@]})) || platforms=({linux,darwin,windows,freebsd}/{amd64,arm64})

commit=$(git rev-parse HEAD)
date=$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)

if [[ -z ${RELEASE_UNCHECKED:-} ]]; then
  make lint test >&2 || die "no release: make lint test failed"
  [[ -z $(git status --porcelain) ]] || die "make lint test has changed the tree: see 'git status'"
else
  echo "lint and tests are left out: RELEASE_UNCHECKED is set" >&2
fi

# The directory is renamed into place, so that it is complete or missing.
mkdir -p dist
dir=dist/$version
scratch=$(mktemp -d dist/.release.XXXXXX)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/$version"

# The build does not depend on the machine: no paths, no C library, no developer's own flags, no other Go.
GOTOOLCHAIN=$(sed -n 's/^toolchain //p' go.mod)
export GOTOOLCHAIN
go version >/dev/null || die "cannot get $GOTOOLCHAIN, which go.mod names for releases"
export CGO_ENABLED=0 GOFLAGS= GOAMD64=v1 GOARM64=v8.0 GOEXPERIMENT= GOWORK=off
build() { go build -trimpath -buildvcs=false "$@"; }

# Built and not run by "go tool", because an SBOM has the hash of the program that made it.
build -modfile=scripts/tools/go.mod -o "$scratch/sbom" github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod

for platform in "${platforms[@]}"; do
  file=${name}_${version}_${platform/\//_}
  [[ $platform != windows/* ]] || file+=.exe
  echo "building $file" >&2
  GOOS=${platform%/*} GOARCH=${platform#*/} build -o "$scratch/$version/$file" \
    -ldflags "-s -w -buildid= -X $module/internal/version.version=$version -X $module/internal/version.commit=$commit -X $module/internal/version.date=$date" \
    "./cmd/$name"
  "$scratch/sbom" bin -json -noserial -notimestamp -std -version "$version" -output "$scratch/$version/$file.cdx.json" "$scratch/$version/$file"
done
sed "s/^version=.*/version=$version/" scripts/register.sh >"$scratch/$version/register.sh"
chmod 755 "$scratch/$version/register.sh"
# Computed before SHA256SUMS exists, so that the file does not list itself.
sums=$(cd "$scratch/$version" && if command -v sha256sum >/dev/null; then sha256sum -- *; else shasum -a 256 -- *; fi)
printf '%s\n' "$sums" >"$scratch/$version/SHA256SUMS"
if [[ -n $signed_by ]]; then
  ssh-keygen -q -Y sign -f "$signed_by" -n authpipe-release "$scratch/$version/SHA256SUMS" >&2 || die "signing with $RELEASE_KEY failed"
  # As register.sh verifies it.
  ssh-keygen -Y verify -f scripts/release-signers -I release -n authpipe-release -s "$scratch/$version/SHA256SUMS.sig" \
    <"$scratch/$version/SHA256SUMS" >&2 || die "no user could verify this release: RELEASE_KEY is not in scripts/release-signers"
else
  echo "not signed: RELEASE_KEY is not set" >&2
fi
rm -rf "$dir"
mv "$scratch/$version" "$dir"
echo "$dir"
