"""Codecs under test on whole videos: bytes are those of the sequence that would be sent."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from vcm_mt.anchors.sequences import SequenceAnchor
from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.encoding import packets_of
from vcm_mt.apis.sequences import KEY_INTERVAL, VideoDecoder
from vcm_mt.bitstream.sequence import SequenceReader, SequenceWriter
from vcm_mt.errors import AnchorError, ConfigError
from vcm_mt.evaluation.codecs import CodecUnderTest, FrameSize, TrainedCodec
from vcm_mt.structures import Sent
from vcm_mt.visualization import to_uint8

#: Pictures per second of the embedded videos; rates in bpp do not depend on it.
FPS = (25, 1)


class SequenceAnchorCodec(CodecUnderTest):
    """A standard codec on whole videos, at one quality.

    Args:
        anchor: The codec.
        quality: Its quantiser.
        fps: Pictures per second.
    """

    def __init__(self, anchor: SequenceAnchor, quality: int, fps: float = FPS[0]) -> None:
        self.name = f"{anchor.record.name} {quality}"
        self.record = {"codec": anchor.record.fingerprint, "qp": quality}
        if fps != FPS[0]:
            self.record["fps"] = fps
        self._anchor, self.quality, self._fps = anchor, quality, fps

    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Encode a video of one picture."""
        return next(self.send_all([picture]))

    def send_all(self, pictures: Sequence[Tensor]) -> Iterator[dict[str, Sent]]:
        """Encode the frames of a video; the first one carries the bytes of all."""
        height, width = pictures[0].shape[-2:]
        data = self._anchor.encode([to_uint8(one) for one in pictures], self.quality, self._fps)
        spent = (len(data), self._anchor.header_bytes(data))
        decoded_all = self._anchor.decode(data, height, width)
        if len(decoded_all) != len(pictures):
            raise AnchorError(
                f"{self.name}: {len(pictures)} pictures were coded, and {len(decoded_all)} decoded"
            )
        for decoded in decoded_all:
            back = torch.from_numpy(decoded).permute(2, 0, 1)[None].to(pictures[0]) / 255
            yield {"shared": Sent(back, spent[0], None, spent[1])}
            spent = (0, 0)


class SequencesCodec(CodecUnderTest):
    """A standard codec on a set of videos, each at a QP, rate and intra period of its own.

    Args:
        codecs: Of the videos, in the order of the test set.
        number: Of the point on its curve.
    """

    def __init__(self, codecs: Sequence[SequenceAnchorCodec], number: int) -> None:
        self.name = f"{codecs[0].name.rpartition(' ')[0]}, point {number}"
        self.quality = number
        self.record = {"codecs": [codec.record for codec in codecs]}
        self._codecs = codecs

    def send(self, picture: Tensor) -> dict[str, Sent]:
        """Send a video of one picture as the first video is."""
        return self._codecs[0].send(picture)

    def send_unit(self, unit: int, pictures: Sequence[Tensor]) -> Iterator[dict[str, Sent]]:
        """Send the frames of a video."""
        yield from self._codecs[unit].send_all(pictures)


class TrainedSequence(TrainedCodec):
    """A trained transmitter that sends videos as sequences, and receivers of the same bytes.

    Args:
        transmitter: Encodes.
        receivers: Decode, by name.
        name: For readers.
        level: Which of the transmitter's qualities to encode at, where it has several.
        key_interval: At least every so many pictures one stands by itself; with 1, all do.

    Raises:
        ConfigError: When a receiver belongs to another transmitter, or pictures are to be predicted
            without a temporal prior.
    """

    def __init__(
        self,
        transmitter: Transmitter,
        receivers: dict[str, Receiver],
        name: str = "sequence",
        level: int | None = None,
        key_interval: int = KEY_INTERVAL,
    ) -> None:
        super().__init__(transmitter, receivers, name, level=level)
        prior = transmitter.network.temporal
        self._interval = key_interval
        self.record["key_interval"] = key_interval
        if key_interval > 1:
            if prior is None:
                raise ConfigError(f"{name} has no temporal prior: measure it with a key interval 1")
            self.record["prior"] = prior.mark.hex()
            for receiver in receivers.values():
                receiver.prior = prior

    @torch.no_grad()
    def send_all(self, pictures: Sequence[Tensor]) -> Iterator[dict[str, Sent]]:
        """Encode the frames of a video and decode them; the first one carries the bytes of all."""
        data, _ = self._coded(pictures)
        reader = SequenceReader(data)
        content = sum(len(packet.string) for packet in reader)
        spent = (len(data), len(data) - content)
        for latent, picture in zip(self._latents_of(reader), pictures, strict=True):
            height, width = picture.shape[-2:]
            decoded = {n: r.synthesis(latent) for n, r in self._receivers.items()}
            yield {
                name: Sent(one[..., :height, :width].to(picture), spent[0], None, spent[1])
                for name, one in decoded.items()
            }
            spent = (0, 0)

    @torch.no_grad()
    def frame_sizes(self, pictures: Sequence[Tensor]) -> list[FrameSize]:
        """By what each frame makes the file grow; the first one counts the header."""
        return self._coded(pictures)[1]

    def _coded(self, pictures: Sequence[Tensor]) -> tuple[bytes, list[FrameSize]]:
        """The file of a video."""
        file = io.BytesIO()
        writer = SequenceWriter(file, FPS)
        frames = [one[0] for one in pictures]
        sizes = []
        for packets in packets_of(self._transmitter, frames, self._level, self._interval):
            for packet in packets:
                before = file.tell()
                writer.write(packet)
                sizes.append(FrameSize(file.tell() - before, not packet.predicted))
        writer.close()
        return file.getvalue(), sizes

    def _latents_of(self, reader: SequenceReader) -> Iterator[Tensor]:
        """What receivers decode, which is the same for all of them."""
        receiver = next(iter(self._receivers.values()))
        if not reader.header.prior:
            yield from (receiver.latents([packet]) for packet in reader)
            return
        decoder = VideoDecoder(receiver)
        yield from (decoder.latent(packet) for packet in reader)
