"""HiEve: persons in crowds, with tracks, poses of 14 joints, and actions."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vcm_mt.apis.raw import RawOptions
from vcm_mt.datasets.mpeg.classes import ACTIONS, JOINTS, known_name, plain_name
from vcm_mt.datasets.mpeg.frames import Videos
from vcm_mt.datasets.mpeg.reading import (
    PREPARED,
    check_there,
    field_of,
    json_of,
    number_of,
    whole,
    write_coco,
)
from vcm_mt.datasets.mpeg.sequences import HIEVE
from vcm_mt.datasets.mpeg.tracks import Clip, Objects, check_clips, frames_of, tracks_of
from vcm_mt.errors import DataError

#: Columns of ``gt.txt``: frame, id, left, top, width, height, flag, -1, -1, -1.
COLUMNS = 10
#: COCO's visibility of a joint by HiEve's flag: visible, hidden, not labelled.
_VISIBLE = {0: 2, 1: 1, -1: 0}
_LABELS = ("000000.json", "000000.xml")
_PLAIN_ACTIONS = tuple(map(plain_name, ACTIONS))


def prepare_hieve(root: Path, raw: RawOptions = RawOptions()) -> dict[Path, int]:  # noqa: B008
    """Write ``prepared/tracking.json``, and ``poses.json`` and ``actions.json``.

    A sequence is a folder ``13``, ``16``, ... with ``seqinfo.ini``, ``gt/gt.txt`` of 10 columns,
    and its frames in ``img1/`` or a video ``13.yuv`` or ``13.mp4`` beside it. For poses and actions
    it has ``labels/000000.json`` (or ``.xml``), ... with HiEve's all-track annotations, a file a
    frame from 0 on.

    Args:
        root: The folder.
        raw: What the raw files' names do not say.

    Returns:
        The number of frames by file.

    Raises:
        DataError: When files are missing, damaged or of another form.
    """
    folders = [p for p in root.iterdir() if p.name.isdigit()] if root.is_dir() else []
    folders.sort(key=lambda path: int(path.name))
    if not folders:
        check_there([root / name for name in HIEVE], str(root))
    clips = check_clips(folders, str(root))
    labels = {clip: _label_files(clip) for clip in clips if (clip.folder / "labels").is_dir()}
    tracks = {clip: tracks_of(clip, COLUMNS) for clip in clips}
    persons = {clip: _persons(files) for clip, files in labels.items()}
    files = {clip: frames_of(clip, root, raw) for clip in clips}
    folder = root / PREPARED
    written = {
        folder / "tracking.json": _write(tracks, files, folder / "tracking.json", ["person"])
    }
    if persons:
        poses = {clip: _posed(own) for clip, own in persons.items()}
        actions = {clip: _acting(own) for clip, own in persons.items()}
        path = folder / "poses.json"
        written[path] = _write(poses, files, path, ["person"], keypoints=list(JOINTS))
        path = folder / "actions.json"
        written[path] = _write(actions, files, path, ACTIONS)
    return written


def _write(
    found: Mapping[Clip, Objects], files: Mapping[Clip, list[str]], path: Path, names: Any,
    **fields: Any,
) -> int:  # fmt: skip
    videos = Videos()
    for clip, objects in found.items():
        name = clip.folder.name
        group = f"HIEVE-{HIEVE.get(name, f'{clip.size[1]}P')}"
        videos.add_video(name, clip.size, group=group, fps=clip.fps)
        for number, file in enumerate(files[clip], start=1):
            videos.add_frame(file, objects.get(number, []))
    kinds = [{"id": number, "name": name, **fields} for number, name in enumerate(names, start=1)]
    write_coco(path, {**videos.content, "categories": kinds})
    return len(videos.content["images"])


def _label_files(clip: Clip) -> list[Path]:
    """The file of each frame."""
    folder = clip.folder / "labels"
    ending = next((Path(name).suffix for name in _LABELS if (folder / name).is_file()), ".json")
    files = [folder / f"{number:06d}{ending}" for number in range(clip.length)]
    check_there(files, str(clip.folder))
    return files


def _persons(files: list[Path]) -> dict[int, list[dict[str, Any]]]:
    """Persons by the frame's number from 1: id, box, action and keypoints."""
    return {
        number: [_person(one, path) for one in _entries(path)]
        for number, path in enumerate(files, start=1)
    }


def _entries(path: Path) -> list[Any]:
    """What a file has under ``annotation.object``; some of the files called XML hold JSON."""
    try:
        is_xml = path.read_text(encoding="utf-8").lstrip().startswith("<")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read: {error}") from error
    content = _from_xml(path) if is_xml else field_of(json_of(path), "annotation", path)
    found = content.get("object") if isinstance(content, dict) else None
    found = [] if found in (None, "") else found if isinstance(found, list) else [found]
    if not isinstance(content, dict) or not all(isinstance(one, dict) for one in found):
        raise DataError(f"{path}: annotation.object is no list of persons")
    return found


def _from_xml(path: Path) -> dict[str, Any]:
    try:
        top = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise DataError(f"{path} is not XML: {error}") from error
    return {"object": [_as_dict(one) for one in top.findall("object")]}


def _as_dict(node: ElementTree.Element) -> Any:
    return {child.tag: _as_dict(child) for child in node} if len(node) else (node.text or "")


def _person(one: dict[str, Any], path: Path) -> dict[str, Any]:
    name = str(field_of(one, "name", path))
    track = re.fullmatch(r"P-?(\d+)", name)
    if not track:
        raise DataError(f"{path}: a person is called P-1, P-2, ..., not {name!r}")
    place = f"{path}, {name}"
    told = field_of(one, "bndbox", place)
    left, top, right, bottom = (
        number_of(field_of(told, side, place), place, side)
        for side in ("xmin", "ymin", "xmax", "ymax")
    )
    action = known_name(field_of(one, "action", place), _PLAIN_ACTIONS, place)
    joints = [_joint(told, name, place) for name in JOINTS]
    return {
        "track": int(track[1]),
        "box": [left, top, right - left, bottom - top],
        "action": _PLAIN_ACTIONS.index(action) + 1,
        "keypoints": [value for joint in joints for value in joint],
        "num_keypoints": sum(joint[2] > 0 for joint in joints),
    }


def _joint(told: Mapping[str, Any], name: str, place: str) -> tuple[float, float, int]:
    """Place and COCO's visibility of a joint, ``"x,y,flag"``; without a label all are 0."""
    cells = str(field_of(told, name, place)).split(",")
    if len(cells) != 3:
        raise DataError(f"{place}: {name} is {told[name]!r}, and must be x,y,flag")
    x, y = (number_of(cell, place, name) for cell in cells[:2])
    flag = whole(cells[2], place, f"the flag of {name}")
    if flag not in _VISIBLE:
        raise DataError(f"{place}: the flag of {name} is {flag}, and must be 0, 1 or -1")
    return (x, y, _VISIBLE[flag]) if flag >= 0 else (0.0, 0.0, 0)


def _posed(persons: dict[int, list[dict[str, Any]]]) -> Objects:
    return {
        number: [
            {**_common(one), "category_id": 1, "keypoints": one["keypoints"],
             "num_keypoints": one["num_keypoints"]}
            for one in own
        ]
        for number, own in persons.items()
    }  # fmt: skip


def _acting(persons: dict[int, list[dict[str, Any]]]) -> Objects:
    return {
        number: [{**_common(one), "category_id": one["action"]} for one in own]
        for number, own in persons.items()
    }


def _common(one: dict[str, Any]) -> dict[str, Any]:
    box = one["box"]
    area = box[2] * box[3]
    return {"bbox": box, "area": area, "iscrowd": 0, "instance_id": one["track"]}
