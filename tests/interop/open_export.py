"""Opens every file of an export in other people's tools and compares what they read.

    python open_export.py EXPORT

Prints one line per check and exits with 0, or stops at the first difference.
"""

import csv
import glob
import hashlib
import json
import os
import sys
from pathlib import Path

# Before the import: without it the library sends facts about this process to its maker.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import webdataset as wds
from safetensors import safe_open


def check(condition, what):
    if not condition:
        sys.exit(f"wrong: {what}")
    print(f"right: {what}")


def manifest(export):
    listed = json.loads((export / "manifest.json").read_text(encoding="utf-8"))
    files = {file["path"]: file for file in listed["files"]}
    found = {str(path.relative_to(export)) for path in export.rglob("*") if path.is_file()} - {"manifest.json"}
    check(found == set(files), f"the manifest lists the {len(found)} files of the export")
    for path, file in files.items():
        data = (export / path).read_bytes()
        check(len(data) == file["size"] and hashlib.sha256(data).hexdigest() == file["sha256"], f"checksum of {path}")
    return files


def tables(export, files):
    for path, file in files.items():
        if not path.endswith(".parquet"):
            continue
        name = str(export / path)
        table = pq.read_table(name)
        # A video without any object has no row among the objects.
        check(table.num_rows == file["rows"], f"{path}: {table.num_rows} rows by pyarrow")
        check(table.num_rows > 0 or path == "objects.parquet", f"{path} has rows")
        check(table.column_names == [column["name"] for column in file["columns"]], f"{path}: columns")
        for column in file["columns"]:
            field = table.schema.field(column["name"])
            named = {
                "string": pa.string(), "int64": pa.int64(), "float32": pa.float32(), "float64": pa.float64(),
                "bool": pa.bool_(),
            }
            if column["type"] in named:
                check(field.type == named[column["type"]], f"{path}: {field.name} is {field.type}")
            elif column["type"] == "list<string>":
                check(pa.types.is_list(field.type) and field.type.value_type == pa.string(), f"{path}: {field.name}")
            else:
                length = int(column["type"].split("[")[1].rstrip("]"))
                check(pa.types.is_fixed_size_list(field.type), f"{path}: {field.name} is {field.type}")
                check(field.type.list_size == length and field.type.value_type == pa.float32(), f"{path}: {field.name}")
                for key in (b"model", b"recipe", b"unit"):
                    check(field.metadata and field.metadata.get(key), f"{path}: {field.name} states its {key.decode()}")
            check(field.nullable == column["nullable"], f"{path}: {field.name} is nullable: {field.nullable}")
        for key in (b"run", b"dataset", b"dataset_sha256", b"synthetic"):
            check(table.schema.metadata.get(key), f"{path}: states its {key.decode()}")
        frame, polar = pd.read_parquet(name), pl.read_parquet(name)
        counted = duckdb.sql(f"SELECT count(*) FROM '{name}'").fetchall()[0][0]
        check(len(frame) == polar.height == counted == file["rows"], f"{path}: rows by pandas, polars and DuckDB")
        for column in file["columns"]:
            one = column["name"]
            ours = table[one].to_pylist()
            check(plain(polar[one].to_list()) == plain(ours), f"{path}: {one} by polars")
            other = [row[0] for row in duckdb.sql(f'SELECT "{one}" FROM \'{name}\'').fetchall()]
            check(plain(other) == plain(ours), f"{path}: {one} by DuckDB")


def plain(values):
    return [list(value) if isinstance(value, (list, tuple, np.ndarray)) else value for value in values]


def relations(export):
    embeddings = pd.read_parquet(export / "embeddings.parquet")
    frames = pd.read_parquet(export / "frames.parquet")
    primary = pq.read_schema(export / "embeddings.parquet").field("video").metadata[b"keyframes"].decode()
    for row in embeddings.itertuples():
        mine = frames[(frames.movie == row.movie) & (frames.keyframes == primary)]
        mean = np.stack(mine.vector).astype(np.float64).mean(axis=0)
        check(np.abs(mean - np.asarray(row.video)).max() < 1e-4, f"{row.movie}: the mean of its frames is its embedding")
        check(row.duration_s > 0, f"{row.movie}: {row.duration_s} s")
    check(embeddings.audio.isna().sum() == 1, "the trailer without sound has no audio vector, the others have one")
    scenes = pd.read_parquet(export / "scenes.parquet")
    for movie, list_of in scenes.groupby("movie"):
        check(list(list_of.scene) == list(range(1, len(list_of) + 1)), f"{movie}: scenes count from 1")
        check((list_of.start_frame.iloc[1:].values == list_of.end_frame.iloc[:-1].values).all(), f"{movie}: no gaps")
    movies = set(pd.read_parquet(export / "movies.parquet").movie)
    predictions = pd.read_parquet(export / "predictions.parquet")
    check(set(predictions.movie) <= movies, "predictions name movies of the catalogue")
    shares = predictions[["p_dislike", "p_neutral", "p_like"]]
    check((shares.sum(axis=1) - 1).abs().max() < 1e-3, "probabilities add up to 1")
    metrics = pd.read_csv(export / "metrics.csv")
    names = ["dislike", "neutral", "like"]
    plain_rows = metrics[metrics.decision == "most probable class"]
    for row in plain_rows.itertuples():
        mine = predictions[(predictions.cell == row.cell) & (predictions.fold == row.fold)]
        right = (mine.actual == mine.predicted).mean()
        check(abs(right - row.accuracy) < 1e-9, f"{row.cell}, fold {row.fold}: accuracy from the predictions")
        counts = sum(getattr(row, f"{a}_as_{p}") for a in names for p in names)
        check(counts == len(mine) == row.test_pairs, f"{row.cell}, fold {row.fold}: {counts} pairs")
    with open(export / "metrics.csv", newline="", encoding="utf-8") as file:
        check(len(list(csv.reader(file))) == len(metrics) + 1, "metrics.csv by csv and pandas")


def shards(export, files):
    embeddings = set(pd.read_parquet(export / "embeddings.parquet").movie)
    for path, file in files.items():
        if not path.startswith("keyframes/"):
            continue
        samples = list(wds.WebDataset([str(export / path)], shardshuffle=False).decode("rgb8"))
        check(len(samples) == file["rows"], f"{path}: {len(samples)} samples")
        check({sample["json"]["movie"] for sample in samples} == embeddings, f"{path}: one shard of all trailers")
        for sample in samples:
            height, width, channels = sample["jpg"].shape
            about = sample["json"]
            if not about.get("padding"):
                check((width, height, channels) == (about["width"], about["height"], 3), f"{sample['__key__']}: size")
            check(about["duration_s"] > 0 and about["keyframes"] in path, f"{sample['__key__']}: length and strategy")
    pictures = glob.glob(str(export / "pictures" / "equal-interval" / "*" / "*.jpg"))
    check(len(pictures) == 16 * len(embeddings), f"{len(pictures)} pictures")


def model(export):
    folder = export / "model"
    with safe_open(folder / "model.safetensors", "numpy") as file:
        check(len(list(file.keys())) > 0, "model.safetensors has tensors")
    session = onnxruntime.InferenceSession(str(folder / "model.onnx"))
    check(len(session.get_inputs()) > 0, "model.onnx opens in onnxruntime")
    check((folder / "dataset.json").stat().st_size > 0, "the model has its dataset")


def main():
    export = Path(sys.argv[1])
    files = manifest(export)
    tables(export, files)
    relations(export)
    shards(export, files)
    model(export)


main()
