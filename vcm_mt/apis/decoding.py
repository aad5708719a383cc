"""Decoding of ``.vcm`` files to PNG files."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from vcm_mt.apis.codec import Receiver
from vcm_mt.apis.done import Decoded
from vcm_mt.apis.encoding import input_files, output_files
from vcm_mt.apis.pictures import to_array
from vcm_mt.apis.sequences import decoded
from vcm_mt.bitstream.container import is_sequence, unpack
from vcm_mt.bitstream.sequence import SequenceReader
from vcm_mt.errors import BitstreamError, DataError
from vcm_mt.structures import Packet


def decode_files(
    receiver: Receiver, inputs: Sequence[Path], out: Path, resume: bool = False
) -> None:
    """Decode ``.vcm`` files, and those in folders; a sequence becomes a folder of PNG files.

    Args:
        receiver: The receiver.
        inputs: Files and folders.
        out: A ``.png`` file for one picture, otherwise a folder.
        resume: Skip pictures that this receiver has already decoded from the same packet.

    Raises:
        DataError: If an input does not exist, or ``out`` does not fit the inputs.
        BitstreamError: If a file is damaged or of another transmitter.
    """
    jobs = output_files(list(input_files(inputs, {".vcm"})), out, ".png")
    done = Decoded(receiver)
    for source, target in tqdm(jobs, unit="file"):
        data = source.read_bytes()
        try:
            if is_sequence(data):
                if target == out:
                    raise DataError(
                        f"{source} is a sequence of pictures: give a folder, not {target}"
                    )
                _decode_sequence(done, source, data, target.with_suffix(""), resume)
            else:
                packet = unpack(data)
                if not (resume and done.holds(packet, target)):
                    done.write(packet, to_array(receiver.decode_packets([packet])), target)
        except BitstreamError as error:
            raise BitstreamError(f"{source}: {error}") from error


def _decode_sequence(done: Decoded, source: Path, data: bytes, folder: Path, resume: bool) -> None:
    """Decode a sequence into a folder; with ``resume``, only pictures that are missing there.

    Raises:
        BitstreamError: If pictures are damaged, after the others were decoded.
    """
    reader = SequenceReader(data)
    if not reader.whole:
        warnings.warn(f"{source} was cut off: {len(reader)} whole pictures are left", stacklevel=2)
    folder.mkdir(parents=True, exist_ok=True)
    _warn_of_others(folder, len(reader))
    damaged = reader.damaged()
    targets = {n: folder / f"{n:06}.png" for n in range(len(reader)) if n not in damaged}
    sources = dict(_sources(reader, damaged))
    waiting = [n for n, path in targets.items() if not (resume and done.holds(sources[n], path))]
    found = decoded(done.receiver, reader, waiting)
    for number, picture in tqdm(found, total=len(waiting), desc=source.name, unit="picture"):
        done.write(sources[number], picture, targets[number])
    if damaged:
        raise BitstreamError(
            f"{damaged[min(damaged)]}; {len(damaged)} of {len(reader)} pictures are lost, the "
            "others decoded"
        )


def _sources(reader: SequenceReader, damaged: Collection[int]) -> Iterator[tuple[int, Packet]]:
    """What decides each undamaged picture: its packet, of a predicted one with those before it."""
    before = b""
    for number in range(len(reader)):
        if number in damaged:
            continue
        packet = reader[number]
        seen = before if packet.predicted else b""
        before = hashlib.sha256(seen + packet.string).digest()
        yield number, replace(packet, string=before) if packet.predicted else packet


def _warn_of_others(folder: Path, count: int) -> None:
    """Warn if a folder has numbered pictures beyond those of a sequence."""
    others = [p for p in folder.glob("[0-9]" * 6 + ".png") if int(p.stem) >= count]
    if others:
        warnings.warn(
            f"{folder} has {len(others)} pictures of another sequence, from {min(others).name} "
            "on: they are kept",
            stacklevel=3,
        )
