#!/usr/bin/env bash
# What distribution costs, on a private RabbitMQ and a private S3 server: bench_queue.sh [rates|wall|scale [TRAILERS...]].
# `scripts/setup.sh test` has put in place what it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --locked --workspace --bins
cargo bench --locked --workspace --bench queue --no-run

servers=$(mktemp -d)
export WEED=$PWD/.local/bin/weed
trap 'scripts/servers/seaweedfs.sh stop "$servers"; rm -rf -- "$servers"' EXIT
scripts/servers/seaweedfs.sh start "$servers"
scripts/servers/seaweedfs.sh bucket "$servers" jhalak-tests
set -a
# shellcheck disable=SC1091 # written by the line above
source "$servers/env"
set +a
cargo bench --locked --workspace --bench queue -- "$@"
