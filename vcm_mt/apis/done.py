"""What an earlier encoding or decoding has done already, and one with --resume leaves alone.

A stream says which transmitter made it, at which level, and whether it is whole. It does not say
whether its latent was refined: a run that refines notes every stream in :data:`REFINED`, beside
it. A decoded PNG carries a text that says what it was decoded from.
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
from vcm_mt.bitstream.container import SequenceReader, is_sequence, pack, unpack
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import BitstreamError
from vcm_mt.files import UNREADABLE, write_atomically
from vcm_mt.models.precision import amp_name
from vcm_mt.structures import Packet

#: A line per stream that was refined: a digest of what decided its bits, and the stream's own.
REFINED = "refined.txt"
#: The PNG text that says what a picture was decoded from.
_SOURCE = "vcm_mt:source"


class Coded:
    """Which streams a transmitter needs not make again.

    Args:
        transmitter: That makes them, with its refiner if it has one.
        quality: The level; by default the transmitter's own.
    """

    def __init__(self, transmitter: Transmitter, quality: int | None = None) -> None:
        network = transmitter.network
        self._wanted = network.mark, network.quality if quality is None else quality
        self._notes: dict[Path, set[str]] = {}
        self._how = ""
        if transmitter.refiner is not None:
            amp = amp_name(network.amp, next(network.parameters()).device)
            how = [transmitter.fingerprint, self._wanted[1], amp]
            told = json.dumps([*how, transmitter.refiner.record], sort_keys=True, default=str)
            self._how = hashlib.sha256(told.encode()).hexdigest()

    def holds(self, source: Path, target: Path) -> bool:
        """Whether ``target`` is a whole stream as this transmitter makes it.

        A source that was changed, or put there, after the stream was written is coded anew.
        """
        if not target.is_file() or source.stat().st_ctime_ns > target.stat().st_ctime_ns:
            return False
        data = target.read_bytes()
        if not self._is_own(data):
            return False
        noted = self._noted(target.with_name(REFINED))
        return self._line(data) in noted if self._how else _digest(data) not in noted

    def note(self, target: Path) -> None:
        """Note that a stream was refined, if it was."""
        if self._how:
            with target.with_name(REFINED).open("a") as file:
                file.write(self._line(target.read_bytes()) + "\n")

    def _noted(self, path: Path) -> set[str]:
        """The lines that earlier runs wrote, and the streams' digests in them."""
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
    """Which pictures a receiver needs not decode again.

    Args:
        receiver: That decodes them.
    """

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self._own = fingerprint(receiver.synthesis)

    def holds(self, packet: Packet, target: Path) -> bool:
        """Whether ``target`` is an undamaged PNG that this receiver decoded from this packet."""
        try:
            with Image.open(target) as file:
                source = file.info.get(_SOURCE)
                file.verify()
        except UNREADABLE:
            return False
        return source == self._source(packet)

    def write(self, packet: Packet, picture: NDArray[np.uint8], target: Path) -> None:
        """Write a decoded picture as a PNG, whole or not at all."""
        told = PngImagePlugin.PngInfo()
        told.add_text(_SOURCE, self._source(packet))
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "PNG", pnginfo=told)
        write_atomically(target, [file.getvalue()])

    def _source(self, packet: Packet) -> str:
        return hashlib.sha256(self._own.encode() + pack(packet)).hexdigest()


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
