"""Train the entropy model of a codec alone, on latents that are computed once.

python tools/dev/tune_entropy.py CHECKPOINT FOLDER --pictures DIR

``g_a`` and the receivers stay as they are, so that a step costs a hundredth of one of stage 1. The
loss is the rate of each quality relative to where it starts. The result is a new transmitter.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from tqdm import tqdm

from vcm_mt.apis.encoding import input_files
from vcm_mt.apis.loading import load_training
from vcm_mt.apis.pictures import read_picture
from vcm_mt.cli.command import command
from vcm_mt.files import ENDINGS
from vcm_mt.models.transmitter import Transmitter

#: A picture's latent and its number of pixels.
Sample = tuple[Tensor, int]


def samples(network: Transmitter, folder: Path, times: int) -> list[Sample]:
    """The latents of each picture as it is and, mirrored at random and resized, some times more."""
    found = []
    for path in tqdm(list(input_files([folder], ENDINGS)), unit="picture"):
        picture = read_picture(path)
        for time in range(1 + times):
            x = picture
            if time:
                scale = random.uniform(0.8, 1.2)
                x = F.interpolate(x, scale_factor=scale, mode="bicubic", antialias=True).clamp(0, 1)
                x = x.flip(-1) if random.random() < 0.5 else x
            with torch.no_grad():
                found.append((network.analyse(x), x[0, 0].numel()))
    return found


def train(network: Transmitter, known: list[Sample], steps: int, batch: int, lr: float) -> None:
    """Lower the rate of all qualities."""
    by_size = defaultdict(list)
    for latent, pixels in known:
        by_size[latent.shape, pixels].append(latent)
    sizes = list(by_size)
    counts = [len(by_size[size]) for size in sizes]
    start: dict[int, float] = {}
    trained = [p for name, p in network.entropy.named_parameters() if "quantiles" not in name]
    optimiser = torch.optim.Adam(trained, lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    network.train()
    with tqdm(range(steps), unit="step") as bar:
        for _ in bar:
            (size,) = random.choices(sizes, counts)
            y = torch.cat(random.choices(by_size[size], k=batch))
            quality = random.choice(network.qualities)
            bpp = network.estimate(y, quality).bits.mean() / size[1]
            loss = bpp / start.setdefault(quality, bpp.item())
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimiser.step()
            schedule.step()
            bar.set_postfix(bpp=f"{bpp.item():.4f}", quality=quality)


@command("start it again")
def main() -> None:
    """Load, train, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path, help="of the new checkpoint")
    parser.add_argument("--pictures", type=Path, required=True, metavar="DIR")
    parser.add_argument("--times", type=int, default=2, help="resized copies of each picture")
    parser.add_argument("--steps", type=int, default=2500)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=5e-4)
    options = parser.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    network, receivers, record = load_training(options.checkpoint)
    known = samples(network.eval(), options.pictures, options.times)
    train(network, known, options.steps, options.batch, options.lr)
    network.eval().update_tables()
    state = {f"transmitter.{key}": value for key, value in network.state_dict().items()}
    for name, receiver in receivers.items():
        state |= {f"receivers.{name}.{key}": v for key, v in receiver.state_dict().items()}
    options.folder.mkdir(parents=True, exist_ok=True)
    written = {"meta": {"record": json.dumps(record)}, "state_dict": state}
    torch.save(written, options.folder / "iter_0.pth")


if __name__ == "__main__":
    sys.exit(main())
