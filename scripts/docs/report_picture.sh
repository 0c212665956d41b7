#!/usr/bin/env bash
# Takes docs/report.png, README's picture: the top of the newest report under .local/store, as headless Chromium shows it.
# Run `make run` first. Needs Debian's package chromium.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

browser=$(command -v chromium || true)
if [[ -z $browser ]]; then
    echo "report_picture.sh: chromium is not installed: apt-get install chromium" >&2
    exit 3
fi
reports=(.local/store/runs/*/report/index.html)
if [[ ! -e ${reports[0]} ]]; then
    echo "report_picture.sh: no report under .local/store/runs: run \`make run\` first" >&2
    exit 3
fi
report=$(ls -t "${reports[@]}" | head -n 1)

profile=$(mktemp -d)
trap 'rm -rf "$profile"' EXIT
"$browser" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync \
    --disable-component-update --hide-scrollbars --user-data-dir="$profile" --window-size=1100,900 \
    --screenshot="$PWD/docs/report.png" "file://$PWD/$report" 2>"$profile/log" || { cat "$profile/log" >&2; exit 1; }
echo "docs/report.png: $report"
