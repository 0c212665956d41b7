#!/usr/bin/env bash
# Installs missing Debian packages.
#
#     scripts/setup/debian.sh run|test
#
# Exit codes: 0 nothing is missing, 2 wrong use, 3 something is missing and this is not root (the line to run is printed).
set -euo pipefail

say() { printf 'setup: %s\n' "$*" >&2; }

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=scripts/setup/python.sh
source "$here/python.sh"

installed() { [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]; }

has_compiler() { command -v cc && command -v make; }
has_libclang() { [[ -n ${LIBCLANG_PATH:-} ]] || installed libclang-dev; }
has_ffmpeg() { command -v ffmpeg && command -v ffprobe; }
has_rabbitmq() { compgen -G "/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server"; }

missing=()
# need PACKAGE WHY COMMAND...: lists PACKAGE as missing, with the reason WHY, unless COMMAND succeeds.
need() {
    local package=$1 why=$2
    shift 2
    "$@" >/dev/null 2>&1 && return
    say "missing: $package ($why)"
    missing+=("$package")
}

# Checks look for the tool itself where possible, so that one from another source than Debian counts.
find_missing() {
    local library
    need build-essential "C compiler, linker and make" has_compiler
    need pkg-config "finds the FFmpeg libraries" command -v pkg-config
    need clang "reads FFmpeg's headers" command -v clang
    need libclang-dev "reads FFmpeg's headers" has_libclang
    need cmake "builds libjpeg-turbo, which reads and writes JPEG" command -v cmake
    need nasm "builds libjpeg-turbo, which reads and writes JPEG" command -v nasm
    for library in avutil avformat avcodec avfilter avdevice swscale swresample postproc; do
        need "lib$library-dev" "FFmpeg, decodes trailers" pkg-config --exists "lib$library"
    done
    need ffmpeg "cuts the demo's clips" has_ffmpeg
    need python3-venv "pip, which fetches models and tools" find_python
    if [[ $1 == test ]]; then
        need curl "asks the tests' servers whether they are ready" command -v curl
        need chromium "shows the pages that the tests check" command -v chromium
        need rabbitmq-server "the queue of the tests; its own service is not started" has_rabbitmq
    fi
}

# Debian starts a service when its package is installed, unless /usr/sbin/policy-rc.d forbids it: so it is made to
# for the time of the installation. An existing policy is restored at the end.
policy=/usr/sbin/policy-rc.d
kept=$policy.before-jhalak
marker="for the time of jhalak's set-up"
forbid_service_starts() {
    # A set-up that was killed leaves ours behind: do not keep it.
    if [[ -e $policy ]] && ! grep -q "$marker" "$policy"; then mv "$policy" "$kept"; fi
    printf '#!/bin/sh\n# %s\nexit 101\n' "$marker" >"$policy"
    chmod 755 "$policy"
}
restore_policy() {
    if [[ -e $kept ]]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi
}

# A newly installed service would start at the next boot. Services installed earlier stay unchanged.
keep_off_at_boot() {
    if [[ " $* " == *" rabbitmq-server.service "* && -e /etc/init.d/rabbitmq-server ]]; then
        update-rc.d rabbitmq-server disable >/dev/null 2>&1 || true
    fi
    if command -v systemctl >/dev/null; then
        systemctl --no-reload disable "$@" >/dev/null 2>&1 || true
    fi
}

install_missing() {
    local unit fresh=()
    for unit in rabbitmq-server.service epmd.service epmd.socket; do # epmd is Erlang's, which RabbitMQ brings
        if [[ ! -e /lib/systemd/system/$unit ]]; then fresh+=("$unit"); fi
    done
    trap restore_policy EXIT
    forbid_service_starts
    export DEBIAN_FRONTEND=noninteractive
    say "installing ${missing[*]}"
    # Package lists may be absent or old. One unreachable source is not fatal: the installation fails if it was needed.
    apt-get update -qq >&2 || say "apt-get update failed; trying with the existing package lists"
    apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}" >&2
    if [[ ${#fresh[@]} -gt 0 ]]; then keep_off_at_boot "${fresh[@]}"; fi
}

main() {
    if [[ $# -ne 1 || ! $1 =~ ^(run|test)$ ]]; then
        echo "usage: ${0##*/} run|test" >&2
        exit 2
    fi
    find_missing "$1"
    if [[ ${#missing[@]} -eq 0 ]]; then return; fi
    if ! command -v apt-get >/dev/null; then
        say "this is not Debian: install the equivalents of these Debian packages: ${missing[*]}"
        exit 3
    fi
    if [[ $EUID -ne 0 ]]; then
        say "this needs root. Run this line, then the same command again:"
        if [[ " ${missing[*]} " == *" rabbitmq-server "* ]]; then
            # Plain apt-get would start RabbitMQ's service.
            echo "sudo ${BASH_SOURCE[0]} $1"
        else
            echo "sudo apt-get update && sudo apt-get install -y --no-install-recommends ${missing[*]}"
        fi
        exit 3
    fi
    install_missing
}

main "$@"
