"""Codecs under test, each behind one call: a picture in, every receiver's picture out."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcm_mt.anchors import Anchor, CachedAnchor, code_pictures
from vcm_mt.anchors.base import Picture
from vcm_mt.anchors.yuv import Colours
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.raw import through_yuv
from vcm_mt.bitstream.container import unpack
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import ConfigError
from vcm_mt.structures import Sent
from vcm_mt.visualization import to_uint8


class FrameSize(NamedTuple):
    """What a frame of a video takes: its bytes, and whether it stands by itself."""

    num_bytes: int
    key: bool


class CodecUnderTest(ABC):
    """A codec at one quality, with the receivers that decode its bytes.

    Attributes:
        name: For readers.
        quality: The quality of a learned codec, the QP, CRF or quality of a standard; 0 for none.
        record: Everything that decides bytes and decoded pictures, as plain values for JSON.
        receivers: Names of the receivers.
    """

    name: str
    quality: int = 0
    record: dict[str, Any]
    receivers: tuple[str, ...] = ("shared",)

    @abstractmethod
    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode a picture and decode it with every receiver.

        Args:
            picture: float [1, 3, H, W] in [0, 1].

        Returns:
            By the receiver's name.
        """

    def send_all(self, pictures: Sequence[Tensor]) -> Iterator[dict[str, Sent]]:
        """Send a unit: a picture, or the frames of a video in order; see :meth:`send`."""
        yield from map(self.send, pictures)

    def send_unit(self, unit: int, pictures: Sequence[Tensor]) -> Iterator[dict[str, Sent]]:  # noqa: ARG002
        """Send the unit of a number, for codecs that know their test set."""
        yield from self.send_all(pictures)

    def prepare(self, pictures: Iterable[Picture]) -> None:  # noqa: B027
        """Encode pictures ahead, where several at once take less time."""

    def bit_map(self, picture: Tensor) -> NDArray[np.float32] | None:  # noqa: ARG002
        """Bits by latent position, float32 [h, w]; ``None`` for a codec without latents."""
        return None

    def frame_sizes(self, pictures: Sequence[Tensor]) -> list[FrameSize]:  # noqa: ARG002
        """What each frame of a video takes; nothing where the codec does not tell."""
        return []


class Originals(CodecUnderTest):
    """The uncoded pictures."""

    name = "originals"
    record = {"codec": "none"}

    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Return the picture itself, at no bits."""
        return {"shared": Sent(picture, None, None)}


class ThroughYUV(CodecUnderTest):
    """A codec whose decoded pictures are judged after conversion to raw 4:2:0 and back.

    Args:
        codec: The codec.
        colours: Of the raw pictures.
    """

    def __init__(self, codec: CodecUnderTest, colours: Colours) -> None:
        self.name, self.quality, self.receivers = codec.name, codec.quality, codec.receivers
        self.record = {**codec.record, "judged through": list(colours)}
        self._codec, self._colours = codec, colours

    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Send, and convert what every receiver decoded."""
        return self._converted(self._codec.send(picture))

    def send_unit(self, unit: int, pictures: Sequence[Tensor]) -> Iterator[dict[str, Sent]]:
        """Send a unit, and convert what every receiver decoded."""
        yield from map(self._converted, self._codec.send_unit(unit, pictures))

    def prepare(self, pictures: Iterable[Picture]) -> None:
        """Encode ahead."""
        self._codec.prepare(pictures)

    def _converted(self, sent: dict[str, Sent]) -> dict[str, Sent]:
        return {name: one._replace(picture=self._back(one.picture)) for name, one in sent.items()}

    def _back(self, picture: Tensor) -> Tensor:
        back = torch.from_numpy(through_yuv(to_uint8(picture), self._colours))
        return back.permute(2, 0, 1)[None].to(picture) / 255


class AnchorCodec(CodecUnderTest):
    """A standard codec at one quality.

    Args:
        anchor: The codec.
        quality: Its quantiser or quality.
        folder: Where its streams are stored.
        jobs: How many pictures :meth:`prepare` encodes at once; by default one per core.
    """

    def __init__(self, anchor: Anchor, quality: int, folder: Path, jobs: int | None = None) -> None:
        self.name = f"{anchor.record.name} {quality}"
        self.record = {"codec": anchor.fingerprint, "qp": quality}
        self._anchor, self.quality = anchor, quality
        self._folder, self._jobs = folder, jobs or os.cpu_count() or 1
        self._cached = CachedAnchor(anchor, folder)

    def prepare(self, pictures: Iterable[Picture]) -> None:
        """Encode into the folder, several pictures at once."""
        for _ in code_pictures(self._anchor, pictures, self.quality, self._folder, self._jobs):
            pass

    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode, or read the stream from the folder, and decode."""
        height, width = picture.shape[-2:]
        data = self._cached.encode(to_uint8(picture), self.quality)
        decoded = torch.from_numpy(self._anchor.decode(data, height, width))
        back = decoded.permute(2, 0, 1)[None].to(picture) / 255
        return {"shared": Sent(back, len(data), None, self._anchor.header_bytes(data))}


class TrainedCodec(CodecUnderTest):
    """A trained transmitter, and receivers that all decode the same bytes.

    Args:
        transmitter: Encodes.
        receivers: Decode, by name.
        name: For readers.
        quality: The point's number on its curve; by default the level.
        level: Which of the transmitter's qualities to encode at, where it has several.

    Raises:
        ConfigError: When a receiver belongs to another transmitter.
    """

    def __init__(
        self,
        transmitter: Transmitter,
        receivers: dict[str, Receiver],
        name: str = "stream",
        quality: int | None = None,
        level: int | None = None,
    ) -> None:
        network = transmitter.network
        self._level = network.quality if level is None else level
        self.quality = self._level if quality is None else quality
        self.name = f"{name} {self.quality}"
        self.record = {
            "codec": transmitter.fingerprint,
            "receivers": {name: fingerprint(one.synthesis) for name, one in receivers.items()},
        }
        if len(network.qualities) > 1:
            self.record["level"] = self._level
        if transmitter.refiner is not None:
            self.record["refined"] = transmitter.refiner.record
        self.receivers = tuple(receivers)
        self._transmitter, self._receivers = transmitter, receivers
        for name, receiver in receivers.items():
            if receiver.record["transmitter"] != transmitter.fingerprint:
                raise ConfigError(
                    f"receiver {name} is for transmitter {receiver.record['transmitter'][:8]}, "
                    f"the bits come from {transmitter.fingerprint[:8]}"
                )

    @torch.no_grad()
    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode once, decode the bytes with every receiver."""
        network = self._transmitter.network
        y = self._latents(picture)
        height, width = picture.shape[-2:]
        (data,) = network.code(y, height, width, self._level)
        bits = network.estimate(y, self._level).bits.item()
        packet = unpack(data)
        header = len(data) - len(packet.string)
        return {
            name: Sent(receiver.decode_packets([packet]).to(picture), len(data), bits, header)
            for name, receiver in self._receivers.items()
        }

    def _latents(self, picture: Tensor) -> Tensor:
        home = next(self._transmitter.network.parameters()).device
        return self._transmitter.latents(picture.to(home), self._level)

    @torch.no_grad()
    def bit_map(self, picture: Tensor) -> NDArray[np.float32]:
        """Bits by latent position, float32 [H/16, W/16]; they add up to ``bits_estimated``."""
        network = self._transmitter.network
        bits: NDArray[np.float32] = (
            network.bit_map(self._latents(picture), self._level)[0].cpu().numpy()
        )
        return bits
