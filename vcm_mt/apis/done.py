"""Outputs of an earlier encoding or decoding that a run with --resume can keep.

A stream records its transmitter and quality, and whether it is complete, but not whether its latent
was refined: a refining run lists its streams in :data:`REFINED`, beside them. A decoded PNG has a
text chunk that identifies its source.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.bitstream.container import is_sequence, pack, unpack
from vcm_mt.bitstream.sequence import SequenceReader
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import BitstreamError
from vcm_mt.files import UNREADABLE, write_atomically
from vcm_mt.models.precision import amp_name
from vcm_mt.structures import Packet

#: One line per refined stream: a digest of everything that determines its bits, and its own.
REFINED = "refined.txt"
#: Key of the PNG text that identifies what a picture was decoded from.
_SOURCE = "vcm_mt:source"


class Coded:
    """Finds streams that a transmitter has encoded already.

    Args:
        transmitter: The transmitter, with its refiner if it has one.
        quality: The quality; by default the transmitter's own.
    """

    def __init__(self, transmitter: Transmitter, quality: int | None = None) -> None:
        network = transmitter.network
        self._wanted = network.mark, network.quality if quality is None else quality
        self._notes: dict[Path, set[str]] = {}
        self._how = ""
        if transmitter.refiner is not None:
            amp = amp_name(network.amp, next(network.parameters()).device)
            how = [transmitter.fingerprint, self._wanted[1], amp]
            text = json.dumps([*how, transmitter.refiner.record], sort_keys=True, default=str)
            self._how = hashlib.sha256(text.encode()).hexdigest()

    def holds(self, source: Path, target: Path) -> bool:
        """Whether ``target`` is a complete stream of this transmitter, newer than ``source``."""
        if not target.is_file() or source.stat().st_ctime_ns > target.stat().st_ctime_ns:
            return False
        data = target.read_bytes()
        if not self._is_own(data):
            return False
        noted = self._noted(target.with_name(REFINED))
        return self._line(data) in noted if self._how else _digest(data) not in noted

    def note(self, target: Path) -> None:
        """Record that a stream was refined; without a refiner, do nothing."""
        if self._how:
            with target.with_name(REFINED).open("a") as file:
                file.write(self._line(target.read_bytes()) + "\n")

    def _noted(self, path: Path) -> set[str]:
        """The lines of earlier runs, and the digests of streams in them."""
        if path not in self._notes:
            lines = path.read_text().splitlines() if path.is_file() else []
            self._notes[path] = {*lines, *(line.rpartition(" ")[2] for line in lines)}
        return self._notes[path]

    def _line(self, data: bytes) -> str:
        return f"{self._how} {_digest(data)}"

    def _is_own(self, data: bytes) -> bool:
        try:
            if not is_sequence(data):
                header = unpack(data)
            else:
                reader = SequenceReader(data)
                if not reader.whole or reader.damaged():
                    return False
                header = reader.header
        except BitstreamError:
            return False
        return (header.transmitter, header.quality) == self._wanted


class Decoded:
    """Finds pictures that a receiver has decoded already.

    Args:
        receiver: The receiver.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._own = fingerprint(receiver.synthesis)

    def holds(self, packet: Packet, target: Path) -> bool:
        """Whether ``target`` is an undamaged PNG that this receiver decoded from ``packet``."""
        try:
            with Image.open(target) as file:
                source = file.info.get(_SOURCE)
                file.verify()
        except UNREADABLE:
            return False
        return source == self._source(packet)

    def write(self, packet: Packet, picture: NDArray[np.uint8], target: Path) -> None:
        """Write a decoded picture atomically as a PNG."""
        text = PngImagePlugin.PngInfo()
        text.add_text(_SOURCE, self._source(packet))
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", pnginfo=text)
        write_atomically(target, [file.getvalue()])

    def _source(self, packet: Packet) -> str:
        return hashlib.sha256(self._own.encode() + pack(packet)).hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
