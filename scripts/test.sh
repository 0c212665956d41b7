#!/usr/bin/env bash
# Runs every test; `scripts/setup.sh test` has put in place what they need. Arguments go to `cargo test --workspace`, for a part of them:
#
#     scripts/test.sh --test run keyframes
#
# (Never `-p`: cargo then chooses other features and builds the dependencies again.)
# The tests start their own RabbitMQ; the S3 server is started here, once, and told to them by S3_ENDPOINT and AWS_*.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo build --locked --workspace --all-targets

servers=$(mktemp -d)
export WEED=$PWD/.local/bin/weed
trap 'scripts/servers/seaweedfs.sh stop "$servers"; rm -rf -- "$servers"' EXIT
scripts/servers/seaweedfs.sh start "$servers"
scripts/servers/seaweedfs.sh bucket "$servers" jhalak-tests
set -a
# shellcheck disable=SC1091 # written by the line above
source "$servers/env"
set +a

if [[ $# -gt 0 ]]; then
    cargo test --locked --workspace "$@"
else
    cargo test --locked --workspace
    k8s/validate.sh
fi
