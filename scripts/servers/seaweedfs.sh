#!/usr/bin/env bash
# A private SeaweedFS on loopback that speaks S3, with data, ports and credentials of its own.
#
#   seaweedfs.sh start DIR [PORT_BASE]   start it, on its earlier data if there is any; returns when it is ready
#   seaweedfs.sh bucket DIR NAME         create a bucket; one that exists already is fine
#   seaweedfs.sh stop DIR                stop exactly this server
#   seaweedfs.sh status DIR              exit 0 if it runs and is healthy
#
# `start` writes DIR/env (S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION) and DIR/weed.pid.
# The program is WEED, or .local/bin/weed. Ports are random, or count from PORT_BASE (s3 first).
# STOP_WITH=PID stops the server when process PID ends. With DIR/cert.pem and DIR/key.pem it also serves TLS
# (S3_HTTPS_ENDPOINT).
# shellcheck disable=SC1091,SC2154 # ports and credentials are read from files that are written when a server starts
set -euo pipefail
script=$(readlink -f -- "${BASH_SOURCE[0]}")
source "${script%/*}/common.sh"

port_names=(s3 s3_grpc filer filer_grpc volume volume_grpc master master_grpc s3_https)
start_timeout_s=60
# Its shutdown waits for ever for the filer's own clients (4.48). Every answered write has reached the kernel by then, so
# that the SIGKILL which follows loses nothing.
stop_timeout_s=2
region=us-east-1

write_configuration() {
    source "$DIR/ports"
    if [ ! -s "$DIR/credentials" ]; then
        printf 'access_key=%s\nsecret_key=%s\n' "$(random_hex 10)" "$(random_hex 20)" >"$DIR/credentials"
    fi
    source "$DIR/credentials"
    mkdir -p -- "$DIR/data" "$DIR/config"
    cat >"$DIR/s3.json" <<CONF
{"identities": [{"name": "jhalak", "credentials": [{"accessKey": "$access_key", "secretKey": "$secret_key"}],
  "actions": ["Admin", "Read", "Write", "List", "Tagging"]}]}
CONF
    cat >"$DIR/env" <<ENV
S3_ENDPOINT=http://127.0.0.1:$s3
AWS_ACCESS_KEY_ID=$access_key
AWS_SECRET_ACCESS_KEY=$secret_key
AWS_REGION=$region
ENV
    if [ -s "$DIR/cert.pem" ]; then printf 'S3_HTTPS_ENDPOINT=https://127.0.0.1:%s\n' "$s3_https" >>"$DIR/env"; fi
}

# signed CURL_OPTION... URL_PATH: one request to the S3 port, signed with this folder's keys, which no command line shows.
# Debian 12's curl leaves a body out of the signature unless its hash is named.
signed() {
    local path=${!#}
    printf 'user = "%s:%s"\naws-sigv4 = "aws:amz:%s:s3"\n' "$access_key" "$secret_key" "$region" |
        curl -sS -m 5 -K - -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' "${@:1:$#-1}" "http://127.0.0.1:$s3$path" 2>>"$DIR/log/health.log"
}

# healthy: an object that was really written can really be read. An open port proves nothing: the gateway answers long before
# the volume server accepts data. Another server that won the race for the port would refuse the signature.
healthy() {
    local bytes
    bytes=$(random_hex 16)
    create_bucket jhalak-ready &&
        signed -f -o "$DIR/log/health.body" -X PUT --data-binary "$bytes" /jhalak-ready/probe &&
        [ "$(signed -f /jhalak-ready/probe)" = "$bytes" ]
}

create_bucket() {
    local code
    code=$(signed -o "$DIR/log/health.body" -w '%{http_code}' -X PUT "/$1") && [[ $code =~ ^(200|409)$ ]]
}

launch_weed() {
    local weed=${WEED:-${script%/scripts/*}/.local/bin/weed}
    [ -x "$weed" ] || die "SeaweedFS is missing at $weed; fetch it with 'scripts/setup.sh test', or name the program: WEED=/path/to/weed"
    weed=$(readlink -f -- "$weed")
    local tls=()
    if [ -s "$DIR/cert.pem" ]; then
        tls=(-s3.port.https="$s3_https" -s3.cert.file="$DIR/cert.pem" -s3.key.file="$DIR/key.pem")
    fi
    # One volume server holds every bucket: small volumes, many of them, so that a new bucket always finds space.
    launch weed "$weed" -logtostderr=true -config_dir="$DIR/config" server -dir="$DIR/data" \
        -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -master.electionTimeout=1s \
        -master.port="$master" -master.port.grpc="$master_grpc" -master.volumeSizeLimitMB=256 \
        -volume.port="$volume" -volume.port.grpc="$volume_grpc" -volume.max=1000 -volume.preStopSeconds=0 \
        -filer -filer.port="$filer" -filer.port.grpc="$filer_grpc" \
        -s3 -s3.port="$s3" -s3.port.grpc="$s3_grpc" \
        -s3.port.iceberg=0 -s3.port.lance=0 -s3.config="$DIR/s3.json" ${tls[@]+"${tls[@]}"}
}

# end_weed: stop it, and remove the sockets that it leaves in /tmp, whose names hold our own ports.
end_weed() {
    local name port
    end weed "$stop_timeout_s"
    if [ ! -s "$DIR/ports" ]; then return; fi
    source "$DIR/ports"
    rm -f -- "/tmp/seaweedfs-s3-$s3.sock" "/tmp/seaweedfs-filer-$filer.sock"
    for name in s3 filer volume master; do
        port=${name}_grpc
        rm -f -- "/tmp/seaweedfs-$name-grpc-${!port}.sock"
    done
}

# attempt: start it where it does not run and wait for health. Non-zero where it ended, as after a lost port.
attempt() {
    local deadline=$((SECONDS + start_timeout_s))
    write_configuration
    running weed || launch_weed
    until healthy; do
        starting weed || { say "SeaweedFS ended while starting:"; tail -n 3 "$DIR/log/weed.log" | cut -c1-300 >&2; return 1; }
        if ((SECONDS >= deadline)); then
            end_weed
            die "SeaweedFS was not healthy after $start_timeout_s s; read $DIR/log/weed.log"
        fi
        sleep 0.2
    done
}

start() {
    local tries=0 began=$SECONDS
    need curl curl
    open_folder "$1"
    if [ -n "${2:-}" ]; then
        if ! running weed; then number_ports "$2" "${port_names[@]}"; fi
    elif [ ! -s "$DIR/ports" ]; then
        choose_ports "${port_names[@]}"
    fi
    until attempt; do
        end_weed
        tries=$((tries + 1))
        if ((tries == 4)) || [ -n "${2:-}" ] || ports_are_free; then die "gave up; read $DIR/log/"; fi
        say "one of its ports was taken: trying others"
        choose_ports "${port_names[@]}"
    done
    if [ -n "${STOP_WITH:-}" ]; then stop_with "$STOP_WITH" "$script" stop "$DIR"; fi
    say "SeaweedFS is ready after $((SECONDS - began)) s: S3 on 127.0.0.1:$s3 (pid $(cat "$DIR/weed.pid")), data in" \
        "$DIR/data; 'source $DIR/env' for the keys"
}

# read_configuration: for the commands that need a server which was started before.
read_configuration() {
    open_folder "$1"
    if [ ! -s "$DIR/ports" ] || [ ! -s "$DIR/credentials" ]; then die "no server was ever started in $DIR"; fi
    source "$DIR/ports"
    source "$DIR/credentials"
    running weed || die "SeaweedFS does not run"
}

bucket() {
    [ -n "${2:-}" ] || die "which bucket? usage: ${0##*/} bucket DIR NAME"
    read_configuration "$1"
    create_bucket "$2" || die "failed to create the bucket $2: $(cat "$DIR/log/health.body")"
    say "bucket $2 exists"
}

stop() {
    open_folder "$1"
    end watch 1
    end_weed
}

status() {
    read_configuration "$1"
    healthy || die "SeaweedFS runs but is not healthy; read $DIR/log/weed.log"
    say "SeaweedFS runs (pid $(cat "$DIR/weed.pid")) and is healthy"
}

case "${1:-}" in
start | stop | status | bucket) [ -n "${2:-}" ] || die "which folder? usage: ${0##*/} $1 DIR"; "$@" ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$script" >&2; exit 2 ;;
esac
