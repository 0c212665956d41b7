#!/usr/bin/env bash
# Runs a command with a private S3 server, whose address is in S3_ENDPOINT and AWS_*: with_s3.sh COMMAND [ARGUMENT...].
# The server and its data are removed when the command ends; the command's exit code is returned.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

servers=$(mktemp -d)
export WEED=$PWD/.local/bin/weed
trap 'scripts/servers/seaweedfs.sh stop "$servers"; rm -rf -- "$servers"' EXIT
scripts/servers/seaweedfs.sh start "$servers"
scripts/servers/seaweedfs.sh bucket "$servers" jhalak-tests
set -a
# shellcheck disable=SC1091 # written by the line above
source "$servers/env"
set +a
"$@"
