"""AVA's form (https://research.google.com/ava), actions of persons once a second, as COCO-VID's."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from vcm_mt.datasets.clips import VideoDataset
from vcm_mt.datasets.folder import picture_size
from vcm_mt.datasets.mpeg.frames import Videos
from vcm_mt.datasets.mpeg.reading import number_of, whole, write_coco
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS

#: AVA's 80 actions in its order, from 1 on there.
ACTIONS = (
    "bend/bow (at the waist)", "crawl", "crouch/kneel", "dance", "fall down", "get up",
    "jump/leap", "lie/sleep", "martial art", "run/jog", "sit", "stand", "swim", "walk",
    "answer phone", "brush teeth", "carry/hold (an object)", "catch (an object)", "chop",
    "climb (e.g., a mountain)", "clink glass", "close (e.g., a door, a box)", "cook", "cut", "dig",
    "dress/put on clothing", "drink", "drive (e.g., a car, a truck)", "eat", "enter", "exit",
    "extract", "fishing", "hit (an object)", "kick (an object)", "lift/pick up",
    "listen (e.g., to music)", "open (e.g., a window, a car door)", "paint", "play board game",
    "play musical instrument", "play with pets", "point to (an object)", "press",
    "pull (an object)", "push (an object)", "put down", "read",
    "ride (e.g., a bike, a car, a horse)", "row boat", "sail boat", "shoot", "shovel", "smoke",
    "stir", "take a photo", "text on/look at a cellphone", "throw", "touch (an object)",
    "turn (e.g., a screwdriver)", "watch (e.g., TV)", "work on a computer", "write",
    "fight/hit (a person)", "give/serve (an object) to (a person)", "grab (a person)", "hand clap",
    "hand shake", "hand wave", "hug (a person)", "kick (a person)", "kiss (a person)",
    "lift (a person)", "listen to (a person)", "play with kids", "push (another person)",
    "sing to (e.g., self, a person, a group)", "take (an object) from (a person)",
    "talk to (e.g., self, a person, a group)", "watch (a person)",
)  # fmt: skip
#: Columns of AVA's table, which has no header.
COLUMNS = ("video_id", "timestamp", "x1", "y1", "x2", "y2", "action_id", "person_id")
#: Frames of a second, and the second of the first one: videos are cut from their 15th minute on.
FPS, START = 30, 900
#: Frames before a key frame that mmaction2's clips of AVA reach, and as many but one after it.
REACH = 32


@DATASETS.register_module()
class AVAFrames(VideoDataset):
    """Frames around AVA's key frames, as ``vcm-mt prepare ava`` lists them."""

    METAINFO = {"classes": ACTIONS}


class _Row(NamedTuple):
    """What a person does; the box is relative: left, top, right, bottom in [0, 1]."""

    video: str
    second: int
    box: tuple[float, float, float, float]
    action: int
    person: int


def convert_ava(
    listing: Path,
    frames: Path,
    out: Path,
    counted: Path | None = None,
    excluded: Path | None = None,
    most: int = 0,
) -> int:
    """Write annotations in COCO-VID's form of what AVA's table says, an object a person and action.

    Listed are the frames around key frames that networks look at; overlapping stretches are one
    video. Key frames are marked as ``key_frame``. They are those that mmaction2 takes for a second.

    Args:
        listing: The table, ``ava_train_v2.1.csv`` for instance.
        frames: A folder for each video, with its frames at 30 a second from second 900 on, named
            ``img_00001.jpg`` and so on, as mmaction2 extracts them.
        out: The file to write. Its pictures' names begin with the video's.
        counted: AVA's list of the actions that count (``.pbtxt``); others are left out. By default
            all 80 count.
        excluded: AVA's table of key frames that are left out, ``video_id,timestamp``.
        most: Key frames of each video, at most, evenly spread; 0 for all.

    Returns:
        The number of frames.

    Raises:
        DataError: If a file cannot be read or has another form, or frames are missing.
    """
    left_out = _seconds(excluded) if excluded else set()
    known = _counted(counted) if counted else range(1, len(ACTIONS) + 1)
    found: defaultdict[str, defaultdict[int, list[_Row]]]
    found = defaultdict(lambda: defaultdict(list))
    for row in _rows(listing):
        if row.action in known and (row.video, row.second) not in left_out:
            found[row.video][row.second].append(row)
    if not found:
        raise DataError(f"{listing} has no action that counts")
    if missing := [name for name in found if not (frames / name).is_dir()]:
        raise DataError(
            f"{len(missing)} of the {len(found)} videos of {listing} have no folder of frames in "
            f"{frames}: {', '.join(missing[:3])}"
        )
    videos = Videos()
    for name, seconds in tqdm(sorted(found.items()), desc=listing.stem, unit="video"):
        _add(videos, frames / name, {key: seconds[key] for key in _spread(sorted(seconds), most)})
    kinds = [{"id": number, "name": name} for number, name in enumerate(ACTIONS, start=1)]
    write_coco(out, {**videos.content, "categories": kinds})
    return len(videos.content["images"])


def _add(videos: Videos, folder: Path, seconds: dict[int, list[_Row]]) -> None:
    """Add the stretches of a video around its key frames."""
    files = _files(folder)
    keys = {FPS * (second - START) + 2: rows for second, rows in seconds.items()}
    if absent := [key for key in keys if key not in files]:
        raise DataError(
            f"{folder} has no frame number {absent[0]}: it needs those of the seconds 900 to 1800 "
            "at 30 a second, img_00001.jpg and so on"
        )
    for stretch in _stretches(keys, len(files)):
        told = picture_size(folder / files[stretch[0]])
        size = told["width"], told["height"]
        videos.add_video(f"{folder.name}, {stretch[0]}", size, fps=FPS)
        for number in stretch:
            objects = [_object(row, size) for row in keys.get(number, [])]
            videos.add_frame(f"{folder.name}/{files[number]}", objects, key_frame=number in keys)


def _files(folder: Path) -> dict[int, str]:
    """The names of frames by their numbers, which go on from 1."""
    named = ((re.fullmatch(r"img_(\d+)\.\w+", path.name), path.name) for path in folder.iterdir())
    files = {int(told[1]): name for told, name in named if told}
    if sorted(files) != list(range(1, len(files) + 1)):
        lacking = next(number for number in range(1, len(files) + 1) if number not in files)
        raise DataError(f"{folder} lacks img_{lacking:05}.jpg, and has frames after it")
    return files


def _stretches(keys: Iterable[int], length: int) -> list[range]:
    """What clips around key frames reach, of frames numbered from 1."""
    found: list[range] = []
    for key in sorted(keys):
        first, last = max(1, key - REACH), min(length, key + REACH - 1)
        if found and first <= found[-1].stop:
            first = found.pop().start
        found.append(range(first, last + 1))
    return found


def _object(row: _Row, size: tuple[int, int]) -> dict[str, Any]:
    left, top, right, bottom = (
        value * side for value, side in zip(row.box, (*size, *size), strict=True)
    )
    box = [left, top, right - left, bottom - top]
    about = {"category_id": row.action, "instance_id": row.person + 1, "iscrowd": 0}
    return {**about, "bbox": box, "area": box[2] * box[3]}


def _spread(seconds: Sequence[int], most: int) -> Sequence[int]:
    if not most or len(seconds) <= most:
        return seconds
    return [seconds[(2 * number + 1) * len(seconds) // (2 * most)] for number in range(most)]


def _rows(listing: Path) -> Iterator[_Row]:
    for place, cells in _cells(listing, len(COLUMNS), ",".join(COLUMNS)):
        box = [
            number_of(value, place, name)
            for value, name in zip(cells[2:6], COLUMNS[2:6], strict=True)
        ]
        left, top, right, bottom = box
        if not (0 <= left <= right <= 1 and 0 <= top <= bottom <= 1):
            raise DataError(f"{place}: no box between 0 and 1: {box}")
        action = whole(cells[6], place, "action_id")
        if not 1 <= action <= len(ACTIONS):
            raise DataError(f"{place}: AVA's actions are 1 to {len(ACTIONS)}, not {action}")
        second, person = (whole(cells[n], place, COLUMNS[n]) for n in (1, 7))
        yield _Row(cells[0], second, (left, top, right, bottom), action, person)


def _seconds(excluded: Path) -> set[tuple[str, int]]:
    rows = _cells(excluded, 2, "video_id,timestamp")
    return {(cells[0], whole(cells[1], place, "timestamp")) for place, cells in rows}


def _cells(path: Path, count: int, names: str) -> Iterator[tuple[str, list[str]]]:
    """Rows of a table without a header, and what to call each in an error."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    for number, cells in enumerate(csv.reader(lines), start=1):
        place = f"{path}, line {number}"
        if len(cells) != count:
            raise DataError(f"{place}: {len(cells)} columns, and AVA has {names}")
        yield place, cells


def _counted(path: Path) -> set[int]:
    """The numbers of a list of actions, ``id: 1`` or ``label_id: 1``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    if not (found := re.findall(r"^\s*(?:label_)?id:\s*(\d+)\s*$", text, re.MULTILINE)):
        raise DataError(f'{path} is no list of actions: it has no lines "id: 1" or "label_id: 1"')
    return {int(number) for number in found}
