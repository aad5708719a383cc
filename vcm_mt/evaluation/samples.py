"""A few test pictures as every point decodes them, stored for the report."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from vcm_mt.errors import MeasurementError, naming
from vcm_mt.files import write_atomically
from vcm_mt.visualization import to_uint8

if TYPE_CHECKING:  # a report reads samples, and measures nothing
    from vcm_mt.evaluation.codecs import CodecUnderTest
    from vcm_mt.evaluation.test_set import TestSet

#: In place of a curve's name: the uncoded pictures.
ORIGINALS = "originals"
#: Keys of a picture's annotations that are read.
_TRUTH = ("classes", "objects")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Seen:
    """One picture as a receiver decoded it.

    Attributes:
        curve: The point's curve.
        quality: The point's quality.
        num_bytes: Of the file that would be sent.
        psnr: In dB.
        found: What each task found, in COCO's result format.
        bits: By latent position, [h][w]; None for a codec without latents.
        of: Everything that decides the above; the picture is sent again when it differs.
    """

    curve: str
    quality: float
    num_bytes: int
    psnr: float
    found: dict[str, list[dict[str, Any]]]
    bits: list[list[float]] | None
    of: dict[str, Any]

    def pixels(self, folder: Path) -> NDArray[np.uint8]:
        """The decoded picture, uint8 [H, W, 3], from the file beside the record."""
        return read_picture(folder / f"{file_name(self.curve, self.quality)}.png")


class Samples:
    """A folder with one folder per stored picture.

    Args:
        folder: Holds them.
        data: The test set.
        count: How many pictures, evenly spaced over the set.
    """

    def __init__(self, folder: Path, data: TestSet, count: int) -> None:
        self._folder, self._data = folder, data
        self.indexes = sorted(
            set(np.linspace(0, len(data) - 1, count).round().astype(int).tolist())
        )

    @torch.no_grad()
    def keep(self, codec: CodecUnderTest, curves: dict[str, str]) -> None:
        """Send and store the pictures that are not stored yet.

        Args:
            codec: The codec.
            curves: The curve's name by receiver.
        """
        names = {receiver: file_name(curve, codec.quality) for receiver, curve in curves.items()}
        missing = [i for i in self.indexes if not self._there(i, codec, list(names.values()))]
        for index, original, sample in self._data.batches(missing):
            folder = self._place(index)
            folder.mkdir(parents=True, exist_ok=True)
            with naming(self._data.path(index)):
                sent = codec.send(original)
                told = self._data.judge(index, original, sent, sample)
                bits = codec.bit_map(original)
            save_picture(folder / "original.png", to_uint8(original))
            truth = json.dumps({"size": original.shape[-2:], **self._truth(index)})
            write_atomically(folder / "truth.json", [truth.encode() + b"\n"])
            for receiver, curve in curves.items():
                save_picture(folder / f"{names[receiver]}.png", to_uint8(sent[receiver].picture))
                own = told["receivers"][receiver]
                seen = Seen(
                    curve,
                    codec.quality,
                    told["num_bytes"] or 0,
                    own["psnr"],
                    own["found"],
                    None if bits is None else np.round(bits.astype(float), 3).tolist(),
                    self._of(codec),
                )
                record = folder / f"{names[receiver]}.json"
                write_atomically(record, [json.dumps(asdict(seen)).encode() + b"\n"])

    def _truth(self, index: int) -> dict[str, Any]:
        number, judges = self._data.ids[index], self._data.judges
        return {
            "classes": {name: judge.names() for name, judge in judges.items()},
            "objects": {name: judge.objects(number) for name, judge in judges.items()},
        }

    def _place(self, index: int) -> Path:
        return self._folder / f"{index:06d}"

    def _there(self, index: int, codec: CodecUnderTest, names: Sequence[str]) -> bool:
        for name in names:
            path = self._place(index) / f"{name}.json"
            try:
                if json.loads(path.read_bytes())["of"] != self._of(codec):
                    return False
            except (OSError, ValueError, KeyError, TypeError):  # missing, or damaged
                return False
        return True

    def _of(self, codec: CodecUnderTest) -> dict[str, Any]:
        data = {"data": self._data.data_digest, "tasks": self._data.task_digests}
        return {**codec.record, **data}


def read_samples(folder: Path) -> list[tuple[Path, dict[str, Any], list[Seen]]]:
    """Folder, annotations and decoded versions of each stored picture.

    Raises:
        MeasurementError: When a record is damaged.
    """
    found = []
    for place in sorted(path.parent for path in folder.glob("*/truth.json")):
        truth = read_record(place / "truth.json", lambda told: {n: told[n] for n in _TRUTH})
        records = [path for path in sorted(place.glob("*.json")) if path.name != "truth.json"]
        seen = [read_record(path, lambda told: Seen(**told)) for path in records]
        found.append((place, truth, seen))
    return found


def read_record(path: Path, into: Callable[[Any], _T]) -> _T:
    """What a function makes of a JSON file.

    Raises:
        MeasurementError: When the file is damaged.
    """
    try:
        return into(json.loads(path.read_bytes()))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MeasurementError(
            f"{path} is damaged ({error!r}): run `vcm-mt curve` again, which makes it anew"
        ) from error


def read_picture(path: Path) -> NDArray[np.uint8]:
    """A stored picture, uint8 [H, W, 3]."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def file_name(curve: str, quality: float) -> str:
    """What a point's files are called, without their ending."""
    safe = "".join(c if c.isalnum() or c in "-_" else "_" for c in curve)
    return f"{safe}-{quality:g}"


def save_picture(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Write a picture, uint8 [H, W, 3], in the format of the file's ending."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, path.suffix[1:])
    write_atomically(path, [file.getvalue()])
