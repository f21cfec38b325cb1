#!/bin/sh
# A kind cluster that pulls through wharfinger, which runs beside it and takes local images at
# 127.0.0.1:5000: cluster.sh [CLUSTER]
#
# Needs docker, kind (node images of v0.27 or later) and the image that build-image.sh makes.
set -eu

cluster=${1:-kind}
here=$(cd "$(dirname "$0")" && pwd)
registry=wharfinger

kind create cluster --name "$cluster"
# The mounted configuration must be readable by user 65532; the volume keeps what was pulled.
docker run --detach --restart unless-stopped --name "$registry" --network kind \
    --publish 127.0.0.1:5000:5000 --volume wharfinger-data:/data \
    --volume "$here/config.json:/etc/wharfinger/config.json:ro" wharfinger:latest

# One folder per name under which a node asks: every registry, and what was pushed from this machine.
for node in $(kind get nodes --name "$cluster"); do
    for names in _default localhost:5000; do
        docker exec "$node" mkdir -p "/etc/containerd/certs.d/$names"
        docker exec --interactive "$node" cp /dev/stdin "/etc/containerd/certs.d/$names/hosts.toml" \
            <"$here/hosts.toml"
    done
done
