#!/usr/bin/env bash
# Runs Jhalak over real servers on this machine: a private RabbitMQ, a private SeaweedFS and two workers, all on loopback.
#
#   cluster.sh up [DATASET]   start what is not running, then submit DATASET, or the demo with the settings of `make run`
#   cluster.sh down           stop exactly what `up` started; the data stays in .local/cluster for the next `up`
#
# BIN_DIR         the folder of jhalak and jhalak-worker ($CARGO_TARGET_DIR/release, else where the Makefile builds)
# WORKERS         number of workers (2)
# JHALAK_CONFIG   settings file; without DATASET always demo/jhalak.toml
#
# .local/cluster/env points every `jhalak` command at this cluster: source .local/cluster/env
# shellcheck disable=SC1091 # the servers' files are written when they start
set -euo pipefail
cd -- "$(dirname -- "$(readlink -f -- "${BASH_SOURCE[0]}")")/.."
source scripts/servers/common.sh

bin_dir=${BIN_DIR:-${CARGO_TARGET_DIR:-${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}/target}/release}
workers=${WORKERS:-2}
worker_start_timeout_s=60
# Slightly longer than worker.grace_ms.
worker_stop_timeout_s=30

write_environment() {
    source "$DIR/rabbitmq/env"
    source "$DIR/seaweedfs/env"
    cat >"$DIR/env" <<ENV
export JHALAK__STORE=s3://jhalak/demo
export JHALAK__QUEUE=$AMQP_URL
export JHALAK__S3__ENDPOINT=$S3_ENDPOINT
export JHALAK__S3__REGION=$AWS_REGION
export AWS_ACCESS_KEY_ID=$AWS_ACCESS_KEY_ID
export AWS_SECRET_ACCESS_KEY=$AWS_SECRET_ACCESS_KEY
ENV
}

start_worker() {
    local name=$1 slots deadline=$((SECONDS + worker_start_timeout_s))
    # Workers share the cores; each has at least one slot.
    slots=$(($(nproc) / workers))
    export JHALAK__WORKER__HEARTBEAT_FILE=$DIR/$name.heartbeat JHALAK__WORKER__SCRATCH=$DIR/scratch
    # A running worker may come from an older build, or use an old address.
    end "$name" "$worker_stop_timeout_s"
    rm -f -- "$JHALAK__WORKER__HEARTBEAT_FILE"
    background "$name" "$bin_dir/jhalak-worker" --kinds extract,train --slots "$((slots > 0 ? slots : 1))"
    until "$bin_dir/jhalak-worker" health --ready >>"$DIR/log/health.log" 2>&1; do
        starting "$name" || die "$name ended while starting: $(tail -n 3 "$DIR/log/$name.log")"
        ((SECONDS < deadline)) || die "$name is not ready after $worker_start_timeout_s s; read $DIR/log/$name.log"
        sleep 0.1
    done
    say "$name is ready (pid $(cat "$DIR/$name.pid")), log in $DIR/log/$name.log"
}

# started_workers: names of all workers ever started here. `down` may run with another WORKERS than `up`.
started_workers() {
    local file
    for file in "$DIR"/worker-*.pid; do
        if [ -e "$file" ]; then basename "$file" .pid; fi
    done
}

up() {
    local dataset=${1:-.local/demo/dataset} number name code
    # The same epochs as in `make run`, so that both make the same artifacts. The store is overridden by DIR/env.
    if (($# == 0)); then export JHALAK_CONFIG=demo/jhalak.toml; fi
    if [ ! -x "$bin_dir/jhalak" ] || [ ! -x "$bin_dir/jhalak-worker" ]; then
        die "no programs in $bin_dir: build them first (make build), or set BIN_DIR"
    fi
    [ -e "$dataset" ] || [[ $dataset == *://* ]] || die "no dataset at $dataset: 'scripts/setup.sh run' makes the demo's"
    [ -x .local/bin/weed ] || die "the S3 server is missing: run scripts/setup.sh test"
    open_folder .local/cluster
    scripts/servers/rabbitmq.sh start "$DIR/rabbitmq"
    scripts/servers/seaweedfs.sh start "$DIR/seaweedfs"
    scripts/servers/seaweedfs.sh bucket "$DIR/seaweedfs" jhalak
    write_environment
    source "$DIR/env"
    for number in $(seq "$workers"); do start_worker "worker-$number"; done
    for name in $(started_workers); do
        if ((${name#worker-} > workers)); then end "$name" "$worker_stop_timeout_s"; fi
    done
    # From here on `down` may run; it stops the submit too.
    exec 9>&-
    code=0
    (
        echo "$BASHPID" >"$DIR/submit.pid"
        exec env JHALAK_SERVER="$DIR/submit" "$bin_dir/jhalak" submit --dataset "$dataset"
    ) || code=$?
    rm -f -- "$DIR/submit.pid"
    if ((code != 0)); then
        say "submit ended with exit code $code; what it started still runs unless 'make cluster-down' stopped it"
        exit "$code"
    fi
    say "the cluster still runs: 'source $DIR/env' points jhalak at it, 'make cluster-down' stops it"
}

down() {
    local name
    if [ ! -d .local/cluster ]; then
        say "no cluster was ever started here"
        return
    fi
    open_folder .local/cluster
    for name in submit $(started_workers); do end "$name" "$worker_stop_timeout_s"; done
    scripts/servers/rabbitmq.sh stop "$DIR/rabbitmq"
    scripts/servers/seaweedfs.sh stop "$DIR/seaweedfs"
}

case "${1:-}" in
up | down) "$@" ;;
*) sed -n '2,11s/^# \{0,1\}//p' scripts/cluster.sh >&2; exit 2 ;;
esac
