"""A data set's pictures as bitstreams, encoded once for a training of receivers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_rank, get_world_size
from mmengine.registry import DefaultScope
from torch import Tensor
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.pictures import at_once
from vcm_mt.bitstream.container import unpack
from vcm_mt.datasets.loading import LoadPicture, check_size
from vcm_mt.errors import BitstreamError, DataError
from vcm_mt.files import write_atomically
from vcm_mt.registry import DATASETS, TRANSFORMS

#: Suffix in the names of mirrored pictures' bitstreams.
_MIRRORED = ".flip"
#: Folder of the bitstreams of pictures outside the data set's folder.
_ELSEWHERE = "_elsewhere"


def bitstream_path(
    folder: Path, root: Path, picture: Path, mirrored: bool = False, quality: int | None = None
) -> Path:
    """The path of a picture's bitstream; ``folder`` mirrors the tree below ``root``.

    Pictures outside ``root`` get a tree of their absolute paths. ``quality`` is given if
    the transmitter has several.
    """
    name = picture.stem + (_MIRRORED if mirrored else "")
    name += ".vcm" if quality is None else f".q{quality}.vcm"
    place = Path(os.path.abspath(picture))  # without "..", which would lead out of the folder
    above = Path(os.path.abspath(root))
    if place.is_relative_to(above):
        return folder / place.relative_to(above).parent / name
    drive = place.drive.strip(":\\/")
    return folder / _ELSEWHERE / drive / place.relative_to(place.anchor).parent / name


def picture_paths(config: Config) -> list[Path]:
    """The picture files of a config's training set."""
    with DefaultScope.overwrite_default_scope(config.default_scope):
        dataset = DATASETS.build({**config.train_dataloader.dataset, "pipeline": []})
    return [Path(dataset.get_data_info(n)["img_path"]) for n in range(len(dataset))]


def write_bitstreams(
    transmitter: Transmitter, pictures: list[Path], root: Path, folder: Path, mirrored: bool
) -> int:
    """Encode pictures that have no bitstream yet, at every quality; can be interrupted.

    A bitstream that is damaged or of another transmitter is replaced. The processes of a
    distributed run share the pictures, and wait for each other.

    Args:
        transmitter: The transmitter.
        pictures: Picture files.
        root: The data set's folder; pictures may also lie outside.
        folder: Folder of the bitstreams.
        mirrored: Also encode the mirror image of each picture.

    Returns:
        The size of all bitstreams in bytes.

    Raises:
        DataError: If a file is not a picture, or two differ in their ending only.
    """
    flips = (False, True) if mirrored else (False,)
    jobs = [
        _Job(picture, bitstream_path(folder, root, picture, flip, quality), flip, quality)
        for quality in _qualities(transmitter)
        for picture in dict.fromkeys(pictures)
        for flip in flips
    ]
    sources: dict[Path, Path] = {}
    for job in jobs:
        if (other := sources.setdefault(job.target, job.source)) != job.source:
            raise DataError(f"{other} and {job.source} differ in their ending only: rename one")
    mark = transmitter.network.mark
    mine = jobs[get_rank() :: get_world_size()]
    waiting = [job for job in mine if not _is_whole(job.target, mark)]
    hidden = get_rank() != 0 or not waiting
    with tqdm(total=len(waiting), desc="coding", unit="picture", disable=hidden) as bar:
        for group in _of_one_kind(waiting):
            pictures_ = torch.cat([picture for _, picture in group])
            coded = transmitter.encode_batch(pictures_, group[0][0].quality)
            for (job, _), data in zip(group, coded, strict=True):
                job.target.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(job.target, [data])
            bar.update(len(group))
    barrier()
    return sum(job.target.stat().st_size for job in jobs)


class _Job(NamedTuple):
    source: Path
    target: Path
    mirrored: bool
    quality: int | None


def _qualities(transmitter: Transmitter) -> list[int] | list[None]:
    """The qualities to encode; ``None`` for a transmitter with one."""
    return [None] if transmitter.network.gains is None else transmitter.qualities


def _is_whole(path: Path, mark: bytes) -> bool:
    try:
        return unpack(path.read_bytes()).transmitter == mark
    except (OSError, BitstreamError):
        return False


def _of_one_kind(jobs: list[_Job]) -> Iterator[list[tuple[_Job, Tensor]]]:
    """Group pictures by size and quality, as many as are encoded together."""
    group: list[tuple[_Job, Tensor]] = []
    load = LoadPicture()
    for job in jobs:
        loaded = load.transform({"img_path": str(job.source)})  # as training loads it
        assert loaded is not None
        pixels = loaded["img"]
        picture = torch.from_numpy(pixels[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
        picture = picture.flip(-1) if job.mirrored else picture
        kind = job.quality, picture.shape
        full = len(group) == at_once(*picture.shape[-2:])
        if group and (full or kind != (group[0][0].quality, group[0][1].shape)):
            yield group
            group = []
        group.append((job, picture))
    if group:
        yield group


@TRANSFORMS.register_module()
class LoadBitstream:
    """Decodes a picture's bitstream to ``y_hat``, float [1, M, h, w].

    Put it after ``RandomFlip``, which decides between the two bitstreams of a picture. If the
    transmitter has several qualities, one is drawn at random. Without a loaded picture it also sets
    the picture's size.

    Args:
        folder: Folder of :func:`write_bitstreams`.
        root: The data set's folder.
        transmitter: Checkpoint of the transmitter.
        cache: MiB of decoded latents that each worker keeps.
    """

    def __init__(self, folder: str, root: str, transmitter: str, cache: int = 512) -> None:
        self.folder, self.root, self.transmitter = Path(folder), Path(root), transmitter
        self.free = cache << 20
        self.cache: dict[Path, tuple[Tensor, tuple[int, int]]] = {}
        self._receiver: Receiver | None = None

    def __call__(self, results: dict[str, Any]) -> dict[str, Any]:
        """Read and decode.

        Raises:
            BitstreamError: If the file is damaged or of another transmitter.
            DataError: If there is no file, or its size differs from the annotation.
        """
        mirrored = bool(results.get("flip"))
        picture = Path(results["img_path"])
        path = bitstream_path(self.folder, self.root, picture, mirrored, self._draw())
        y_hat, size = self.cache.get(path) or self._decode(path)
        check_size(results, size)
        if "img" not in results:
            results["img_shape"] = results["ori_shape"] = size
        results["y_hat"] = y_hat
        return results

    def _draw(self) -> int | None:
        gains = self._decoder().gains
        # The generator of mmcv's transforms, so that it is seeded with them.
        return None if gains is None else 1 + int(np.random.randint(len(gains)))  # noqa: NPY002

    def _decoder(self) -> Receiver:
        if self._receiver is None:  # built in the worker; a forked process cannot use the GPU
            self._receiver = Receiver.load(self.transmitter, device="cpu")
        return self._receiver

    def _decode(self, path: Path) -> tuple[Tensor, tuple[int, int]]:
        try:
            packet = unpack(path.read_bytes())
            y_hat = self._decoder().latents([packet]).cpu()
        except FileNotFoundError as error:
            raise DataError(
                f"no bitstream at {path}: encode the data set first (vcm-mt finetune)"
            ) from error
        except BitstreamError as error:
            raise BitstreamError(f"{path}: {error}") from error
        decoded = y_hat, (packet.height, packet.width)
        self.free -= y_hat.nbytes
        if self.free >= 0:
            self.cache[path] = decoded
        return decoded
