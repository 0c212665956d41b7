#!/usr/bin/env bash
# Runs every test; `scripts/setup.sh test` has put in place what they need. Arguments go to `cargo test --workspace`, for a part of them:
#
#     scripts/test.sh --test run keyframes
#
# (Never `-p`: cargo then chooses other features and builds the dependencies again.)
# The tests start their own RabbitMQ; the S3 server is started here, once, and told to them by S3_ENDPOINT and AWS_*.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# Where the Makefile has them too: one set of build products, whichever way tests are started.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}/target}

cargo build --locked --workspace --all-targets

if [[ $# -gt 0 ]]; then
    scripts/servers/with_s3.sh cargo test --locked --workspace "$@"
else
    scripts/servers/with_s3.sh cargo test --locked --workspace
    k8s/validate.sh
fi
