#!/usr/bin/env bash
# A private RabbitMQ on loopback, with its own data, epmd, ports and credentials. Never touches the machine's broker.
#
#   rabbitmq.sh start DIR [PORT_BASE]   start it, on its earlier data if there is any; returns when it is ready
#   rabbitmq.sh stop DIR                stop the broker and its epmd, and nothing else
#   rabbitmq.sh status DIR              exit 0 if it runs and is healthy
#   rabbitmq.sh alarm DIR on|off        raise the memory alarm, which stops all publishing, or end it
#
# `start` writes DIR/env (AMQP_URL, MANAGEMENT_URL, RABBITMQ_USER, RABBITMQ_PASSWORD) and DIR/broker.pid, DIR/epmd.pid.
# Ports are random, or count from PORT_BASE (amqp, management, dist, epmd). STOP_WITH=PID stops it when PID ends.
# shellcheck disable=SC1091,SC2154 # ports and credentials are read from files that are written when a server starts
set -euo pipefail
script=$(readlink -f -- "${BASH_SOURCE[0]}")
source "${script%/*}/common.sh"

port_names=(amqp management dist epmd)
# Measured: 8 to 33 s on two busy cores, 74 s where eight processes shared them.
start_timeout_s=240
stop_timeout_s=30

write_configuration() {
    source "$DIR/ports"
    if [ ! -s "$DIR/credentials" ]; then
        printf 'user=jhalak\npassword=%s\n' "$(random_hex 16)" >"$DIR/credentials"
    fi
    source "$DIR/credentials"
    cat >"$DIR/rabbitmq.conf" <<CONF
listeners.tcp.local = 127.0.0.1:$amqp
management.tcp.ip = 127.0.0.1
management.tcp.port = $management
default_user = $user
default_pass = $password
# The write-ahead log of the quorum queues; the default of 512 MiB is for servers that have the disk to themselves.
raft.wal_max_size_bytes = 67108864
log.file.level = info
CONF
    printf '[rabbitmq_management].\n' >"$DIR/enabled_plugins"
    cat >"$DIR/env" <<ENV
AMQP_URL=amqp://$user:$password@127.0.0.1:$amqp/%2f
MANAGEMENT_URL=http://127.0.0.1:$management
RABBITMQ_USER=$user
RABBITMQ_PASSWORD=$password
ENV
}

# healthy: the management API, called with this folder's password, reports that the AMQP port is served. Another
# broker that won the race for the port would refuse the password.
healthy() {
    printf 'user = "%s:%s"\n' "$user" "$password" | curl -fsS -m 5 -K - -o "$DIR/health.json" \
        "http://127.0.0.1:$management/api/health/checks/port-listener/$amqp" 2>"$DIR/log/health.log"
}

launch_epmd() {
    launch epmd ERL_EPMD_ADDRESS=127.0.0.1 epmd -port "$epmd"
    # It exits at once if the port is taken. `-names` queries any listener, so check that ours runs, too.
    while sleep 0.1; do
        starting epmd || return 1
        ERL_EPMD_ADDRESS=127.0.0.1 timeout 2 epmd -port "$epmd" -names >/dev/null 2>&1 && running epmd && return 0
    done
}

launch_broker() {
    local home server
    for server in /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server; do :; done
    # Not /usr/sbin/rabbitmq-server: that is a wrapper which wants root and changes to the user `rabbitmq`.
    [ -x "$server" ] || die "RabbitMQ is missing; install it: apt-get install rabbitmq-server"
    home=$DIR/data
    mkdir -p -- "$home"
    # RUNNING_UNDER_SYSTEMD: the script then becomes the Erlang machine, so that the pid is the broker's.
    # An address as the node's host: nothing is looked up, and the name stays when the machine's changes.
    # ERL_ZFLAGS reaches every Erlang that the broker starts, also the short-lived one that looks for epmd.
    launch broker \
        RUNNING_UNDER_SYSTEMD=1 \
        ERL_ZFLAGS="-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false" \
        ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd" ERL_CRASH_DUMP_SECONDS=0 \
        RABBITMQ_USE_LONGNAME=true RABBITMQ_NODENAME=jhalak@127.0.0.1 RABBITMQ_DIST_PORT="$dist" RABBITMQ_NODE_PORT="$amqp" \
        RABBITMQ_CONF_ENV_FILE="$DIR/rabbitmq-env.conf" RABBITMQ_CONFIG_FILE="$DIR/rabbitmq.conf" \
        RABBITMQ_CONFIG_FILES="$DIR/conf.d" RABBITMQ_ADVANCED_CONFIG_FILE="$DIR/advanced.config" \
        RABBITMQ_ENABLED_PLUGINS_FILE="$DIR/enabled_plugins" RABBITMQ_GENERATED_CONFIG_DIR="$home/config" \
        RABBITMQ_SCHEMA_DIR="$home/schema" RABBITMQ_MNESIA_BASE="$home" RABBITMQ_MNESIA_DIR="$home/mnesia" \
        RABBITMQ_QUORUM_DIR="$home/quorum" RABBITMQ_STREAM_DIR="$home/stream" \
        RABBITMQ_FEATURE_FLAGS_FILE="$home/feature_flags" RABBITMQ_PLUGINS_EXPAND_DIR="$home/plugins" \
        RABBITMQ_PID_FILE="$home/pid" RABBITMQ_LOG_BASE="$DIR/log" RABBITMQ_LOGS="$DIR/log/rabbitmq.log" \
        "$server"
}

# attempt: start what does not run yet and wait for health. Non-zero where a process ended, as after a lost port.
attempt() {
    local deadline=$((SECONDS + start_timeout_s))
    write_configuration
    running epmd || launch_epmd || { say "epmd could not take port $epmd"; return 1; }
    running broker || launch_broker
    until healthy; do
        starting broker || { say "the broker ended while starting:"; tail -n 3 "$DIR/log/broker.log" | cut -c1-300 >&2; return 1; }
        if ((SECONDS >= deadline)); then
            end broker "$stop_timeout_s"
            end epmd 5
            die "the broker was not healthy after $start_timeout_s s; read $DIR/log/rabbitmq.log"
        fi
        sleep 0.2
    done
}

start() {
    local tries=0 began=$SECONDS
    need epmd erlang-base
    need curl curl
    open_folder "$1"
    # Its disk monitor reads `df` by columns, and fails for ever on a name with a space.
    [[ $DIR =~ ^[[:alnum:]/._+-]+$ ]] || die "RabbitMQ cannot use the folder '$DIR': name one without spaces and special characters"
    if [ -n "${2:-}" ]; then
        if ! running broker; then number_ports "$2" "${port_names[@]}"; fi
    elif [ ! -s "$DIR/ports" ]; then
        choose_ports "${port_names[@]}"
    fi
    until attempt; do
        end broker "$stop_timeout_s"
        end epmd 5
        tries=$((tries + 1))
        if ((tries == 4)) || [ -n "${2:-}" ] || ports_are_free; then die "gave up; read $DIR/log/"; fi
        say "one of its ports was taken: trying others"
        choose_ports "${port_names[@]}"
    done
    if [ -n "${STOP_WITH:-}" ]; then stop_with "$STOP_WITH" "$script" stop "$DIR"; fi
    say "RabbitMQ is ready after $((SECONDS - began)) s: 127.0.0.1:$amqp (pid $(cat "$DIR/broker.pid")), management on" \
        "$management, data in $DIR/data; 'source $DIR/env' for the URL"
}

stop() {
    open_folder "$1"
    end watch 1
    end broker "$stop_timeout_s"
    end epmd 5
}

status() {
    open_folder "$1"
    if [ ! -s "$DIR/ports" ] || [ ! -s "$DIR/credentials" ]; then die "no server was ever started in $DIR"; fi
    source "$DIR/ports"
    source "$DIR/credentials"
    running broker || die "the broker does not run"
    healthy || die "the broker runs but is not healthy: $(cat "$DIR/log/health.log")"
    say "the broker runs (pid $(cat "$DIR/broker.pid")) and is healthy"
}

# The limit goes below any use of memory, or back to the default share.
alarm() {
    local ctl limit
    case "${2:-}" in
    on) limit=(absolute 1MB) ;;
    off) limit=(0.4) ;;
    *) die "on or off? usage: ${0##*/} alarm DIR on|off" ;;
    esac
    open_folder "$1"
    source "$DIR/ports"
    running broker || die "the broker does not run"
    for ctl in /usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmqctl; do :; done
    HOME=$DIR ERL_EPMD_ADDRESS=127.0.0.1 ERL_EPMD_PORT="$epmd" RABBITMQ_CONF_ENV_FILE="$DIR/rabbitmq-env.conf" \
        "$ctl" --quiet --longnames --node jhalak@127.0.0.1 set_vm_memory_high_watermark "${limit[@]}" >/dev/null
}

case "${1:-}" in
start | stop | status | alarm) [ -n "${2:-}" ] || die "which folder? usage: ${0##*/} $1 DIR"; "$@" ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$script" >&2; exit 2 ;;
esac
