# shellcheck shell=bash
# Shared by rabbitmq.sh, seaweedfs.sh and ../cluster.sh: read with `source`, not run.
#
# A private server lives in one folder of its own, DIR:
#   DIR/env           what a client needs (KEY=VALUE lines; mode 0600, for it holds the credentials)
#   DIR/ports         the ports it was given; a restart takes the same ones
#   DIR/NAME.pid      the pid of each process that was started
#   DIR/log/          what the processes printed
#
# A pid alone proves nothing, because the kernel gives it to the next process. Every process is therefore started with
# JHALAK_SERVER=DIR/NAME in its environment, and counts as ours only while /proc/PID/environ contains it.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }

# need PROGRAM PACKAGE: stop with the line that installs a missing program.
need() {
    command -v "$1" >/dev/null || die "'$1' is missing; install it: apt-get install $2"
}

# open_folder DIR: create it for this user alone, make $DIR absolute, let no second start or stop run on it meanwhile.
open_folder() {
    umask 077
    mkdir -p -- "$1/log"
    DIR=$(cd -- "$1" && pwd -P)
    exec 9>"$DIR/lock"
    flock 9
}

# random_hex BYTES
random_hex() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# port_is_free PORT: no TCP socket of this machine uses it, in any state, over IPv4 or IPv6.
port_is_free() {
    local hex tables=(/proc/net/tcp)
    hex=$(printf ':%04X' "$1")
    if [ -r /proc/net/tcp6 ]; then tables+=(/proc/net/tcp6); fi
    ! awk -v port="$hex" '$2 ~ port "$" { found = 1; exit } END { exit !found }' "${tables[@]}"
}

# ports_are_free: all of DIR/ports. Asked after a failed start: where they are, other ports would not have helped.
ports_are_free() {
    local port
    while IFS='=' read -r _ port; do port_is_free "$port" || return 1; done <"$DIR/ports"
}

# choose_ports NAME...: a free port for each name, written to DIR/ports. They are drawn at random below the kernel's
# ephemeral range, so that suites which run side by side seldom draw the same and no client's socket takes one. The race
# that remains shows as a server that cannot bind; the caller then draws again.
choose_ports() {
    local name port taken=" "
    : >"$DIR/ports"
    for name in "$@"; do
        while :; do
            port=$((10240 + (0x$(random_hex 2) << 8 | 0x$(random_hex 1)) % 22000))
            [[ $taken != *" $port "* ]] && port_is_free "$port" && break
        done
        taken+="$port "
        printf '%s=%s\n' "$name" "$port" >>"$DIR/ports"
    done
}

# number_ports BASE NAME...: BASE, BASE+1, ... for callers that need fixed ports.
number_ports() {
    local port=$1 name
    shift
    : >"$DIR/ports"
    for name in "$@"; do
        printf '%s=%s\n' "$name" "$port" >>"$DIR/ports"
        port=$((port + 1))
    done
}

# background NAME COMMAND...: in a session of its own, with the caller's environment. Its output goes to DIR/log/NAME.log,
# its pid to DIR/NAME.pid.
background() {
    local name=$1
    shift
    setsid env JHALAK_SERVER="$DIR/$name" "$@" </dev/null >>"$DIR/log/$name.log" 2>&1 9>&- &
    printf '%s\n' $! >"$DIR/$name.pid"
    disown $!
}

# launch NAME [KEY=VALUE...] COMMAND...: the same, in DIR and with nothing of the caller's environment.
launch() {
    local name=$1
    shift
    background "$name" env -i -C "$DIR" PATH="/usr/sbin:/usr/bin:/sbin:/bin" HOME="$DIR" TMPDIR="$DIR" LANG=C.UTF-8 \
        JHALAK_SERVER="$DIR/$name" "$@"
}

# running NAME: the process in DIR/NAME.pid lives and is the one that was started here.
running() {
    local pid
    pid=$(cat -- "$DIR/$1.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    # A variable that was set by the program itself does not show there, and a zombie has none.
    { tr '\0' '\n' <"/proc/$pid/environ"; } 2>/dev/null | grep -qxF "JHALAK_SERVER=$DIR/$1"
}

# starting NAME: like `running`, but true as well in the moment between fork and exec, for who started it just now.
starting() { kill -0 "$(cat -- "$DIR/$1.pid")" 2>/dev/null; }

# end NAME SECONDS: SIGTERM, and SIGKILL to what still runs after SECONDS. Ends nothing that was not started here.
end() {
    local name=$1 pid deadline=$((SECONDS + $2)) how=""
    if ! running "$name"; then
        if [ -e "$DIR/$name.pid" ]; then say "$name does not run (pid $(cat -- "$DIR/$name.pid") is gone)"; fi
        rm -f -- "$DIR/$name.pid"
        return 0
    fi
    pid=$(cat -- "$DIR/$name.pid")
    kill -TERM "$pid"
    while running "$name"; do
        if ((SECONDS >= deadline)); then
            kill -KILL "$pid"
            how=", by SIGKILL $2 s after SIGTERM"
            deadline=$((SECONDS + 10))
        fi
        sleep 0.1
    done
    rm -f -- "$DIR/$name.pid"
    say "stopped $name (pid $pid)$how"
}

# stop_with PID COMMAND...: run COMMAND when process PID has ended, so that a killed test suite leaves no server.
stop_with() {
    local pid=$1
    shift
    end watch 1
    # shellcheck disable=SC2016 # for that bash to expand
    # The pid file goes first, or the command, which ends the watcher, would end itself.
    launch watch bash -c 'while [ -d "/proc/$0" ]; do sleep 1; done; rm -f watch.pid; exec "$@"' "$pid" "$@"
}
