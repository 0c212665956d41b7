#!/usr/bin/env python3
"""CPU time of scenes and keyframes against FFmpeg's bare decode and against PySceneDetect; `make bench-media` runs it.

    scripts/bench/media.py --programs DIR [--venv DIR] [--runs N] [VIDEO...]

CPU time is the user and system time of a program and its children, so the decoding child counts too. The programs of one
line take turns, so that load on the machine affects all of them; figures are medians. PySceneDetect is compared if VENV has
it (--setup installs it there).
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PEER = ["scenedetect==0.6.7.1", "opencv-python-headless==4.11.0.86", "numpy<3"]
PEER_PROGRAM = """
import sys
from scenedetect import SceneManager, open_video
from scenedetect.detectors import ContentDetector
video = open_video(sys.argv[1], backend="opencv")
manager = SceneManager()
manager.add_detector(ContentDetector(threshold=27.0, min_scene_len=15))
manager.detect_scenes(video)
print(len(manager.get_scene_list(start_in_scene=True)))
"""


def cost(command):
    """Returns the CPU seconds of a command with its children, and the peak memory in MB of the largest process."""
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        words = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed: {words.decode(errors='replace')[-600:]}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def medians(commands, runs):
    """Median CPU seconds and greatest memory of each command; they take turns."""
    costs = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            costs[name].append(cost(command))
    return {n: (statistics.median(c for c, _ in all), max(m for _, m in all)) for n, all in costs.items()}


def probe(video):
    entries = "stream=codec_type,codec_name,width,height"
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", entries, "-of", "json", video], capture_output=True)
    streams = json.loads(out.stdout or "{}").get("streams", [])
    picture = next((s for s in streams if s["codec_type"] == "video"), None)
    return picture, any(s["codec_type"] == "audio" for s in streams)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--programs", required=True, type=Path, help="the folder with jhalak and examples/decode")
    parser.add_argument("--venv", type=Path, default=Path(".local/venv-bench"), help="where PySceneDetect is, or is to be")
    parser.add_argument("--setup", action="store_true", help="install PySceneDetect into the venv if it is not there")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("videos", nargs="*")
    args = parser.parse_args()

    peer = args.venv / "bin/python"
    if args.setup and not peer.exists():
        print(f"making {args.venv} with {', '.join(PEER)}: the peer of this benchmark", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", str(args.venv)], check=True)
        subprocess.run([str(peer), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PEER], check=True)
    has_peer = peer.exists()
    if not has_peer:
        print(f"no PySceneDetect in {args.venv}: that comparison is left out (--setup installs it)", file=sys.stderr)

    videos = args.videos
    if not videos:
        places = [Path("../shared/data/trailers"), Path(".local/demo/dataset/trailers")]
        place = next((p for p in places if p.is_dir()), None)
        videos = sorted(str(f) for f in place.iterdir() if f.suffix in (".mp4", ".webm", ".mkv", ".avi")) if place else []
    if not videos:
        sys.exit("no video: name some, or run `make setup`, which makes the demo's")

    jhalak, decode = str(args.programs / "jhalak"), str(args.programs / "examples/decode")
    print(f"CPU time as a multiple of FFmpeg's bare decode on one thread; medians of {args.runs}, by turns.")
    print("one pass: scenes, all three strategies and sound, every frame painted for a detector that costs nothing, against a decode of picture and")
    print("sound; plain: the same without scene-object, for which frames are painted.\n")
    head = f"{'video':28} {'picture':20} {'decode':>8} {'scenes':>7} {'/PySceneDetect':>14} {'one pass':>9} {'plain':>6} {'equal':>6} {'MB':>5}"
    print(head)
    rows = []
    for video in videos:
        picture, has_sound = probe(video)
        if not picture:
            print(f"{Path(video).name:28} no video stream")
            continue
        ffmpeg = ["ffmpeg", "-nostdin", "-threads", "1", "-i", video]
        with tempfile.TemporaryDirectory() as out:
            commands = {
                "decode": ffmpeg + ["-map", "0:v:0", "-f", "null", "-"],
                "scenes": [jhalak, "scenes", video, "--json", "--quiet"],
                "equal": [jhalak, "keyframes", video, "--out", out, "--json", "--quiet"],
                "both": ffmpeg + ["-map", "0:v:0"] + (["-map", "0:a:0"] if has_sound else []) + ["-f", "null", "-"],
                "pass": [decode, "decode", video, out],
                "pass_plain": [decode, "decode", video, out, "scenes", "keyframes", "scene-middle", "audio"],
            }
            if has_peer:
                commands["peer"] = [str(peer), "-c", PEER_PROGRAM, video]
            costs = medians(commands, args.runs)
        seconds = {name: c for name, (c, _) in costs.items()}
        memory = max(costs[name][1] for name in ("scenes", "equal", "pass", "pass_plain"))
        row = {
            "video": Path(video).name,
            "picture": f"{picture['width']}x{picture['height']} {picture['codec_name']}",
            "decode_s": seconds["decode"],
            "scenes": seconds["scenes"] / seconds["decode"],
            "pyscenedetect": seconds["scenes"] / seconds["peer"] if has_peer else None,
            "one_pass": seconds["pass"] / seconds["both"],
            "one_pass_plain": seconds["pass_plain"] / seconds["both"],
            "equal_interval": seconds["equal"] / seconds["decode"],
            "memory_mb": memory,
        }
        rows.append(row)
        beside = f"{row['pyscenedetect']:14.2f}" if has_peer else f"{'-':>14}"
        print(
            f"{row['video']:28.28} {row['picture']:20} {row['decode_s']:7.2f}s {row['scenes']:7.2f} {beside} "
            f"{row['one_pass']:9.2f} {row['one_pass_plain']:6.2f} {row['equal_interval']:6.2f} {memory:5.0f}",
            flush=True,
        )
    Path(".local").mkdir(exist_ok=True)
    Path(".local/bench-media.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
