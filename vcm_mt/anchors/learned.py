"""Learned codecs: the models of CompressAI's zoo, with its weights or with one's own."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock

import compressai
import torch
from compressai.models.base import CompressionModel
from compressai.zoo import image_models, load_state_dict
from compressai.zoo.image import model_architectures, model_urls
from torch.nn import functional as F

from vcm_mt.anchors.base import Anchor, AnchorRecord, Picture, check_picture
from vcm_mt.checkpoint import read_state_dict
from vcm_mt.errors import AnchorError, ConfigError, MeasurementError

ARCHITECTURES = tuple(name for name in image_models if name in model_urls)
WORD_BYTES = 4  # of CompressAI's entropy coder
_ALONE = Lock()


class CompressAIModel(Anchor):
    """A codec of CompressAI's zoo, by the model's own `compress` and `decompress`.

    The QP is the zoo's level of quality, 1 to 8 or 1 to 6, each with its own weights. A stream is

        level (1 byte), [length of y's string (4 bytes, big-endian), y's string,] last string

    with the part in brackets where the model has a hyperprior. The size is not in it, as for every
    other codec here.

    It runs on the CPU in one thread: the models compute in floats, and a stream is bound to be
    decoded as it was coded only by the same software on the same kind of processor. A damaged
    stream is refused where its lengths do not fit; beyond that the models notice nothing, nor that
    the size is another than was coded.

    Args:
        arch: A name of CompressAI's zoo, one of `ARCHITECTURES`.
        metric: What the zoo's weights were trained for, "mse" or "ms-ssim".
        checkpoints: Files of own weights by level (`.safetensors`, or what `torch.save` wrote),
            any levels of 0 to 255; without them CompressAI downloads the zoo's.

    Raises:
        MeasurementError: An unknown architecture, metric or level.
        AnchorError: There is no such file of weights.
    """

    def __init__(
        self, arch: str, metric: str = "mse", checkpoints: Mapping[int, Path] | None = None
    ) -> None:
        if arch not in ARCHITECTURES:
            raise MeasurementError(
                f"unknown model of CompressAI's {arch!r}; choose one of {', '.join(ARCHITECTURES)}"
            )
        if metric not in model_urls[arch]:
            raise MeasurementError(f"the zoo's {arch} is trained for mse or ms-ssim, not {metric}")
        if checkpoints is not None and not all(0 <= level <= 255 for level in checkpoints):
            raise MeasurementError(f"levels must be 0 to 255, got {sorted(checkpoints)}")
        self._arch, self._metric = arch, metric
        self._checkpoints = checkpoints
        self._urls: Mapping[int, str] = model_urls[arch][metric]
        self._frame = struct.Struct(">B" if arch == "bmshj2018-factorized" else ">BI")
        self._model = lru_cache(maxsize=1)(self._load)
        self.qualities = tuple(sorted(self._urls if checkpoints is None else checkpoints))
        self.quality_range = self.qualities
        self.record = AnchorRecord(
            name=f"{arch} (CompressAI)",
            version=f"compressai {compressai.__version__}, torch {torch.__version__}",
            preset="",
            options=(
                f"arch {arch}",
                f"metric {metric}",
                *(f"level {level}: {self._weights(level)}" for level in self.qualities),
                "RGB, padded by repeating the last row and column",
            ),
        )

    def encode(self, picture: Picture, qp: int) -> bytes:
        """Code one picture.

        Args:
            picture: uint8 [H, W, 3], RGB.
            qp: The level, one of `qualities`.

        Raises:
            MeasurementError: Another kind of picture, or a level without weights.
            AnchorError: The weights can't be had, or do not fit the model.
        """
        check_picture(picture)
        if qp not in self.qualities:
            raise MeasurementError(f"{self._arch} takes a level of {self.qualities}, got {qp}")
        x = torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].contiguous() / 255
        with _one_thread():
            model = self._model(int(qp))
            height, width = _padded(model, *picture.shape[:2])
            x = F.pad(x, (0, width - x.shape[3], 0, height - x.shape[2]), mode="replicate")
            strings = [string for (string,) in model.compress(x)["strings"]]
        return self._frame.pack(qp, *map(len, strings[:-1])) + b"".join(strings)

    def decode(self, data: bytes, height: int, width: int) -> Picture:
        """Decode one picture: uint8 [height, width, 3], RGB.

        Raises:
            AnchorError: The stream is damaged or of another codec, or the weights can't be had.
        """
        self.header_bytes(data)
        level, *lengths = self._frame.unpack_from(data)
        rest = data[self._frame.size :]
        strings = [[rest[:length]] for length in lengths] + [[rest[sum(lengths) :]]]
        with _one_thread():
            model = self._model(level)
            shape = [side // model.downsampling_factor for side in _padded(model, height, width)]
            x_hat = model.decompress(strings, shape)["x_hat"][0, :, :height, :width]
        return (x_hat * 255).round().to(torch.uint8).permute(1, 2, 0).numpy()

    def header_bytes(self, data: bytes) -> int:
        """The level and the length: 1 byte, or 5 with a hyperprior."""
        header = self._frame.size
        fits = len(data) >= header + WORD_BYTES and (len(data) - header) % WORD_BYTES == 0
        if not fits or data[0] not in self.qualities:
            raise AnchorError(f"the stream is damaged, or not of {self._arch} at these levels")
        _, *lengths = self._frame.unpack_from(data)
        if any(n % WORD_BYTES or not 0 < n < len(data) - header for n in lengths):
            raise AnchorError(f"the stream of {self._arch} is damaged: its lengths do not fit")
        return header

    def _weights(self, level: int) -> str:
        """Identify a level's weights: SHA-256 of the file, or its name in the zoo.

        The zoo's names end in the first 8 digits of a SHA-256.
        """
        if self._checkpoints is None:
            return self._urls[level].rsplit("/", 1)[-1]
        try:
            return hashlib.sha256(Path(self._checkpoints[level]).read_bytes()).hexdigest()
        except OSError as error:
            raise AnchorError(f"no weights of level {level}: {error}; give their file") from error

    def _load(self, level: int) -> CompressionModel:
        if self._checkpoints is None:
            model = self._download(level)
        else:
            model = self._read(self._checkpoints[level])
        # The zoo publishes its tables; those of another file may be older than its weights.
        model.update(force=self._checkpoints is not None)
        return model.eval().requires_grad_(False)

    def _download(self, level: int) -> CompressionModel:
        try:
            return image_models[self._arch](level, self._metric, pretrained=True, progress=False)
        except OSError as error:
            raise AnchorError(
                f"the weights of {self._arch} at level {level} could not be downloaded ({error}): "
                f"fetch {self._urls[level]} on a machine with network access and put it into "
                f"{torch.hub.get_dir()}/checkpoints, or give checkpoints={{{level}: its path}}"
            ) from error

    def _read(self, path: Path) -> CompressionModel:
        try:
            state = load_state_dict(read_state_dict(str(path)))
            return model_architectures[self._arch].from_state_dict(state)
        except (ConfigError, KeyError, RuntimeError, ValueError) as error:
            raise AnchorError(f"{path} holds no weights of {self._arch}: {error}") from error


def _padded(model: CompressionModel, height: int, width: int) -> tuple[int, int]:
    """Sides of a picture, up to the next multiples of what the model shrinks them by."""
    factor = model.downsampling_factor
    return -(-height // factor) * factor, -(-width // factor) * factor


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread of PyTorch's: the order of sums, and with it a stream, hangs on their number.

    That number is the whole process's, so pictures that are coded side by side wait here.
    """
    with _ALONE, torch.no_grad():
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(before)
