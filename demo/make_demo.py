#!/usr/bin/env python3
"""Makes the demo dataset in the Flickscore layout: cuts the clips and writes the tables.

    demo/make_demo.py [--sources .local/demo/sources] [--out .local/demo/dataset]

movies.csv, users.csv, ratings.json, dataset.toml and CREDITS.md have the same bytes on every machine; the clips have
the same bytes with the same versions of FFmpeg and x264. Does nothing if the dataset exists and was made from the same
files. See demo/README.md.
"""

import argparse
import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import viewers

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
STAMP = ".made-from"
GENRES = [
    "Biography", "Musical", "Mystery", "Adventure", "Action", "War", "Music", "Fantasy",
    "Romance", "Thriller", "Family", "History", "Crime", "Drama", "Comedy",
]
NOTE = (
    "The viewers and their feedback are synthetic: drawn by a seeded taste model (demo/viewers.py). "
    "Figures measured on them show that the software works and say nothing about people."
)


class DemoError(Exception):
    """The dataset cannot be made; the message gives the reason."""


def fingerprint(sources, catalogue):
    """Returns a hash over all inputs of the dataset."""
    digest = hashlib.sha256()
    names = sorted({film["source"] for film in catalogue["film"].values() if "source" in film})
    for path in [*sorted(HERE.glob("*.py")), HERE / "catalogue.toml", *(sources / name for name in names)]:
        if not path.exists():
            raise DemoError(f"{path} is missing: run scripts/setup.sh run, which fetches it")
        with open(path, "rb") as file:
            digest.update(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


def clips(catalogue):
    """Returns the movies that have a trailer, with their films."""
    pairs = [(movie, catalogue["film"][movie["film"]]) for movie in catalogue["movie"]]
    return [(movie, film) for movie, film in pairs if "source" in film]


def cut(movie, film, sources, trailers):
    """Encodes one clip: 640 x 360 H.264 and AAC, on one thread and without dates, so that the bytes are reproducible."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-y", "-filter_threads", "1"]
    command += ["-ss", str(movie["start_s"]), "-i", str(sources / film["source"])]
    command += ["-t", f"{movie['end_s'] - movie['start_s']:.3f}", "-map", "0:v:0"]
    if movie.get("sound", True):
        command += ["-map", "0:a:0", "-c:a", "aac", "-b:a", "96k", "-flags:a", "+bitexact"]
    command += ["-vf", "scale=640:360:flags=bicubic", "-pix_fmt", "yuv420p", "-c:v", "libx264"]
    command += ["-preset", "veryfast", "-crf", "22", "-threads", "1", "-flags:v", "+bitexact"]
    command += ["-map_metadata", "-1", "-fflags", "+bitexact", "-movflags", "+faststart"]
    command += [str(trailers / f"{movie['id']}.mp4")]
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        raise DemoError(f"ffmpeg could not cut {movie['id']} from {film['source']}:\n{result.stderr.strip()}")


def text_list(items):
    """A list as Flickscore's tables write it: [ "one", "two" ]."""
    return "[ " + ", ".join(json.dumps(item) for item in items) + " ]" if items else "[]"


def table(header, rows):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def full_name(movie, film):
    return movie["name"] if movie["name"] == film["title"] else f"{film['title']}: {movie['name']}"


def movies_csv(catalogue):
    header = ["movie_id", "description", "language", "released", "rating", "writer", "director", "cast", "genre", "name"]
    rows = []
    for movie in catalogue["movie"]:
        film = catalogue["film"][movie["film"]]
        people = [text_list(film[role]) for role in ("writer", "director", "cast")]
        # No rating: nobody rated these clips, and an invented number would look real.
        rows.append(
            [movie["id"], movie["about"], text_list(film["language"]), f"{film['released']}T00:00:00.000Z", ""]
            + people + [text_list(movie["genre"]), full_name(movie, film)]
        )
    return table(header, rows)


def users_csv():
    header = ["_id", "languages", "job", "state", "birth_year", "gender"]
    return table(header, [[viewer, text_list(["English"]), "synthetic viewer", "", "", ""] for viewer in viewers.viewer_ids()])


def ratings_json(feedback):
    """Formats one viewer per line, like mongoexport. "submit" ends a session and is not a rating."""
    lines = []
    for viewer in viewers.viewer_ids():
        rated = {movie: [str(label)] for who, movie, label in feedback if who == viewer}
        rated["submit"] = ["submitexit"]
        lines.append(json.dumps({"_id": viewer, "rated": rated}) + "\n")
    return "".join(lines)


def dataset_toml():
    lines = [
        "# What this dataset is. Reports show the name and the note.",
        'name = "Jhalak demo"', "synthetic = true", f"note = {json.dumps(NOTE)}",
    ]
    return "\n".join(lines) + "\n"


def credits_md(catalogue):
    lines = [
        "# Credits", "",
        "The clips in trailers/ are cut from the films below, scaled to 640 x 360 and encoded anew. CC-BY-3.0 is the Creative",
        "Commons Attribution 3.0 licence, https://creativecommons.org/licenses/by/3.0/.", "",
        "| clip | film | from | licence | credit | origin |", "|---|---|---|---|---|---|",
    ]
    for movie, film in clips(catalogue):
        span = f"{movie['start_s']} to {movie['end_s']} s"
        lines.append(f"| {movie['id']} | {film['title']} | {span} | {film['licence']} | {film['credit'].replace('|', ',')} | {film['origin']} |")
    return "\n".join([*lines, "", NOTE, ""])


def make(catalogue, sources, out):
    """Makes the dataset in a temporary folder, then renames it."""
    genres = {movie["id"]: movie["genre"] for movie in catalogue["movie"]}
    unknown = sorted({genre for names in genres.values() for genre in names} - set(GENRES))
    if unknown or len(genres) != len(catalogue["movie"]):
        raise DemoError(f"catalogue.toml has an id twice or a genre that is none of the fifteen: {unknown}")
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    trailers = part / "trailers"
    trailers.mkdir(parents=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda pair: cut(*pair, sources, trailers), clips(catalogue)))
    feedback = viewers.feedback(genres, GENRES)
    files = {
        "movies.csv": movies_csv(catalogue),
        "users.csv": users_csv(),
        "ratings.json": ratings_json(feedback),
        "dataset.toml": dataset_toml(),
        "CREDITS.md": credits_md(catalogue),
    }
    for name, text in files.items():
        (part / name).write_text(text, encoding="utf-8", newline="\n")
    (part / STAMP).write_text(fingerprint(sources, catalogue) + "\n")
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return len(feedback)


def is_made(catalogue, sources, out):
    """Returns whether the dataset is complete and was made from these files."""
    try:
        stamp = (out / STAMP).read_text().strip()
    except FileNotFoundError:
        return False
    whole = all((out / "trailers" / f"{movie['id']}.mp4").is_file() for movie, _ in clips(catalogue))
    whole = whole and all((out / name).is_file() for name in ("movies.csv", "users.csv", "ratings.json", "dataset.toml"))
    return whole and stamp == fingerprint(sources, catalogue)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, default=ROOT / ".local/demo/sources", help="folder of the films' trailers")
    parser.add_argument("--out", type=Path, default=ROOT / ".local/demo/dataset", help="folder to make")
    arguments = parser.parse_args()
    with open(HERE / "catalogue.toml", "rb") as file:
        catalogue = tomllib.load(file)
    try:
        if is_made(catalogue, arguments.sources, arguments.out):
            return
        count = make(catalogue, arguments.sources, arguments.out)
    except DemoError as error:
        sys.exit(f"make_demo: {error}")
    print(
        f"demo dataset: {len(clips(catalogue))} clips, {len(catalogue['movie'])} movies, {viewers.VIEWERS} synthetic viewers, "
        f"{count} ratings in {arguments.out}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    main()
