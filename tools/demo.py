"""Photographs for people and machines, then the whole chain on the embedded set.

python tools/demo.py            minutes: four levels, trained briefly
python tools/demo.py --long     some three hours: six levels as the paper trains them, and more;
                                can be stopped and resumed
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger
from PIL import Image

from vcm_mt.apis.codec import Receiver, Transmitter
from vcm_mt.apis.pictures import read_picture
from vcm_mt.cli.command import command
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.datasets.mini import prepare
from vcm_mt.report.experiment import run
from vcm_mt.visualization import to_uint8

SHORT = ("configs/experiments/demo.py", Path("work_dirs/demo"))
LONG = ("configs/experiments/mini.py", Path("work_dirs/bench_rp"))
#: Photographs of scikit-image.
PHOTOGRAPHS = ("chelsea.png", "coffee.png", "motorcycle_left.png")
LEVEL = 3


def photographs(folder: Path) -> None:
    """Send photographs by the zoo's codec, and show what the receiver for people makes of them."""
    transmitter = Transmitter.load(f"zoo://photos_det_{LEVEL}")
    receiver = Receiver.load(f"zoo://photos_human_{LEVEL}")
    # The first picture of some size loads compiled code and prepares weights.
    receiver.decode(transmitter.encode(np.zeros((256, 256, 3), np.uint8)))
    folder.mkdir(parents=True, exist_ok=True)
    rows, pairs = [], []
    for name in PHOTOGRAPHS:
        original = to_uint8(read_picture(Path(str(files("skimage.data") / name))))
        start = time.perf_counter()
        data = transmitter.encode(original)
        sent = time.perf_counter()
        decoded = receiver.decode(data)
        received = time.perf_counter()
        (folder / name).with_suffix(".vcm").write_bytes(data)
        Image.fromarray(decoded).save(folder / name)
        error = np.square(original.astype(float) - decoded).mean()
        height, width = original.shape[:2]
        rows.append(
            [
                name,
                f"{width}x{height}",
                f"{len(data)}",
                f"{8 * len(data) / (height * width):.3f}",
                f"{10 * np.log10(255**2 / error):.1f}",
                f"{1e3 * (sent - start):.0f}",
                f"{1e3 * (received - sent):.0f}",
            ]
        )
        pairs.append(np.hstack([original, decoded])[:400])
    header = ["photograph", "size", "bytes", "bpp", "PSNR (dB)", "encode (ms)", "decode (ms)"]
    print(markdown_table(header, rows))
    wide = max(pair.shape[1] for pair in pairs)
    pairs = [np.pad(one, ((0, 0), (0, wide - one.shape[1]), (0, 0))) for one in pairs]
    Image.fromarray(np.vstack(pairs)).save(folder / "pictures.jpg", quality=92)
    print(f"originals, and what people get: {folder / 'pictures.jpg'}")


@command("the same command goes on")
def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="the full experiment")
    options = parser.parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    config, folder = LONG if options.long else SHORT
    if not options.long:
        print("\n== photographs, by the zoo's codec", flush=True)
        photographs(folder / "photographs")
    print("\n== the embedded set", flush=True)
    prepare(Path("data/mini"))
    run(config, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
