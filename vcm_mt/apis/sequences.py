"""Coding of videos, one picture at a time.

>>> encoder = VideoEncoder(Transmitter.load("work_dirs/mini/stage1_det_video"))
>>> decoder = VideoDecoder(Receiver.load("work_dirs/mini/stage1_det_video"))
>>> for picture in camera:
...     array = decoder.decode(encoder.encode(picture))
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.pictures import at_once, to_array, to_tensor
from vcm_mt.bitstream.predicted import SequenceDecoder, SequenceEncoder
from vcm_mt.bitstream.sequence import SequenceReader
from vcm_mt.errors import BitstreamError, ConfigError, DataError
from vcm_mt.models.transmitter import check_sender, rescaled, z_shape_of
from vcm_mt.structures import Packet

#: At least every so many pictures of a video one stands by itself.
KEY_INTERVAL = 60


class VideoEncoder:
    """Encodes the pictures of a video one after another.

    Memory does not grow with their number: two latents are kept.

    Args:
        transmitter: With a temporal prior.
        quality: One of its qualities; by default its own.
        key_interval: At least every so many pictures one stands by itself.

    Raises:
        ConfigError: If the transmitter has no temporal prior or no such quality, or the interval is
            below 1.
    """

    def __init__(
        self, transmitter: Transmitter, quality: int | None = None, key_interval: int = KEY_INTERVAL
    ) -> None:
        network = transmitter.network
        if network.temporal is None:
            raise ConfigError(
                "this transmitter has no temporal prior, and codes each picture by itself: train "
                "one with a TemporalSystem"
            )
        self._transmitter = transmitter
        self._quality = network.quality if quality is None else quality
        self._encoder = SequenceEncoder(network.entropy, network.temporal, key_interval)
        self._size: tuple[int, int] | None = None

    def encode(self, picture: Any) -> Packet:
        """Encode the next picture.

        Args:
            picture: See :func:`vcm_mt.apis.pictures.to_tensor`.

        Raises:
            DataError: If it is not a picture, or of another size than the first.
            BitstreamError: If it is too large.
        """
        x = to_tensor(picture)
        height, width = x.shape[-2:]
        if self._size not in (None, (height, width)):
            first = "x".join(map(str, self._size or ()))
            raise DataError(f"pictures of one video have one size: {height}x{width} after {first}")
        self._size = (height, width)
        network = self._transmitter.network
        y = self._transmitter.latents(x.to(next(network.parameters()).device), self._quality)
        coded = self._encoder.encode(network.scaled(y, self._quality))
        return Packet(
            height, width, self._quality, network.mark, coded.string,
            network.prior_mark, coded.predicted,
        )  # fmt: skip


class VideoDecoder:
    """Decodes the pictures of a video one after another, from any key picture on.

    Args:
        receiver: With the temporal prior of the stream's transmitter.

    Raises:
        ConfigError: If the receiver has none.
    """

    def __init__(self, receiver: Receiver) -> None:
        if receiver.prior is None:
            raise ConfigError(
                "this receiver has no temporal prior: give the training of its transmitter's, "
                "--prior CHECKPOINT or receiver.take_prior(CHECKPOINT)"
            )
        self._receiver = receiver
        self._decoder = SequenceDecoder(receiver.entropy, receiver.prior)

    def decode(self, packet: Packet) -> NDArray[np.uint8]:
        """Decode the next picture to uint8 [H, W, 3], RGB.

        Raises:
            BitstreamError: If it is damaged, of another transmitter, or predicted from pictures
                that were not decoded; a later key picture can be decoded.
        """
        picture = self._receiver.synthesis(self.latent(packet))
        return to_array(picture[..., : packet.height, : packet.width])

    @torch.no_grad()
    def latent(self, packet: Packet) -> Tensor:
        """Decode the next picture's y_hat, float [1, M, h, w]; see :meth:`decode`."""
        check_sender(packet, self._receiver.mark)
        assert self._receiver.prior is not None
        if packet.prior != self._receiver.prior.mark:
            raise BitstreamError(
                f"the pictures were predicted by prior {packet.prior.hex()}, this is "
                f"{self._receiver.prior.mark.hex()}: load the one that they were encoded with"
            )
        shape = z_shape_of(packet, self._receiver.entropy)
        try:
            y_hat = self._decoder.decode(packet.string, packet.predicted, shape)
        except BitstreamError:
            self._decoder.forget()
            raise
        return rescaled(y_hat, [packet], self._receiver.gains)

    def lose(self) -> None:
        """A picture was lost: those predicted from it cannot be decoded."""
        self._decoder.forget()


def decoded(
    receiver: Receiver, reader: SequenceReader, wanted: Sequence[int]
) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """Decode some pictures of a sequence.

    Args:
        receiver: The receiver.
        reader: The sequence.
        wanted: Numbers of undamaged pictures, in order.

    Yields:
        A picture's number, and the picture, uint8 [H, W, 3], RGB.

    Raises:
        BitstreamError: If the sequence is of another transmitter.
        ConfigError: If it has predicted pictures, and the receiver no temporal prior.
    """
    if not reader.header.prior:
        step = at_once(*reader.size)
        for first in range(0, len(wanted), step):
            numbers = wanted[first : first + step]
            pictures = receiver.decode_packets([reader[number] for number in numbers])
            yield from zip(numbers, (to_array(one[None]) for one in pictures), strict=True)
        return
    decoder, following = VideoDecoder(receiver), 0
    for number in wanted:
        key = reader.key_of(number)
        for before in range(max(key, following) if following else key, number):
            decoder.latent(reader[before])
        yield number, decoder.decode(reader[number])
        following = number + 1
