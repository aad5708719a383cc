"""Encode pictures and videos to .vcm files, decode them, or say what is in one.

python tools/codec.py encode street.jpg -o street.vcm --transmitter work_dirs/demo/stage1_det/q2
python tools/codec.py encode pictures/ film.mp4 -o coded/ --transmitter CHECKPOINT --quality 3
python tools/codec.py export CHECKPOINT -o receiver.safetensors
python tools/codec.py decode street.vcm -o street.png --receiver receiver.safetensors
python tools/codec.py info street.vcm
"""

from __future__ import annotations

import argparse
import io
import sys
import warnings
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.command import command
from vcm_mt.apis.options import add_amp
from vcm_mt.apis.pictures import at_once, read_picture, to_array, to_tensor
from vcm_mt.apis.refined import refining
from vcm_mt.bitstream.container import (
    SequenceReader,
    SequenceWriter,
    is_sequence,
    unpack,
)
from vcm_mt.errors import BitstreamError, DataError, VCMError, told
from vcm_mt.files import ENDINGS, write_atomically

VIDEOS = frozenset({".mp4", ".mkv", ".mov", ".avi", ".webm", ".y4m", ".m4v"})


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_, inputs in (
        ("encode", "pictures, folders and videos to .vcm", "pictures, folders, videos"),
        ("decode", ".vcm to PNG", ".vcm files or folders of them"),
    ):
        command = commands.add_parser(name, help=help_)
        command.add_argument("inputs", nargs="+", type=Path, help=inputs)
        command.add_argument(
            "-o", "--out", type=Path, required=True, help="a file for one input, else a folder"
        )
        command.add_argument("--resume", action="store_true", help="skip what is done already")
        add_amp(command, "auto", "the transform")
    commands.choices["encode"].add_argument(
        "--transmitter", type=Path, required=True, help="checkpoint, or a training's folder"
    )
    commands.choices["encode"].add_argument(
        "--quality", type=int, help="level, of a transmitter that has several"
    )
    commands.choices["encode"].add_argument(
        "--refine", type=int, default=0, metavar="STEPS",
        help="refine each picture's latent through the frozen tasks (seconds a picture)",
    )  # fmt: skip
    commands.choices["encode"].add_argument(
        "--refine-config", help="config of the transmitter's training, whose tasks those are"
    )
    commands.choices["encode"].add_argument(
        "--refine-receivers", type=Path, nargs="+", default=[], metavar="FILE",
        help="receivers of stage 2 that those tasks look through",
    )  # fmt: skip
    decode = commands.choices["decode"]
    source = decode.add_mutually_exclusive_group(required=True)
    source.add_argument("--receiver", type=Path, help="file of a receiver (.safetensors)")
    source.add_argument("--transmitter", type=Path, help="checkpoint with its receivers, or folder")
    decode.add_argument("--name", help="which of a checkpoint's receivers")
    decode.add_argument("--base", type=Path, help="what a light receiver's file stands on")
    export = commands.add_parser("export", help="a small file with one receiver")
    export.add_argument("transmitter", type=Path, help="checkpoint, or a training's folder")
    export.add_argument("-o", "--out", type=Path, required=True, help="NAME.safetensors")
    export.add_argument("--name", help="which of its receivers")
    export.add_argument("--merge", action="store_true", help="a light receiver as a full one")
    info = commands.add_parser("info", help="what a .vcm file holds")
    info.add_argument("inputs", nargs="+", type=Path, help=".vcm files")
    options = parser.parse_args()
    if options.command == "encode" and bool(options.refine) != bool(options.refine_config):
        parser.error("--refine and --refine-config go together")
    if options.command == "encode" and options.refine_receivers and not options.refine:
        parser.error("--refine-receivers needs --refine")
    return options


def encode(options: argparse.Namespace) -> None:
    """Encode every input."""
    jobs = outputs(list(found(options.inputs, ENDINGS | VIDEOS)), options.out, ".vcm")
    if options.refine:
        transmitter = refining(
            options.refine_config, options.transmitter, options.refine, options.amp,
            receivers=options.refine_receivers,
        )  # fmt: skip
    else:
        transmitter = Transmitter.load(options.transmitter, options.amp)
    if options.resume:
        jobs = [job for job in jobs if not is_coded(job[1], transmitter, options.quality)]
    pictures = [job for job in jobs if job[0].suffix.lower() not in VIDEOS]
    num_bytes = num_pixels = 0
    with tqdm(total=len(pictures), unit="picture", disable=not pictures) as bar:
        for group in batches((source, target, read_picture(source)) for source, target in pictures):
            stacked = torch.cat([picture for *_, picture in group])
            coded = transmitter.encode_batch(stacked, options.quality)
            for (_, target, picture), data in zip(group, coded, strict=True):
                write_atomically(target, [data])
                num_bytes += len(data)
                num_pixels += picture.shape[-2] * picture.shape[-1]
            bar.update(len(group))
    if num_pixels:
        print(f"{num_bytes} bytes, {8 * num_bytes / num_pixels:.4f} bpp")
    for source, target in jobs:
        if source.suffix.lower() in VIDEOS:
            encode_video(transmitter, source, target, options.quality)


def is_coded(path: Path, transmitter: Transmitter, quality: int | None) -> bool:
    """Whether a file is there, and whole, and what that transmitter sends at that level."""
    if not path.exists():
        return False
    data = path.read_bytes()
    try:
        reader = SequenceReader(data) if is_sequence(data) else [unpack(data)]
        first = reader[0]
    except BitstreamError:
        return False
    network = transmitter.network
    wanted = (network.mark, network.quality if quality is None else quality)
    return getattr(reader, "whole", True) and (first.transmitter, first.quality) == wanted


def encode_video(transmitter: Transmitter, source: Path, target: Path, quality: int | None) -> None:
    """Encode every picture of a video on its own, as a sequence."""
    try:
        frames = imageio_ffmpeg.read_frames(str(source), pix_fmt="rgb24")
        meta = next(frames)
    except (OSError, RuntimeError, StopIteration) as error:
        (*_, last) = str(error).strip().splitlines() or [""]  # FFmpeg's banner stands before it
        raise DataError(f"{source} is not a readable video: {last}") from error
    width, height = meta["size"]
    rate = frame_rate(meta["fps"])
    buffer = io.BytesIO()
    writer = SequenceWriter(buffer, fps=(rate.numerator, rate.denominator))

    def parts() -> Iterator[bytes]:
        raw = (np.frombuffer(f, np.uint8).reshape(height, width, 3) for f in frames)
        total = round(meta["fps"] * meta["duration"])
        done = tqdm(raw, desc=source.name, total=total or None, unit="picture")
        for group in batches((source, target, to_tensor(frame)) for frame in done):
            stacked = torch.cat([picture for *_, picture in group])
            for data in transmitter.encode_batch(stacked, quality):
                writer.write(unpack(data))
            yield taken(buffer)
        if done.n < 0.98 * total - 1:
            warnings.warn(f"{source} breaks off: {done.n} of about {total} pictures", stacklevel=2)
        writer.close()
        yield taken(buffer)

    write_atomically(target, parts())


def frame_rate(told: float) -> Fraction:
    """Pictures per second as a fraction; television's, such as 29.97, are n * 1000/1001."""
    television = Fraction(round(told) * 1000, 1001)
    near = abs(told - television) < 0.006 and told != round(told)
    return television if near else Fraction(told).limit_denominator(1001)


def decode(options: argparse.Namespace) -> None:
    """Decode every input."""
    jobs = outputs(list(found(options.inputs, {".vcm"})), options.out, ".png")
    if options.resume:
        jobs = [job for job in jobs if not job[1].exists()]
    source = options.receiver or options.transmitter
    receiver = Receiver.load(source, options.name, options.amp, options.base)
    for source, target in tqdm(jobs, unit="file"):
        data = source.read_bytes()
        try:
            if is_sequence(data):
                decode_sequence(receiver, source, data, target.with_suffix(""), options.resume)
            else:
                write_png(receiver.decode(data), target)
        except BitstreamError as error:
            raise BitstreamError(f"{source}: {error}") from error


def decode_sequence(
    receiver: Receiver, source: Path, data: bytes, folder: Path, resume: bool
) -> None:
    """Decode a sequence into a folder of PNGs; with ``resume``, those that are not there yet.

    Raises:
        BitstreamError: When pictures are damaged, after the others were decoded.
    """
    reader = SequenceReader(data)
    if not reader.whole:
        warnings.warn(f"{source} was cut off: {len(reader)} whole pictures are left", stacklevel=2)
    folder.mkdir(parents=True, exist_ok=True)
    foreign = [p for p in folder.glob("[0-9]" * 6 + ".png") if int(p.stem) >= len(reader)]
    if foreign:
        warnings.warn(
            f"{folder} holds {len(foreign)} pictures of another sequence, from {min(foreign).name} "
            "on: they stay there",
            stacklevel=2,
        )
    targets = {number: folder / f"{number:06}.png" for number in range(len(reader))}
    waiting = [n for n, target in targets.items() if not (resume and target.exists())]
    damaged: list[BitstreamError] = []
    step = at_once(*reader.size)
    for start in tqdm(range(0, len(waiting), step), desc=source.name, unit="batch"):
        packets = {}
        for number in waiting[start : start + step]:
            try:
                packets[number] = reader[number]
            except BitstreamError as error:
                damaged.append(error)
        if not packets:
            continue
        pictures = receiver.decode_packets([*packets.values()])
        for number, picture in zip(packets, pictures, strict=True):
            write_png(to_array(picture[None]), targets[number])
    if damaged:
        raise BitstreamError(
            f"{damaged[0]}; {len(damaged)} of {len(reader)} pictures are lost, the others decoded"
        )


def export(options: argparse.Namespace) -> None:
    """Write a receiver's file."""
    receiver = Receiver.load(options.transmitter, options.name)
    if options.merge:
        receiver.merge()
    receiver.save(options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes")


def info(options: argparse.Namespace) -> None:
    """Print what is in each file."""
    for path in options.inputs:
        data = path.read_bytes()
        try:
            reader = SequenceReader(data) if is_sequence(data) else [unpack(data)]
        except BitstreamError as error:
            raise BitstreamError(f"{path}: {error}") from error
        first = reader[0]
        bpp = 8 * len(data) / (first.height * first.width * len(reader))
        lines = {
            "kind": "sequence" if isinstance(reader, SequenceReader) else "picture",
            "pictures": len(reader),
            "size": f"{first.width} x {first.height}",
            "quality": first.quality,
            "transmitter": first.transmitter.hex(),
            "bytes": len(data),
            "bpp": f"{bpp:.4f}",
        }
        if isinstance(reader, SequenceReader):
            lines["fps"] = "/".join(map(str, reader.fps))
            lines["whole"] = "yes" if reader.whole else "no: the file was cut off"
        print(path, *(f"  {name:12} {value}" for name, value in lines.items()), sep="\n")


def found(inputs: Iterable[Path], endings: frozenset[str] | set[str]) -> Iterator[Path]:
    """The files among the inputs and in the folders among them, in order."""
    for path in inputs:
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in endings]
            if not inside:
                raise DataError(f"no file to take in {path}: it needs {', '.join(sorted(endings))}")
            yield from inside
        elif path.is_file():
            yield path
        else:
            raise DataError(f"no file {path}")


def outputs(inputs: list[Path], out: Path, ending: str) -> list[tuple[Path, Path]]:
    """Each input with its output."""
    to_file = len(inputs) == 1 and not out.is_dir() and out.suffix.lower() == ending
    jobs = [(path, out if to_file else out / (path.stem + ending)) for path in inputs]
    if len({target for _, target in jobs}) < len(jobs):
        raise DataError("two inputs have the same name: encode them into different folders")
    (out.parent if to_file else out).mkdir(parents=True, exist_ok=True)
    return jobs


def batches(
    pictures: Iterable[tuple[Path, Path, Tensor]],
) -> Iterator[list[tuple[Path, Path, Tensor]]]:
    """Groups of following pictures of one size."""
    group: list[tuple[Path, Path, Tensor]] = []
    for one in pictures:
        full = len(group) == at_once(*one[2].shape[-2:])
        if group and (full or one[2].shape != group[0][2].shape):
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def taken(buffer: io.BytesIO) -> bytes:
    """What a buffer holds; it is empty after that."""
    data = buffer.getvalue()
    buffer.seek(0)
    buffer.truncate()
    return data


def write_png(picture: np.ndarray, path: Path) -> None:
    """Write a PNG, whole or not at all."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    write_atomically(path, [file.getvalue()])


@command("the same command with --resume goes on")
def main() -> int:
    """Run the command."""
    options = parse_args()
    try:
        run = {"encode": encode, "decode": decode, "export": export, "info": info}
        run[options.command](options)
    except VCMError as error:
        print(told(error), file=sys.stderr)
        return 1
    except OSError as error:  # a file that is not there, a folder that cannot be written
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
