#!/usr/bin/env bash
# Takes the pictures of the documents as headless Chromium shows them: of the newest report under .local/store its top
# (docs/report.png) and a trailer (docs/report_trailers.png), and of the pages of `jhalak serve` over that store a trailer
# (docs/page_trailer.jpg) and recommendations for a new viewer (docs/page_try.jpg).
#
#     scripts/docs/pictures.sh [JHALAK]    JHALAK: the built program; by default the one on the PATH
#
# Run `make run` first. Needs Debian's package chromium. JHALAK__STORE names another local store.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

browser=$(command -v chromium || true)
if [[ -z $browser ]]; then
    echo "pictures.sh: chromium is not installed: apt-get install chromium" >&2
    exit 3
fi
jhalak=${1:-$(command -v jhalak || true)}
if [[ -z $jhalak ]]; then
    echo "pictures.sh: no program jhalak on the PATH: \`make install\`, or name it" >&2
    exit 3
fi
store=${JHALAK__STORE:-.local/store}
shopt -s nullglob
reports=("$store"/runs/*/report/index.html)
if [[ ${#reports[@]} -eq 0 ]]; then
    echo "pictures.sh: no report under $store/runs: run \`make run\` first" >&2
    exit 3
fi
report=$(realpath "$(ls -t "${reports[@]}" | head -n 1)")
run=$(basename "$(dirname "$(dirname "$report")")")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# take FILE ADDRESS HEIGHT: takes docs/FILE, a PNG or a JPEG, of a page.
take() {
    "$browser" --headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync \
        --disable-component-update --hide-scrollbars --user-data-dir="$work/profile" --window-size="1180,$3" \
        --virtual-time-budget=5000 --screenshot="$work/taken.png" "$2" 2>"$work/log" || { cat "$work/log" >&2; exit 1; }
    case $1 in
        *.png) cp "$work/taken.png" "docs/$1" ;;
        *) ffmpeg -nostdin -v error -y -i "$work/taken.png" -q:v 5 "docs/$1" ;;
    esac
    echo "docs/$1: $2"
}

cp "$report" "$work/top.html"
take report.png "file://$work/top.html" 1180
# A trailer alone: what stands before it and after it is hidden.
alone="header,.contents,main>section:not([aria-labelledby=trailers]),article~article{display:none}body{display:block;max-width:66rem}section{border:0!important;margin:0!important;padding:0!important}"
sed "s|</style>|$alone</style>|" "$report" >"$work/trailer.html"
take report_trailers.png "file://$work/trailer.html" 1010

"$jhalak" serve --store "$store" --listen 127.0.0.1:0 >"$work/serve" &
server=$!
trap 'kill "$server"; rm -rf "$work"' EXIT
until [[ -s $work/serve ]]; do
    kill -0 "$server"
    sleep 0.1
done
address=$(cut -d' ' -f1 "$work/serve")/runs/$run
take page_trailer.jpg "$address/trailers/tt9900011" 1080
take page_try.jpg "$address/try?like=tt9900001&dislike=tt9900013" 1480
