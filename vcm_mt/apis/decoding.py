"""Decoding of ``.vcm`` files to PNG files."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from vcm_mt.apis.codec import Receiver
from vcm_mt.apis.done import Decoded
from vcm_mt.apis.encoding import input_files, output_files
from vcm_mt.apis.pictures import at_once, to_array
from vcm_mt.bitstream.container import SequenceReader, is_sequence, unpack
from vcm_mt.errors import BitstreamError, DataError


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
    waiting = [n for n, path in targets.items() if not (resume and done.holds(reader[n], path))]
    step = at_once(*reader.size)
    for start in tqdm(range(0, len(waiting), step), desc=source.name, unit="batch"):
        packets = {number: reader[number] for number in waiting[start : start + step]}
        pictures = done.receiver.decode_packets([*packets.values()])
        for (number, packet), picture in zip(packets.items(), pictures, strict=True):
            done.write(packet, to_array(picture[None]), targets[number])
    if damaged:
        raise BitstreamError(
            f"{damaged[min(damaged)]}; {len(damaged)} of {len(reader)} pictures are lost, the "
            "others decoded"
        )


def _warn_of_others(folder: Path, count: int) -> None:
    """Warn if a folder has numbered pictures beyond those of a sequence."""
    others = [p for p in folder.glob("[0-9]" * 6 + ".png") if int(p.stem) >= count]
    if others:
        warnings.warn(
            f"{folder} has {len(others)} pictures of another sequence, from {min(others).name} "
            "on: they are kept",
            stacklevel=3,
        )
