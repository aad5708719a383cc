"""A data set of pictures without annotations, for human receivers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from PIL import ExifTags, Image

from vcm_mt.datasets.sampler import SeededTransforms
from vcm_mt.errors import DataError
from vcm_mt.files import ENDINGS, UNREADABLE
from vcm_mt.registry import DATASETS


@DATASETS.register_module()
class PictureFolder(SeededTransforms, BaseDataset):
    """All pictures in a folder and its subfolders.

    ``video_id`` and ``frame_id`` of the records are the numbers of a picture's folder and of the
    picture in it, so that :class:`vcm_mt.datasets.clips.ClipDataset` finds the frames of films.

    Args:
        data_root: The folder.
        **kwargs: Arguments of :class:`mmengine.dataset.BaseDataset`.
    """

    METAINFO = {"classes": ()}

    def load_data_list(self) -> list[dict[str, Any]]:
        """List the pictures by path, and read their sizes.

        Raises:
            DataError: If there are no pictures, or a file cannot be read.
        """
        root = Path(self.data_root)
        paths = sorted(path for path in root.rglob("*") if path.suffix.lower() in ENDINGS)
        if not paths:
            raise DataError(f"no picture in {root}: it needs {', '.join(sorted(ENDINGS))}")
        folders = {folder: n for n, folder in enumerate(dict.fromkeys(p.parent for p in paths))}
        counts = dict.fromkeys(folders, -1)
        found = []
        for number, path in enumerate(paths):
            counts[path.parent] += 1
            place = {"video_id": folders[path.parent], "frame_id": counts[path.parent]}
            record = {"img_path": str(path), "img_id": number, **place}
            found.append(record | picture_size(path))
        return found


def picture_size(path: Path) -> dict[str, int]:
    """``width`` and ``height`` of a picture, turned upright by its EXIF.

    Raises:
        DataError: If it cannot be read.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            # The EXIF of a PNG may follow its pixels, which would have to be decoded first.
            exif = {} if picture.format == "PNG" else picture.getexif()
    except UNREADABLE as error:
        raise DataError(
            f"{path} is not a readable picture: {error}. Remove it from the folder"
        ) from error
    if exif.get(ExifTags.Base.Orientation, 1) > 4:  # rotated by 90 degrees
        width, height = height, width
    return {"width": width, "height": height}
