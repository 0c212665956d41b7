#!/usr/bin/env bash
# Runs every test, after `scripts/setup.sh test`. Arguments go to `cargo test --workspace` and select a part:
#
#     scripts/test.sh --test run keyframes
#
# Never use `-p`: cargo then selects other features and builds the dependencies again.
# The tests start their own RabbitMQ. The S3 server is started here, once; S3_ENDPOINT and AWS_* point the tests at it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# The same folder as in the Makefile: one set of build products, however tests are started.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}/target}

# Tests of libraries load ONNX Runtime without the programs' `main`, which forbids this.
export ORT_DISABLE_TELEMETRY=1

cargo build --locked --workspace --all-targets

if [[ $# -gt 0 ]]; then
    scripts/servers/with_s3.sh cargo test --locked --workspace "$@"
else
    scripts/servers/with_s3.sh cargo test --locked --workspace
    k8s/validate.sh
fi
