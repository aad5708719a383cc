"""What a film costs with predicted pictures, over the same codec's pictures by themselves.

python tools/benchmarks/bench_footage.py bikes.mp4 --transmitter zoo://photos_det \
    --config configs/photos/stage1_det.py --task det

Bytes are those of whole sequences, with all headers. With a task, its finds in the decoded pictures
are judged by what it finds in the originals (box AP, in percent), for both streams.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.detector import Detector
from vcm_mt.apis.encoding import packets_of
from vcm_mt.apis.sequences import KEY_INTERVAL, decoded
from vcm_mt.apis.videos import open_video
from vcm_mt.bitstream.sequence import SequenceReader, SequenceWriter
from vcm_mt.cli.command import command
from vcm_mt.curves.matches import Matches, quiet

OUT = Path("work_dirs/bench")
#: Finds in the originals that count as objects.
SCORE = 0.5
Picture = NDArray[np.uint8]


@command("start it again")
def main() -> int:
    """Measure every film at every quality."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("films", nargs="+", type=Path)
    parser.add_argument("--transmitter", required=True, help="with a temporal prior")
    parser.add_argument("--quality", nargs="+", type=int, help="default all")
    parser.add_argument("--frames", type=int, help="at most so many pictures of each film")
    parser.add_argument("--config", help="config with the task")
    parser.add_argument("--task", default="det")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    transmitter = Transmitter.load(options.transmitter)
    receiver = Receiver.load(options.transmitter)
    judge = Detector.load(options.config, options.task) if options.config else None
    told: dict[str, Any] = {}
    for film in options.films:
        pictures = [one.copy() for one in islice(open_video(film).pictures, options.frames)]
        truth = None if judge is None else _found(judge, pictures)
        told[film.stem] = {"pictures": len(pictures), "size": list(pictures[0].shape[:2])}
        for quality in options.quality or transmitter.qualities:
            row = _measured(transmitter, receiver, pictures, quality, judge, truth)
            told[film.stem][str(quality)] = row
            print(film.stem, quality, json.dumps(row), flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "footage.json").write_text(json.dumps(told, indent=1) + "\n")
    return 0


def _measured(
    transmitter: Transmitter,
    receiver: Receiver,
    pictures: Sequence[Picture],
    quality: int,
    judge: Detector | None,
    truth: list[Any] | None,
) -> dict[str, float]:
    row: dict[str, float] = {}
    sizes = {}
    for name, interval in (("intra", 1), ("predicted", KEY_INTERVAL)):
        data = _coded(transmitter, pictures, quality, interval)
        sizes[name] = len(data)
        row[f"bpp_{name}"] = round(8 * len(data) / (len(pictures) * pictures[0][..., 0].size), 5)
        reader = SequenceReader(data)
        seen = [one for _, one in decoded(receiver, reader, range(len(reader)))]
        row[f"psnr_{name}"] = round(float(np.mean(list(map(_psnr, seen, pictures)))), 3)
        if judge is not None and truth is not None:
            row[f"ap_{name}"] = round(_precision(truth, _found(judge, seen)), 2)
    row["saving"] = round(100 * (sizes["predicted"] / sizes["intra"] - 1), 2)
    return row


def _coded(
    transmitter: Transmitter, pictures: Sequence[Picture], quality: int, interval: int
) -> bytes:
    file = io.BytesIO()
    writer = SequenceWriter(file, (25, 1))
    groups = packets_of(transmitter, tqdm(pictures, leave=False), quality, interval)
    for packet in (packet for group in groups for packet in group):
        writer.write(packet)
    writer.close()
    return file.getvalue()


def _psnr(seen: Picture, original: Picture) -> float:
    error = np.square(seen.astype(float) - original).mean()
    return float(10 * np.log10(255**2 / max(error, 1e-10)))


def _found(judge: Detector, pictures: Sequence[Picture]) -> list[Any]:
    return [judge.predict(one) for one in tqdm(pictures, desc="finding", leave=False)]


def _precision(truth: Sequence[Any], found: Sequence[Any]) -> float:
    """Box AP of finds by those in the originals."""
    annotations = [
        {**one, "id": number, "iscrowd": 0, "area": one["bbox"][2] * one["bbox"][3]}
        for number, one in enumerate((e for e in _entries(truth) if e["score"] >= SCORE), start=1)
    ]
    known = COCO()
    known.dataset = {
        "images": [{"id": number} for number in range(len(truth))],
        "annotations": annotations,
        "categories": [{"id": n} for n in sorted({e["category_id"] for e in annotations})],
    }
    with quiet():
        known.createIndex()
    wanted = {one["category_id"] for one in annotations}
    entries = [one for one in _entries(found) if one["category_id"] in wanted]
    matches = Matches.of(known, entries, "bbox", list(range(len(truth))))
    return float(matches.average_precision()[0])


def _entries(found: Sequence[Any]) -> list[dict[str, Any]]:
    return [
        {
            "image_id": number,
            "category_id": int(label),
            "score": float(score),
            "bbox": [left, top, right - left, bottom - top],
        }
        for number, one in enumerate(found)
        for label, score, (left, top, right, bottom) in zip(
            one.labels.tolist(), one.scores.tolist(), one.boxes.tolist(), strict=True
        )
    ]


if __name__ == "__main__":
    sys.exit(main())
