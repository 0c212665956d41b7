#!/usr/bin/env bash
# What distribution costs, on a private RabbitMQ and a private S3 server: bench_queue.sh [rates|wall|scale [TRAILERS...]].
# `scripts/setup.sh test` has put in place what it needs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --locked --workspace --bins
cargo bench --locked --workspace --bench queue --no-run

scripts/servers/with_s3.sh cargo bench --locked --workspace --bench queue -- "$@"
