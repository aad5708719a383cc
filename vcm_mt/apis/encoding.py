"""Encoding of picture files and videos to ``.vcm`` files."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.done import Coded
from vcm_mt.apis.pictures import at_once, read_picture, to_tensor
from vcm_mt.apis.raw import RawOptions
from vcm_mt.apis.sequences import KEY_INTERVAL, VideoEncoder
from vcm_mt.apis.videos import ENDINGS as VIDEOS
from vcm_mt.apis.videos import breaks_off, open_video
from vcm_mt.bitstream.container import unpack
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.files import ENDINGS, UNREADABLE, write_atomically
from vcm_mt.structures import Packet

#: A file to read and the file to write.
Job = tuple[Path, Path]


def encode_files(
    transmitter: Transmitter,
    inputs: Sequence[Path],
    out: Path,
    quality: int | None = None,
    resume: bool = False,
    key_interval: int = KEY_INTERVAL,
    raw: RawOptions = RawOptions(),  # noqa: B008
) -> None:
    """Encode pictures, videos, and the pictures and videos in folders; print the rate.

    Args:
        transmitter: The transmitter, with its refiner if it has one.
        inputs: Files and folders.
        out: A ``.vcm`` file for one input, otherwise a folder.
        quality: The quality, if the transmitter has several.
        resume: Skip streams that are complete, of this transmitter and quality, refined if and only
            if it refines, and newer than their pictures.
        key_interval: For videos and a transmitter with a temporal prior, see
            :class:`vcm_mt.apis.sequences.VideoEncoder`; 1 codes each picture by itself.
        raw: What the names of raw sequences (``.yuv``) do not say.

    Raises:
        DataError: If an input cannot be read, or ``out`` does not fit the inputs.
    """
    jobs = output_files(list(input_files(inputs, ENDINGS | VIDEOS)), out, ".vcm")
    videos = {job for job in jobs if is_video(job[0])}
    done = Coded(transmitter, quality)
    if resume:
        number, jobs = len(jobs), [job for job in jobs if not done.holds(*job)]
        refined = "not refined" if transmitter.refiner is None else "refined"
        print(
            f"{number - len(jobs)} of {number} streams stay: complete, of this transmitter and "
            f"quality, {refined}, and newer than their pictures"
        )
    _encode_pictures(transmitter, [job for job in jobs if job not in videos], done, quality)
    for job in jobs:
        if job in videos:
            _encode_video(transmitter, job, quality, key_interval, raw)
            done.note(job[1])


def input_files(inputs: Iterable[Path], endings: Collection[str]) -> Iterator[Path]:
    """The files among the inputs, and the files with one of the endings in the folders, in order.

    Raises:
        DataError: If an input does not exist, or a folder has no such file.
    """
    for path in inputs:
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in endings]
            if not inside:
                raise DataError(f"no file to read in {path}: it needs {', '.join(sorted(endings))}")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise DataError(f"no file {path}")


def output_files(inputs: list[Path], out: Path, ending: str) -> list[Job]:
    """Pair each input with its output, and create the output's folder.

    Raises:
        DataError: If ``out`` is neither a folder nor a file with the ending, or two inputs would
            have the same output.
    """
    to_file = len(inputs) == 1 and not out.is_dir() and out.suffix.lower() == ending
    if not to_file and not out.is_dir() and re.fullmatch(r"\.[A-Za-z]\w*", out.suffix):
        raise DataError(
            f"{out} is neither a folder nor a {ending} file for one input: give one of them, and "
            f"create the folder first if its name is to be {out.name}"
        )
    jobs = [(path, out if to_file else out / (path.stem + ending)) for path in inputs]
    if len({target for _, target in jobs}) < len(jobs):
        raise DataError("two inputs have the same name: encode them into different folders")
    (out.parent if to_file else out).mkdir(parents=True, exist_ok=True)
    return jobs


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its ending; a picture may have any ending.

    Raises:
        DataError: If it is neither a video nor a picture.
    """
    ending = path.suffix.lower()
    if ending in ENDINGS | VIDEOS:
        return ending in VIDEOS
    try:
        with Image.open(path):
            return False
    except UNREADABLE as error:
        raise DataError(
            f"{path} is not a readable picture ({error}), and the endings of videos are "
            f"{', '.join(sorted(VIDEOS))}"
        ) from error


def _encode_pictures(
    transmitter: Transmitter, jobs: list[Job], done: Coded, quality: int | None
) -> None:
    """Encode pictures; consecutive ones of equal size are encoded together."""
    # Refining takes seconds per picture: each stream is written as soon as it is done.
    most = None if transmitter.refiner is None else 1
    num_bytes = num_pixels = 0
    with tqdm(total=len(jobs), unit="picture", disable=not jobs) as bar:
        for group in _batches(((*job, read_picture(job[0])) for job in jobs), most):
            coded = transmitter.encode_batch(torch.cat([picture for *_, picture in group]), quality)
            for (_, target, picture), data in zip(group, coded, strict=True):
                write_atomically(target, [data])
                done.note(target)
                num_bytes += len(data)
                num_pixels += picture.shape[-2] * picture.shape[-1]
            bar.update(len(group))
    if num_pixels:
        print(f"{num_bytes} bytes, {8 * num_bytes / num_pixels:.4f} bpp")


def _encode_video(
    transmitter: Transmitter, job: Job, quality: int | None, key_interval: int, raw: RawOptions
) -> None:
    """Encode a video as a sequence."""
    source, target = job
    video = open_video(source, raw)
    buffer = io.BytesIO()
    writer = SequenceWriter(buffer, fps=(video.fps.numerator, video.fps.denominator))

    def parts() -> Iterator[bytes]:
        done = tqdm(video.pictures, desc=source.name, total=video.length or None, unit="picture")
        for packets in packets_of(transmitter, done, quality, key_interval):
            for packet in packets:
                writer.write(packet)
            yield _taken(buffer)
        if breaks_off(video, done.n):
            reason = f"{source} breaks off: {done.n} of about {video.length} pictures"
            warnings.warn(reason, stacklevel=2)
        writer.close()
        yield _taken(buffer)

    write_atomically(target, parts())


def packets_of(
    transmitter: Transmitter,
    pictures: Iterable[Any],
    quality: int | None = None,
    key_interval: int = KEY_INTERVAL,
    most: int | None = None,
) -> Iterator[list[Packet]]:
    """Encode the pictures of a video.

    Args:
        transmitter: The transmitter.
        pictures: See :func:`vcm_mt.apis.pictures.to_tensor`.
        quality: The quality, if the transmitter has several.
        key_interval: See :class:`vcm_mt.apis.sequences.VideoEncoder`.
        most: How many pictures are encoded together; by default as many as memory allows.

    Yields:
        The packets of a few pictures at a time; of one if they are predicted.

    Raises:
        ConfigError: If the key interval is below 1.
    """
    if key_interval < 1:
        raise ConfigError(f"the key interval must be 1 or more, not {key_interval}")
    if transmitter.network.temporal is not None and key_interval > 1:
        encoder = VideoEncoder(transmitter, quality, key_interval)
        yield from ([encoder.encode(picture)] for picture in pictures)
        return
    nowhere = Path()
    for group in _batches(((nowhere, nowhere, to_tensor(one)) for one in pictures), most):
        stacked = torch.cat([picture for *_, picture in group])
        yield [unpack(data) for data in transmitter.encode_batch(stacked, quality)]


def _batches(
    pictures: Iterable[tuple[Path, Path, Tensor]], most: int | None = None
) -> Iterator[list[tuple[Path, Path, Tensor]]]:
    """Group consecutive pictures of equal size, at most ``most`` or as many as memory allows."""
    group: list[tuple[Path, Path, Tensor]] = []
    for one in pictures:
        if group and one[2].shape != group[0][2].shape:
            yield group
            group = []
        group.append(one)
        if len(group) == (most or at_once(*one[2].shape[-2:])):
            yield group
            group = []
    if group:
        yield group


def _taken(buffer: io.BytesIO) -> bytes:
    """The content of a buffer, which is emptied."""
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data
