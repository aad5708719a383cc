"""Damage streams in many ways, and check that each is refused with one kind of error.

python tools/benchmarks/fuzz.py --cases 100000 --seed 0

The corpus is tests/golden. A damaged stream must be refused by a BitstreamError, or hold pictures
that were sent; where the checksum was mended after the damage, as an attacker would, it may also
decode to another picture of the size that its header claims. Anything else, another exception, too
much memory or time, fails.
"""

from __future__ import annotations

import argparse
import io
import random
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver
from vcm_mt.apis.sequences import VideoDecoder
from vcm_mt.bitstream import fields
from vcm_mt.bitstream.container import is_sequence, unpack
from vcm_mt.bitstream.sequence import SequenceReader, SequenceWriter
from vcm_mt.bitstream.stream import StreamReader
from vcm_mt.bitstream.temporal import TemporalPrior
from vcm_mt.cli.command import command
from vcm_mt.errors import BitstreamError
from vcm_mt.structures import Packet
from vcm_mt.training.processes import peak_memory

CORPUS = Path("tests/golden")
M = 12  # channels of the corpus' latents
MEMORY_GIB = 3.0
SLOWEST_S = 20.0

Damage = Callable[[bytes, random.Random], bytes]


def flip(data: bytes, chance: random.Random) -> bytes:
    """Flip one to eight bits."""
    out = bytearray(data)
    for _ in range(chance.randint(1, 8)):
        out[chance.randrange(len(out))] ^= 1 << chance.randrange(8)
    return bytes(out)


def cut(data: bytes, chance: random.Random) -> bytes:
    """Cut the stream at a random place."""
    return data[: chance.randrange(len(data))]


def splice(data: bytes, chance: random.Random) -> bytes:
    """Put a piece of the stream somewhere else, or noise in its place."""
    start, end = sorted(chance.choices(range(len(data) + 1), k=2))
    piece = data[start:end] if chance.random() < 0.5 else chance.randbytes(chance.randrange(64))
    at = chance.randrange(len(data) + 1)
    return data[:at] + piece + data[at + len(piece) * chance.randint(0, 1) :]


def lie(data: bytes, chance: random.Random) -> bytes:
    """Another size in the header, up to 2^35."""
    sizes = (0, 1, 64, 65535, 65536, 65537, 1 << 27, (1 << 31) - 1, 1 << 31, (1 << 35) - 1)
    header, at = fields.read_header(data)
    del header
    height, width = (fields.varint(chance.choice(sizes)) for _ in range(2))
    return data[: fields.FIXED_BYTES] + height + width + data[at:]


def noise(data: bytes, chance: random.Random) -> bytes:
    """A valid header, then random bytes."""
    keep = chance.randrange(fields.FIXED_BYTES + 6)
    return data[:keep] + chance.randbytes(chance.randrange(400))


DAMAGES: tuple[Damage, ...] = (flip, cut, splice, lie, noise)


def mend(data: bytes) -> bytes:
    """Replace the checksum by the right one."""
    return fields.checked(data[:-4])


def read(receiver: Receiver, data: bytes) -> set[Packet]:
    """Decode a file as a program would; return the pictures that it accepts."""
    if is_predicted(data):
        return watch(receiver, data)
    packets = list(SequenceReader(data)) if is_sequence(data) else [unpack(data)]
    for packet in packets:
        picture = receiver.decode_packets([packet])
        if picture.shape != (1, 3, packet.height, packet.width):
            raise AssertionError(f"a picture of {tuple(picture.shape)}")
    return set(packets)


def is_predicted(data: bytes) -> bool:
    """Whether the bytes begin as a sequence of version 2."""
    return is_sequence(data) and fields.version_of(data)[0] == fields.PREDICTED


def watch(receiver: Receiver, data: bytes) -> set[Packet]:
    """Decode a video while it arrives, and what of it stands in a file."""
    accepted = set()
    decoder = VideoDecoder(receiver)
    for packet in StreamReader(io.BytesIO(data)):
        if packet is None:
            decoder.lose()
        else:
            decoder.latent(packet)
            accepted.add(packet)
    reader = SequenceReader(data)
    damaged = reader.damaged()
    return accepted | {reader[number] for number in range(len(reader)) if number not in damaged}


def corpus() -> list[bytes]:
    """Single pictures, a sequence of each, and a video of predicted pictures."""
    streams = [path.read_bytes() for path in sorted(CORPUS.glob("*.vcm"))]
    pictures = [stream for stream in streams if not is_sequence(stream)]
    return [*streams, *(sequence(unpack(picture), 3) for picture in pictures)]


def sequence(packet: Packet, count: int) -> bytes:
    """A picture several times."""
    file = io.BytesIO()
    writer = SequenceWriter(file)
    for _ in range(count):
        writer.write(packet)
    writer.close()
    return file.getvalue()


def swap(data: bytes, other: bytes) -> bytes:
    """The header of one sequence, what follows it of another."""
    ends = []
    for stream in (data, other):
        reader = SequenceReader(stream)
        ends.append(reader._places[0][0])
    return data[: ends[0]] + other[ends[1] :]


@command("start it again")
def main() -> int:
    """Run the cases."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    receiver = Receiver.load(CORPUS / "codec.pth")
    receiver.prior = TemporalPrior(M, 8)
    receiver.prior.load_state_dict(torch.load(CORPUS / "prior.pth", weights_only=True))
    streams = corpus()
    sequences = [stream for stream in streams if is_sequence(stream)]
    sent = {unpack(stream) for stream in streams if not is_sequence(stream)}
    for stream in filter(is_predicted, streams):
        sent |= set(SequenceReader(stream))
    ends: Counter[str] = Counter()
    slowest = 0.0
    for case in tqdm(range(options.cases), unit="case"):
        chance = random.Random(f"{options.seed} {case}")
        stream = chance.choice(streams)
        damage = chance.choice(DAMAGES)
        if damage is splice and is_sequence(stream) and chance.random() < 0.5:
            data = swap(stream, chance.choice([one for one in sequences if one != stream]))
        else:
            data = damage(stream, chance)
        # A sequence's pictures have checksums of their own, which stay as they are.
        mended = not is_sequence(stream) and len(data) > 8 and chance.random() < 0.3
        data = mend(data) if mended else data
        start = time.monotonic()
        try:
            accepted = read(receiver, data)
        except BitstreamError:
            ends["refused"] += 1
        else:
            fine = mended or accepted <= sent
            ends["valid" if fine else "WRONG"] += 1
            if not fine:
                print(f"case {case}: {damage.__name__} was accepted")
        slowest = max(slowest, time.monotonic() - start)
    memory = peak_memory() / 2**30
    print(f"{dict(ends)}; slowest {slowest:.2f} s; {memory:.2f} GiB at most")
    return int(bool(ends["WRONG"]) or memory > MEMORY_GIB or slowest > SLOWEST_S)


if __name__ == "__main__":
    sys.exit(main())
