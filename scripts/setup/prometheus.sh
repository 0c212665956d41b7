#!/usr/bin/env bash
# Puts prometheus and promtool into .local/bin for the tests of the metrics: from Debian's package, without installing
# it, so that no service comes with it.
#
#     scripts/setup/prometheus.sh
#
# Exit codes: 0 done, 3 this is not Debian and they are not on the PATH, 5 the package could not be downloaded.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'setup: %s\n' "$*" >&2; }

bin=.local/bin
if [[ -x $bin/prometheus && -x $bin/promtool ]]; then exit 0; fi
mkdir -p "$bin"

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$bin/"
    exit 0
fi
if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    say "this is not Debian: put prometheus and promtool (2.42 or newer) on the PATH"
    exit 3
fi

cache=${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}/downloads
mkdir -p "$cache"
work=$(mktemp -d "$cache/.prometheus-XXXXXX")
trap 'rm -rf -- "$work"' EXIT
kept=("$cache"/prometheus_*.deb)
if [[ ! -e ${kept[0]} ]]; then
    say "downloading prometheus: the server that scrapes the tests' workers, and promtool"
    # apt's own user may not write to the folder.
    download() { (cd "$work" && apt-get -qq -o APT::Sandbox::User= download prometheus >&2); }
    # Package lists may be absent or old; only root may update them.
    download || { [[ $EUID -eq 0 ]] && apt-get -qq update >&2 && download; } || {
        say "apt-get could not download prometheus: run apt-get update as root, then this again"
        exit 5
    }
    mv "$work"/prometheus_*.deb "$cache/"
    kept=("$cache"/prometheus_*.deb)
fi
dpkg-deb -x "${kept[0]}" "$work/files"
for program in prometheus promtool; do
    # Renamed into place: a partial file is never visible.
    cp "$work/files/usr/bin/$program" "$bin/.$program.new"
    mv "$bin/.$program.new" "$bin/$program"
done
say "$bin/prometheus, $bin/promtool: scrape the tests' workers and check the alert rules"
