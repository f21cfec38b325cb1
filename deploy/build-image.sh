#!/bin/sh
# Builds the container image: build-image.sh [NAME:TAG]
#
# Needs cargo, a C compiler with the static C library (libc6-dev), and docker or another engine whose
# client is named by ENGINE (ENGINE=podman).
set -eu

image=${1:-wharfinger:latest}
here=$(cd "$(dirname "$0")" && pwd)
target=$(uname -m)-unknown-linux-gnu
authorities=${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}

# A folder of its own below target/: these flags would make every other build start anew.
RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --package wharfinger \
    --manifest-path "$here/../Cargo.toml" --target "$target" --target-dir "$here/../target/static"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
mkdir "$context/data"
cp "$here/Dockerfile" "$here/config.json" "$context"
cp "$authorities" "$context/ca-certificates.crt"
cp "$here/../target/static/$target/release/wharfinger" "$context/wharfinger"
"${ENGINE:-docker}" build --tag "$image" "$context"
