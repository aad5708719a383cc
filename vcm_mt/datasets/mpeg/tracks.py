"""Sequences with tracks in MOTChallenge's form, as TVD and HiEve have them."""

from __future__ import annotations

import configparser
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from vcm_mt.apis.raw import RawOptions
from vcm_mt.datasets.mpeg.frames import extract, frame_name
from vcm_mt.datasets.mpeg.reading import (
    PREPARED,
    check_pictures,
    check_there,
    lines_of,
    picture_size,
    whole,
)
from vcm_mt.errors import DataError

#: Objects by the frame's number, counted as in ``gt.txt``.
Objects = dict[int, list[dict[str, Any]]]


class Clip(NamedTuple):
    """A folder with ``seqinfo.ini``, ``gt/gt.txt``, and its frames or a video beside it.

    Attributes:
        folder: The folder.
        pictures: Its folder of frames.
        ending: Of the frames' names.
        length: Number of frames.
        fps: Frames per second.
        size: Width and height in pixels.
    """

    folder: Path
    pictures: str
    ending: str
    length: int
    fps: int
    size: tuple[int, int]

    @property
    def truth(self) -> Path:
        """The file of tracks."""
        return self.folder / "gt" / "gt.txt"

    @property
    def video(self) -> Path | None:
        """The video that its frames are taken from where they are not there."""
        near = (self.folder.parent, self.folder)
        found = (
            path for place in near for path in sorted(place.glob(f"{self.folder.name}*"))
            if path.suffix.lower() in (".yuv", ".mp4", ".mkv", ".avi") and path.is_file()
        )  # fmt: skip
        return next(found, None)


def read_clip(folder: Path) -> Clip:
    """What ``seqinfo.ini`` says.

    Raises:
        DataError: When it is missing or damaged.
    """
    path = folder / "seqinfo.ini"
    parser = configparser.ConfigParser()
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
        told = parser["Sequence"]
        length, fps, width, height = (
            whole(told[name], path, name)
            for name in ("seqLength", "frameRate", "imWidth", "imHeight")
        )
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError) as error:
        raise DataError(f"{path} is damaged: it has no [Sequence] with {error}") from error
    pictures, ending = told.get("imDir", "img1"), told.get("imExt", ".jpg")
    return Clip(folder, pictures, ending, length, fps, (width, height))


def check_clips(folders: list[Path], what: str) -> list[Clip]:
    """The clips in folders, none of whose files is missing.

    Raises:
        DataError: Names every missing file.
    """
    files = [f / name for f in folders for name in ("seqinfo.ini", "gt/gt.txt")]
    check_there(files, what)
    clips = [read_clip(folder) for folder in folders]
    for clip in clips:
        if (clip.folder / clip.pictures).is_dir() or clip.video is None:
            names = [_file(clip, frame) for frame in range(1, clip.length + 1)]
            check_pictures(clip.folder / clip.pictures, names, str(clip.folder))
            for name in (names[0], names[-1]):
                picture_size(clip.folder / clip.pictures / name, clip.size)
    return clips


def frames_of(clip: Clip, root: Path, raw: RawOptions) -> list[str]:
    """The files of a clip's frames relative to ``root``; taken out of its video if necessary."""
    folder = clip.folder / clip.pictures
    if folder.is_dir():
        return [str(folder.relative_to(root) / _file(clip, n)) for n in range(1, clip.length + 1)]
    assert clip.video is not None, "see check_clips"
    target = Path(PREPARED, "frames", clip.folder.name)
    extract(clip.video, root / target, 0, clip.length, clip.size, raw)
    return [str(target / frame_name(number)) for number in range(clip.length)]


def tracks_of(clip: Clip, columns: int, ignored: tuple[int, ...] = ()) -> Objects:
    """Persons of a file of tracks: ``frame, id, left, top, width, height, flag, class, ...``.

    Frames count from 1 here, also where they count from 0 there; pixels count from 1 there. Of a
    flag of 0 an object is left out. Class -1 means a person, as 1 does.

    Args:
        clip: The clip.
        columns: How many there are.
        ignored: Classes that become crowds, which are neither objects nor mistakes to find.

    Raises:
        DataError: When the file is damaged.
    """
    rows = list(lines_of(clip.truth, ",", columns))
    first = min((row[0] for _, row in rows), default=1)
    found: Objects = defaultdict(list)
    for place, row in rows:
        frame, track = whole(row[0], place, "the frame"), whole(row[1], place, "the id")
        kind = whole(row[7], place, "the class")
        frame += first == 0
        if not 1 <= frame <= clip.length:
            raise DataError(f"{place}: frame {row[0]:g} of a sequence of {clip.length}")
        crowd = kind in ignored
        if crowd or (kind in (1, -1) and row[6] != 0):
            left, top, width, height = row[2:6]
            found[frame].append({
                "category_id": 1, "bbox": [left - 1, top - 1, width, height],
                "area": width * height, "iscrowd": int(crowd), "instance_id": track,
            })  # fmt: skip
    return found


def _file(clip: Clip, frame: int) -> str:
    return f"{frame:06d}{clip.ending}"
