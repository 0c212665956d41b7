#!/usr/bin/env python3
"""PySceneDetect's cuts and scores of real videos: the golden files of worker/tests/media/scenes.rs.

    pip install scenedetect==0.6.7.1 opencv-python-headless==4.11.0.86 'numpy<3'
    tools/pyscenedetect_golden.py FOLDER VIDEO...     writes FOLDER/VIDEO.json

The library's ContentDetector with its defaults: threshold 27, scenes of 15 frames or more, merged flashes, automatic
downscaling. A file holds the settings, the versions, the frame numbers of the cuts and every frame's `content_val`.
"""
import json
import sys
from pathlib import Path

import cv2
import scenedetect
from scenedetect.detectors import ContentDetector
from scenedetect.stats_manager import StatsManager

THRESHOLD, MIN_SCENE_LEN = 27.0, 15


def golden(video):
    stats = StatsManager()
    stream = scenedetect.open_video(str(video), backend="opencv")
    manager = scenedetect.SceneManager(stats)
    manager.add_detector(ContentDetector(threshold=THRESHOLD, min_scene_len=MIN_SCENE_LEN))
    frames = manager.detect_scenes(stream)
    scores = [stats.get_metrics(frame, ["content_val"])[0] for frame in range(frames)]
    return {
        "file": video.name,
        "scenedetect": scenedetect.__version__,
        "opencv": cv2.__version__,
        "threshold": THRESHOLD,
        "min_scene_len": MIN_SCENE_LEN,
        "frames": frames,
        "cuts": [cut.get_frames() for cut in manager.get_cut_list()],
        # The first frame has no predecessor: PySceneDetect keeps no value for it, and takes it as 0.
        "scores": [0.0 if score is None else score for score in scores],
    }


def main():
    if len(sys.argv) < 3:
        sys.exit("usage: tools/pyscenedetect_golden.py FOLDER VIDEO...")
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for video in map(Path, sys.argv[2:]):
        found = golden(video)
        (folder / f"{video.name}.json").write_text(json.dumps(found))
        print(f"{video.name}: {found['frames']} frames, {len(found['cuts'])} cuts")


if __name__ == "__main__":
    main()
