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
import re
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.done import Coded, Decoded
from vcm_mt.apis.pictures import at_once, read_picture, to_array, to_tensor
from vcm_mt.apis.refined import refining
from vcm_mt.apis.videos import ENDINGS as VIDEOS
from vcm_mt.apis.videos import breaks_off, open_video
from vcm_mt.bitstream.container import SequenceReader, SequenceWriter, is_sequence, unpack
from vcm_mt.cli.command import command
from vcm_mt.cli.options import add_amp
from vcm_mt.errors import BitstreamError, DataError
from vcm_mt.files import ENDINGS, UNREADABLE, write_atomically

#: An input and its output.
Job = tuple[Path, Path]


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
        command.add_argument("--device", help="cpu or cuda[:N]; default a GPU if there is one")
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
    videos = {job for job in jobs if is_video(job[0])}
    if options.refine:
        transmitter = refining(
            options.refine_config, options.transmitter, options.refine, options.amp,
            receivers=options.refine_receivers, device=options.device,
        )  # fmt: skip
    else:
        transmitter = Transmitter.load(options.transmitter, options.amp, options.device)
    done = Coded(transmitter, options.quality)
    if options.resume:
        number, jobs = len(jobs), [job for job in jobs if not done.holds(*job)]
        print(
            f"{number - len(jobs)} of {number} streams stay: whole, of this transmitter and level, "
            f"{'' if options.refine else 'not '}refined, and newer than their pictures"
        )
    encode_pictures(transmitter, [job for job in jobs if job not in videos], done, options.quality)
    for job in jobs:
        if job in videos:
            encode_video(transmitter, *job, options.quality)
            done.note(job[1])


def encode_pictures(
    transmitter: Transmitter, jobs: list[Job], done: Coded, quality: int | None
) -> None:
    """Encode pictures, those of one size that follow each other together."""
    # Refining takes seconds a picture: each is written as soon as it is done.
    most = None if transmitter.refiner is None else 1
    num_bytes = num_pixels = 0
    with tqdm(total=len(jobs), unit="picture", disable=not jobs) as bar:
        for group in batches(((*job, read_picture(job[0])) for job in jobs), most):
            stacked = torch.cat([picture for *_, picture in group])
            coded = transmitter.encode_batch(stacked, quality)
            for (_, target, picture), data in zip(group, coded, strict=True):
                write_atomically(target, [data])
                done.note(target)
                num_bytes += len(data)
                num_pixels += picture.shape[-2] * picture.shape[-1]
            bar.update(len(group))
    if num_pixels:
        print(f"{num_bytes} bytes, {8 * num_bytes / num_pixels:.4f} bpp")


def is_video(path: Path) -> bool:
    """Whether a file is a video, by its ending; a picture may have any ending.

    Raises:
        DataError: For neither.
    """
    ending = path.suffix.lower()
    if ending in ENDINGS | VIDEOS:
        return ending in VIDEOS
    try:
        with Image.open(path):
            return False
    except UNREADABLE as error:
        raise DataError(
            f"{path} is not a readable picture ({error}), and videos are taken as "
            f"{', '.join(sorted(VIDEOS))}"
        ) from error


def encode_video(transmitter: Transmitter, source: Path, target: Path, quality: int | None) -> None:
    """Encode every picture of a video on its own, as a sequence."""
    video = open_video(source)
    buffer = io.BytesIO()
    writer = SequenceWriter(buffer, fps=(video.fps.numerator, video.fps.denominator))

    def parts() -> Iterator[bytes]:
        done = tqdm(video.pictures, desc=source.name, total=video.length or None, unit="picture")
        for group in batches((source, target, to_tensor(picture)) for picture in done):
            stacked = torch.cat([picture for *_, picture in group])
            for data in transmitter.encode_batch(stacked, quality):
                writer.write(unpack(data))
            yield taken(buffer)
        if breaks_off(video, done.n):
            told = f"{source} breaks off: {done.n} of about {video.length} pictures"
            warnings.warn(told, stacklevel=2)
        writer.close()
        yield taken(buffer)

    write_atomically(target, parts())


def decode(options: argparse.Namespace) -> None:
    """Decode every input."""
    jobs = outputs(list(found(options.inputs, {".vcm"})), options.out, ".png")
    source = options.receiver or options.transmitter
    receiver = Receiver.load(source, options.name, options.amp, options.base, options.device)
    done = Decoded(receiver)
    for source, target in tqdm(jobs, unit="file"):
        data = source.read_bytes()
        try:
            if not is_sequence(data):
                packet = unpack(data)
                if not (options.resume and done.holds(packet, target)):
                    done.write(packet, to_array(receiver.decode_packets([packet])), target)
            elif target == options.out:
                raise DataError(f"{source} is a sequence of pictures: name a folder, not {target}")
            else:
                decode_sequence(done, source, data, target.with_suffix(""), options.resume)
        except BitstreamError as error:
            raise BitstreamError(f"{source}: {error}") from error


def decode_sequence(done: Decoded, source: Path, data: bytes, folder: Path, resume: bool) -> None:
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


def export(options: argparse.Namespace) -> None:
    """Write a receiver's file."""
    receiver = Receiver.load(options.transmitter, options.name, device="cpu")
    if options.merge:
        receiver.merge()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    receiver.save(options.out)
    print(f"{options.out}: {options.out.stat().st_size} bytes")


def info(options: argparse.Namespace) -> None:
    """Print what is in each file.

    Raises:
        BitstreamError: When one is damaged, after all others were told of.
    """
    failed: list[str] = []
    for path in options.inputs:
        data = path.read_bytes()
        try:
            reader = SequenceReader(data) if is_sequence(data) else [unpack(data)]
        except BitstreamError as error:
            failed.append(f"{path}: {error}")
            continue
        header = reader.header if isinstance(reader, SequenceReader) else reader[0]
        bpp = 8 * len(data) / (header.height * header.width * len(reader))
        lines = {
            "kind": "sequence" if isinstance(reader, SequenceReader) else "picture",
            "pictures": len(reader),
            "size": f"{header.width} x {header.height}",
            "quality": header.quality,
            "transmitter": header.transmitter.hex(),
            "bytes": len(data),
            "bpp": f"{bpp:.4f}",
        }
        if isinstance(reader, SequenceReader):
            lines["fps"] = "/".join(map(str, reader.fps))
            lines["whole"] = "yes" if reader.whole else "no: the file was cut off"
            if damaged := reader.damaged():
                lines["damaged"] = f"{len(damaged)}, the first is picture {min(damaged)}"
                failed.append(f"{path}: {damaged[min(damaged)]}")
        print(path, *(f"  {name:12} {value}" for name, value in lines.items()), sep="\n")
    if failed:
        raise BitstreamError("\n".join(failed))


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


def outputs(inputs: list[Path], out: Path, ending: str) -> list[Job]:
    """Each input with its output.

    Raises:
        DataError: When ``out`` looks like another file than can be written, or two inputs would
            become one file.
    """
    to_file = len(inputs) == 1 and not out.is_dir() and out.suffix.lower() == ending
    if not to_file and not out.is_dir() and re.fullmatch(r"\.[A-Za-z]\w*", out.suffix):
        raise DataError(
            f"{out} is neither a folder nor a {ending} file for one input: name one of them, and "
            f"make a folder before that has a name as {out.name}"
        )
    jobs = [(path, out if to_file else out / (path.stem + ending)) for path in inputs]
    if len({target for _, target in jobs}) < len(jobs):
        raise DataError("two inputs have the same name: encode them into different folders")
    (out.parent if to_file else out).mkdir(parents=True, exist_ok=True)
    return jobs


def batches(
    pictures: Iterable[tuple[Path, Path, Tensor]], most: int | None = None
) -> Iterator[list[tuple[Path, Path, Tensor]]]:
    """Groups of following pictures of one size, of ``most`` or of as many as memory allows."""
    group: list[tuple[Path, Path, Tensor]] = []
    for one in pictures:
        full = len(group) == (most or at_once(*one[2].shape[-2:]))
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


@command("the same command with --resume goes on")
def main() -> None:
    """Run the command."""
    options = parse_args()
    run = {"encode": encode, "decode": decode, "export": export, "info": info}
    run[options.command](options)
