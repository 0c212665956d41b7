#!/usr/bin/env bash
# Measures the cost of distribution on a private RabbitMQ and S3 server: bench_queue.sh [rates|wall|scale [TRAILERS...]].
# Needs `scripts/setup.sh test`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --release --locked --workspace --bins
cargo bench --locked --workspace --bench queue --no-run

scripts/servers/with_s3.sh cargo bench --locked --workspace --bench queue -- "$@"
