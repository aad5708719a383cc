"""Folders of videos with an action each, in Kinetics' form, into frames and annotations."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from vcm_mt.datasets.films import frames_of
from vcm_mt.datasets.folder import picture_size
from vcm_mt.errors import DataError
from vcm_mt.files import write_atomically


def convert_kinetics(
    listing: Path, videos: Path, folder: Path, names: Sequence[str] = (), most: int = 0
) -> int:
    """Take videos apart into frames, and write annotations in COCO-VID's form with actions.

    Frames are ``FOLDER/NAME/*.png``, annotations ``FOLDER/annotations/LISTING.json``. Videos that
    were taken apart before are left as they are.

    Args:
        listing: A line for each video, ``NAME NUMBER``, the action's number counting from 0, as
            mmaction2 reads it.
        videos: The folder of the videos.
        folder: Where to write.
        names: The actions' names, in their order; by default their numbers.
        most: Frames of each video, at most; 0 for all.

    Returns:
        How many frames there are.

    Raises:
        DataError: If a line has another form or an unknown action, or a video is missing or cannot
            be read.
    """
    told: dict[str, list[dict[str, Any]]] = {
        "videos": [],
        "images": [],
        "annotations": [],
        "categories": [],
    }
    lines = [*_lines(listing)]
    highest = max((action for _, action in lines), default=-1)
    if names and highest >= len(names):
        raise DataError(f"{listing} has action {highest}, and {len(names)} have a name")
    names = names or [str(n) for n in range(highest + 1)]
    told["actions"] = [{"id": n, "name": name} for n, name in enumerate(names, start=1)]
    if missing := [name for name, _ in lines if not (videos / name).is_file()]:
        raise DataError(
            f"{len(missing)} of the {len(lines)} videos of {listing} are not in {videos}: "
            f"{', '.join(missing[:3])}"
        )
    for number, (name, action) in enumerate(tqdm(lines, desc=listing.stem, unit="video"), start=1):
        frames = frames_of(videos / name, folder / Path(name).with_suffix(""), most)
        about = picture_size(frames[0])
        told["videos"].append({"id": number, "name": name, "action_id": action + 1, **about})
        for place, path in enumerate(frames):
            file = {"id": len(told["images"]), "file_name": str(path.relative_to(folder))}
            told["images"].append({**file, "video_id": number, "frame_id": place, **about})
    target = folder / "annotations" / f"{listing.stem}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(target, [json.dumps(told).encode()])
    return len(told["images"])


def _lines(listing: Path) -> Iterator[tuple[str, int]]:
    try:
        lines = listing.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"the list of videos cannot be read: {error}") from error
    for number, line in enumerate(lines, start=1):
        name, _, action = line.strip().rpartition(" ")
        if not name or not action.isdigit():
            raise DataError(f"{listing}, line {number} is no video's name and action: {line!r}")
        yield name, int(action)
