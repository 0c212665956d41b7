#!/usr/bin/env bash
# Takes docs/report.png, README's picture: the top of the newest report under .local/store, and docs/report_trailers.png, its
# first trailer, as headless Chromium shows them. Run `make run` first. Needs Debian's package chromium.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

browser=$(command -v chromium || true)
if [[ -z $browser ]]; then
    echo "report_picture.sh: chromium is not installed: apt-get install chromium" >&2
    exit 3
fi
shopt -s nullglob
reports=(${JHALAK__STORE:-.local/store}/runs/*/report/index.html)
if [[ ${#reports[@]} -eq 0 ]]; then
    echo "report_picture.sh: no report under .local/store/runs: run \`make run\` first" >&2
    exit 3
fi
report=$(realpath "$(ls -t "${reports[@]}" | head -n 1)")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# take NAME STYLE HEIGHT: takes docs/NAME.png of the report with STYLE added to its style sheet.
take() {
    sed "s|</style>|$2</style>|" "$report" >"$work/page.html"
    "$browser" --headless --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync \
        --disable-component-update --hide-scrollbars --user-data-dir="$work/profile" --window-size="1180,$3" \
        --screenshot="$PWD/docs/$1.png" "file://$work/page.html" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    echo "docs/$1.png: $report"
}

take report "" 1180
take report_trailers "header,.contents,main>section:not([aria-labelledby=trailers]),article~article{display:none}body{display:block;max-width:66rem}section{border:0!important;margin:0!important;padding:0!important}" 1010
