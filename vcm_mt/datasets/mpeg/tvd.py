"""Tencent's video dataset (TVD): clips for tracking, and pictures for boxes and masks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from vcm_mt.apis.raw import RawOptions
from vcm_mt.datasets.mot import IGNORED
from vcm_mt.datasets.mpeg.classes import COCO, categories, known_name
from vcm_mt.datasets.mpeg.frames import Videos
from vcm_mt.datasets.mpeg.reading import (
    PREPARED,
    check_pictures,
    check_there,
    entries_of,
    field_of,
    json_of,
    number_of,
    numbered,
    picture_size,
    whole,
    write_coco,
)
from vcm_mt.datasets.mpeg.sequences import TVD
from vcm_mt.datasets.mpeg.tracks import Clip, Objects, check_clips, frames_of, tracks_of
from vcm_mt.errors import DataError

#: Columns of ``gt.txt``.
COLUMNS = 9
#: Tasks on pictures: the file of each is ``annotations/tvd_TASK.json``.
TASKS = ("detection", "segmentation")


def prepare_tvd(root: Path, raw: RawOptions = RawOptions()) -> dict[Path, int]:  # noqa: B008
    """Write ``prepared/tracking.json``, and ``detection.json`` and ``segmentation.json``.

    Clips are folders ``TVD-01``, ... with ``seqinfo.ini``, ``gt/gt.txt`` and ``img1/``, or a
    ``TVD-01*.yuv`` or ``.mp4`` beside the folder. Those of MPEG's conditions are cut into the parts
    that are coded. Pictures are in ``images/``, their annotations in COCO's form in
    ``annotations/tvd_detection.json`` and ``tvd_segmentation.json``.

    Args:
        root: The folder with either or both.
        raw: What the raw files' names do not say.

    Returns:
        The number of frames or pictures by file.

    Raises:
        DataError: When files are missing, damaged or of another form.
    """
    folders = sorted(path for path in root.glob("TVD-*") if path.is_dir())
    files = {task: root / "annotations" / f"tvd_{task}.json" for task in TASKS}
    known = {task: path for task, path in files.items() if path.is_file()}
    if not folders and not known:
        check_there([root / "TVD-01", *files.values()], str(root))
    written = {}
    if folders:
        path = root / PREPARED / "tracking.json"
        written[path] = _tracking(check_clips(folders, str(root)), root, path, raw)
    for task, source in known.items():
        path = root / PREPARED / f"{task}.json"
        written[path] = _pictures(source, root, path, task == "segmentation")
    return written


def _tracking(clips: list[Clip], root: Path, path: Path, raw: RawOptions) -> int:
    truths = [tracks_of(clip, COLUMNS, IGNORED) for clip in clips]
    videos = Videos()
    for clip, truth in zip(clips, truths, strict=True):
        _add_clip(videos, clip, truth, frames_of(clip, root, raw))
    write_coco(path, {**videos.content, "categories": [{"id": 1, "name": "person"}]})
    return len(videos.content["images"])


def _add_clip(videos: Videos, clip: Clip, truth: Objects, files: list[str]) -> None:
    """Add a clip, in its parts where MPEG codes parts."""
    name = clip.folder.name
    parts = {
        part: one for part, one in TVD.items()
        if re.fullmatch(rf"{re.escape(name)}(_\d)?", part) and one.skip + one.frames <= len(files)
    }  # fmt: skip
    if not parts:
        videos.add_video(name, clip.size, group="TVD", fps=clip.fps)
        for number, file in enumerate(files, start=1):
            videos.add_frame(file, truth.get(number, []))
    for part, one in parts.items():
        told = {"fps": clip.fps, "intra_period": one.intra_period, "qps": one.qps}
        videos.add_video(part, clip.size, group=one.group, **told)
        for place in range(one.skip, one.skip + one.frames):
            videos.add_frame(files[place], truth.get(place + 1, []))


def _pictures(source: Path, root: Path, path: Path, masks: bool) -> int:
    content = json_of(source)
    names = {
        whole(field_of(one, "id", source), source, "the id of a category"): known_name(
            field_of(one, "name", source), COCO, source
        )
        for one in entries_of(content, "categories", source)
    }
    images = [_picture(one, source) for one in entries_of(content, "images", source)]
    check_pictures(root / "images", [Path(one["file_name"]).name for one in images], str(root))
    for one in images:
        picture_size(root / one["file_name"], (one["width"], one["height"]))
    known = {one["id"] for one in images}
    found = [
        _object(one, names, source, masks) for one in entries_of(content, "annotations", source)
    ]
    if strays := sorted({one["image_id"] for one in found} - known):
        raise DataError(f"{source}: annotations of the pictures {strays}, which images lacks")
    told = {"images": images, "annotations": numbered(found), "categories": categories(COCO)}
    write_coco(path, told)
    return len(images)


def _picture(one: dict[str, Any], source: Path) -> dict[str, Any]:
    name = Path(field_of(one, "file_name", source)).name
    width, height = (
        whole(field_of(one, side, source), source, f"the {side} of {name}")
        for side in ("width", "height")
    )
    number = whole(field_of(one, "id", source), source, f"the id of {name}")
    return {"id": number, "file_name": f"images/{name}", "width": width, "height": height}


def _object(
    one: dict[str, Any], names: dict[int, str], source: Path, masks: bool
) -> dict[str, Any]:
    place = f"{source}, annotation {one.get('id')}"
    label = whole(field_of(one, "category_id", place), place, "category_id")
    if label not in names:
        raise DataError(f"{place}: unknown class {label}: categories have {sorted(names)}")
    box = [number_of(value, place, "bbox") for value in field_of(one, "bbox", place)]
    if len(box) != 4:
        raise DataError(f"{place}: bbox has {len(box)} numbers, not x, y, width and height")
    told = {
        "image_id": whole(field_of(one, "image_id", place), place, "image_id"),
        "category_id": COCO.index(names[label]) + 1,
        "bbox": box,
        "area": number_of(one.get("area", box[2] * box[3]), place, "area"),
        "iscrowd": int(bool(one.get("iscrowd", 0))),
    }
    return {**told, "segmentation": field_of(one, "segmentation", place)} if masks else told
