"""Downloads a Debian source package with apt-get, without root and without touching the machine's apt.

Most machines list binary packages only. So the machine's own sources are copied with their type changed to deb-src, and apt-get gets
folders of its own for lists and cache: it uses the machine's mirrors and trusted keys.
"""

import re
import subprocess
from pathlib import Path

APT = Path("/etc/apt")


class DownloadError(Exception):
    """apt-get did not download the package; the message holds its output."""


def source_lines(text):
    """A one-line-style list (sources.list) with every deb line turned into a deb-src line."""
    lines = []
    for line in text.splitlines():
        match = re.match(r"\s*deb(?:-src)?\s+(.*)", line)
        if match and f"deb-src {match[1]}" not in lines:
            lines.append(f"deb-src {match[1]}")
    return "".join(f"{line}\n" for line in lines)


def source_stanzas(text):
    """A deb822-style file (*.sources) with every stanza's types turned into deb-src."""
    return re.sub(r"(?im)^types:.*$", "Types: deb-src", text)


def write_sources(folder, apt=APT):
    """Fills `folder` with the machine's sources as deb-src; returns whether there were any."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    lists = [apt / "sources.list", *sorted(apt.glob("sources.list.d/*.list"))]
    written = 0
    for path in lists:
        text = source_lines(path.read_text(errors="replace")) if path.exists() else ""
        if text:
            (folder / f"{written}.list").write_text(text)
            written += 1
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        (folder / f"{written}.sources").write_text(source_stanzas(path.read_text(errors="replace")))
        written += 1
    return written > 0


def download(package, version, folder, state):
    """Downloads the files of `package` at `version` into `folder`; `state` keeps apt's lists between calls."""
    if not write_sources(state / "sources"):
        raise DownloadError(f"{APT} lists no sources, so the Debian source package {package} cannot be fetched")
    for path in ("lists/partial", "cache/archives/partial"):
        (state / path).mkdir(parents=True, exist_ok=True)
    options = {
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state / "cache",
        "Dir::Etc::sourcelist": "/dev/null",
        "Dir::Etc::sourceparts": state / "sources",
        "APT::Sandbox::User": "",  # the folders are the caller's own, apt's own user may not write there
    }
    apt = ["apt-get", "-q"]
    for key, value in options.items():
        apt += ["-o", f"{key}={value}"]
    # A single source without deb-src (a vendor's, say) makes the update fail as a whole and yet fetches the others.
    update = subprocess.run([*apt, "update"], capture_output=True, text=True)
    command = [*apt, "source", "--download-only", f"{package}={version}"]
    result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if result.returncode != 0:
        said = "\n".join(part.strip() for part in (update.stderr, result.stderr) if part.strip())
        raise DownloadError(f"apt-get could not download the source of {package} {version}:\n{said}")
