"""Send a long live video of small pictures: does memory grow, and does a picture ever take long?

python tools/benchmarks/bench_live.py --pictures 90000

The codec is that of tests/golden with its temporal prior. Every picture is encoded, written, read
and decoded before the next one comes, as through a pipe.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import torch
from numpy.typing import NDArray
from skimage import data
from tqdm import tqdm

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.encoding import packets_of
from vcm_mt.apis.sequences import VideoDecoder
from vcm_mt.bitstream.sequence import SequenceWriter
from vcm_mt.bitstream.stream import StreamReader
from vcm_mt.bitstream.temporal import TemporalPrior
from vcm_mt.cli.command import command

CORPUS = Path("tests/golden")
SIDE = 64
#: Pictures before the first look at memory: libraries have allocated what they keep.
WARM = 200


class Pipe:
    """A pipe between two threads that counts nothing and keeps no more than what is unread."""

    def __init__(self) -> None:
        self._chunks: queue.Queue[bytes] = queue.Queue()

    def write(self, chunk: bytes) -> None:
        """Put bytes in."""
        self._chunks.put(bytes(chunk))

    def read(self, size: int = -1) -> bytes:  # noqa: ARG002
        """Take the next bytes out; waits for them."""
        return self._chunks.get()


def camera(count: int) -> Iterator[NDArray[np.uint8]]:
    """A view that wanders over a photograph, with the noise of a sensor."""
    rng, scene = np.random.default_rng(0), data.astronaut()
    down, right = 200, 200
    for _ in range(count):
        down, right = (
            int(np.clip(at + rng.integers(-1, 2), 0, 512 - SIDE)) for at in (down, right)
        )
        view = scene[down : down + SIDE, right : right + SIDE]
        yield np.clip(view + rng.integers(-3, 4, view.shape), 0, 255).astype(np.uint8)


@command("start it again")
def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=90_000)
    options = parser.parse_args()
    torch.set_num_threads(1)
    sender = Transmitter.load(CORPUS / "codec.pth")
    receiver = Receiver.load(CORPUS / "codec.pth")
    prior = TemporalPrior(12, 8)
    prior.load_state_dict(torch.load(CORPUS / "prior.pth", weights_only=True))
    sender.network.temporal = receiver.prior = prior
    pipe, shown = Pipe(), threading.Semaphore(0)

    def watch() -> None:
        decoder = VideoDecoder(receiver)
        for packet in StreamReader(pipe):  # type: ignore[arg-type]
            assert packet is not None
            decoder.decode(packet)
            shown.release()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    writer, process = SequenceWriter(pipe), psutil.Process()  # type: ignore[arg-type]
    times, memory, sent = [], [], 0
    pictures = tqdm(camera(options.pictures), total=options.pictures, unit="picture")
    start = time.perf_counter()
    for number, packets in enumerate(packets_of(sender, pictures, most=1)):
        for packet in packets:
            writer.write(packet)
            sent += len(packet.string)
        if not shown.acquire(timeout=60):
            raise RuntimeError("the receiver stopped: see what it said")
        now = time.perf_counter()
        if number >= WARM:
            times.append(now - start)
            if number % max(1, options.pictures // 100) == 0 or number == WARM:
                memory.append(process.memory_info().rss / 2**20)
        start = now
    median, p99 = np.percentile(times, [50, 99])
    told = {
        "pictures": options.pictures,
        "bytes a picture": sent / options.pictures,
        "median (ms)": 1e3 * median,
        "p99 over median": p99 / median,
        "MiB at first": memory[0],
        "MiB at last": memory[-1],
        "growth (%)": 100 * (memory[-1] / memory[0] - 1),
    }
    print(json.dumps({name: round(value, 3) for name, value in told.items()}, indent=1))


if __name__ == "__main__":
    sys.exit(main())
