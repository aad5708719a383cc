r"""What the design of the temporal prior is worth: variants trained alike on one trained codec.

python tools/benchmarks/bench_prior.py --transmitter zoo://photos_det

- "two latents" is the prior as it is; "one latent" looks at the picture before alone.
- "z kept": h_s of the picture's own z is a further input, and the bits of z are paid.
- "with g_a" (--joint STEPS) goes on from the codec's own prior, or "two latents" where it has none,
  and trains the encoder as well. Its loss is the rate, and how far receivers' pictures are from
  those of the frozen encoder's latents before rounding, both over the frozen codec's.

Priors are trained by the rate of predicted pictures alone, every level's over its intra rate.
Rates are estimated by likelihoods, in percent of the frozen codec's intra rate, without each
video's first picture. A picture stands by itself where that is shorter. PSNR and box mAP (the zoo's
Faster R-CNN on the shared decoder's pictures) are those of some of the predicted pictures.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import MMLogger
from prior_variants import Variant, scaled, sent, train, train_joint
from torch import Tensor, nn
from tqdm import tqdm

from vcm_mt.apis.loading import load_training
from vcm_mt.cli.command import command
from vcm_mt.curves.markdown import markdown_table
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.models.transmitter import Transmitter
from vcm_mt.structures import Sent
from vcm_mt.training.config import load_config

OUT = Path("work_dirs/bench")
CONFIG = "configs/mini/stage2_track.py"
#: Every so many pictures one is decoded and judged.
JUDGED = 8


class Bench:
    """The codec, its receivers, and the videos.

    Args:
        transmitter: A checkpoint or ``zoo://NAME``.
        config: Of the videos and of the detector that judges.
    """

    def __init__(self, transmitter: str, config: Config) -> None:
        self.network, known, _ = load_training(transmitter, "cpu")
        names = sorted(known, key=lambda name: name != "shared")
        self.receivers = nn.ModuleDict({name: known[name] for name in names}).eval()
        for part in (self.network, self.receivers):
            part.eval().requires_grad_(False)
        _, self.train = _videos(config, "train", [])
        self.data, self.val = _videos(config, "val", ["det"])
        units = self.data.units
        self.cameras = np.array(
            [Path(self.data.path(unit[0])).parent.name.partition("_")[2] for unit in units]
        )

    @torch.no_grad()
    def latents(self, pictures: Tensor, network: Transmitter | None = None) -> Tensor:
        """Latents float [V, T, M, h, w] of pictures uint8 [V, T, 3, H, W]."""
        network = network or self.network
        videos = tqdm(pictures, desc="latents", unit="video")
        return torch.stack([network.analyse(one.float() / 255) for one in videos])

    def row(self, name: str, variant: Variant | None, y: Tensor, level: int) -> dict[str, Any]:
        """What a variant needs at a level, and what receivers make of it."""
        network = self.network if variant is None else variant.network
        bits, y_hat = sent(variant, network, scaled(network, y, level))
        weights = 0 if variant is None else sum(p.numel() for p in variant.prior.parameters())
        spent = {c: float(bits[torch.from_numpy(self.cameras == c)].mean()) for c in self.kinds}
        told = {"prior": name, "level": level, "weights": weights}
        return told | {"bits": {**spent, "all": float(bits.mean())}, **self._judged(y_hat, level)}

    @property
    def kinds(self) -> list[str]:
        """The kinds of camera."""
        return sorted(set(self.cameras.tolist()))

    @torch.no_grad()
    def _judged(self, y_hat: Tensor, level: int) -> dict[str, Any]:
        length = y_hat.shape[1]
        picked = [n for n in range(len(self.data)) if n % length % JUDGED == JUDGED // 2]
        flat, height, width = self.network.unscaled(y_hat.flatten(0, 1), level), *self._size
        entries, psnr = [], []
        for number, original, sample in self.data.batches(picked):
            seen = {
                name: Sent(receiver(flat[number : number + 1])[..., :height, :width], None, None)
                for name, receiver in self.receivers.items()
            }
            first = next(iter(seen))
            own = self.data.judge(number, original, {first: seen.pop(first)}, sample)["receivers"]
            entries += own[first]["found"]["det"]
            if seen:
                own |= self.data.judge(number, original, seen, sample, [])["receivers"]
            psnr.append({name: one["psnr"] for name, one in own.items()})
        scores = self.data.judges["det"].scores(entries, [[self.data.ids[n]] for n in picked])
        mean = {name: float(np.mean([one[name] for one in psnr])) for name in psnr[0]}
        return {"psnr": mean, "box_mAP": float(scores["det_mAP"].average_precision()[0])}

    @property
    def _size(self) -> Sequence[int]:
        return self.val.shape[-2:]


def _videos(config: Config, split: str, tasks: Sequence[str]) -> tuple[TestSet, Tensor]:
    """A split's frames, and their pictures, uint8 [V, T, 3, H, W]."""
    own = config.copy()
    own.test_dataloader.dataset.ann_file = f"annotations/{split}.json"
    own.test_dataloader.dataset.data_prefix = {"img": f"{split}/"}
    data = TestSet(own, tasks, "cpu")
    if len({len(unit) for unit in data.units}) > 1:
        raise ConfigError(f"the videos of {split} differ in length, which this can't measure")
    frames = (picture for _, picture, _ in data.batches(range(len(data))))
    pictures = torch.cat([(255 * picture).round().byte() for picture in frames])
    return data, pictures.unflatten(0, (len(data.units), -1))


def variants(bench: Bench, steps: int, joint: int) -> Iterator[tuple[str, Variant | None]]:
    """Every variant, trained; first none, and the codec's own prior where it has one."""
    network = bench.network
    yield "intra", None
    start = plain = Variant(network)
    if network.temporal is not None:
        start = Variant(network, prior=network.temporal)
        yield "as released", start
    y = bench.latents(bench.train)
    kinds = {
        "two latents": plain,
        "one latent": Variant(network, past=1),
        "z kept": Variant(network, with_z=True),
    }
    for name, variant in kinds.items():
        torch.manual_seed(0)
        train(variant, y, steps, name)
        yield name, variant.requires_grad_(False)
    if joint:
        torch.manual_seed(0)
        yield "with g_a", train_joint(start, bench.receivers, bench.train, y, joint, "with g_a")


@command("start it again")
def main() -> int:
    """Train, measure and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--transmitter", default="zoo://photos_det")
    parser.add_argument("--data", type=Path, default=Path("data/mini_videos"))
    parser.add_argument("--level", nargs="+", type=int, help="measured; default three of them")
    parser.add_argument("--steps", type=int, default=800, help="of a prior's training")
    parser.add_argument("--joint", type=int, default=0, help="steps that train the encoder as well")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    start = time.process_time()
    if options.data == parser.get_default("data"):
        prepare_videos(options.data)
    config = load_config(CONFIG, {"test_dataloader.dataset.data_root": f"{options.data}/"})
    config.evaluators.det.ann_file = str(options.data / "annotations" / "val.json")
    bench = Bench(options.transmitter, config)
    known, val = bench.network.qualities, bench.latents(bench.val)
    levels = options.level or sorted({known[0], known[len(known) // 2], known[-1]})
    rows = []
    for name, variant in variants(bench, options.steps, options.joint):
        own = variant is not None and variant.network is not bench.network
        y = bench.latents(bench.val, variant.network) if own and variant else val
        rows += [bench.row(name, variant, y, level) for level in levels]
        print(json.dumps(rows[-len(levels) :]), flush=True)
    write(rows, options, time.process_time() - start)
    return 0


def write(rows: Sequence[dict[str, Any]], options: argparse.Namespace, seconds: float) -> None:
    """Write ``prior.json`` and the table ``prior.md``."""
    intra = {row["level"]: row["bits"] for row in rows if row["prior"] == "intra"}
    names = [*rows[0]["psnr"]]
    body = []
    for row in sorted(rows, key=lambda row: row["level"]):
        first = row["prior"] == "intra"
        spent = [
            f"{bits:,.0f} bits" if first else f"{100 * bits / intra[row['level']][camera]:.1f} %"
            for camera, bits in row["bits"].items()
        ]
        psnr = [f"{row['psnr'][name]:.2f}" for name in names]
        weights = f"{row['weights']:,}" if row["weights"] else ""
        head = [f"{row['level']}, {row['prior']}", weights]
        body.append([*head, *spent, *psnr, f"{row['box_mAP']:.1f}"])
    header = ["level, prior", "weights", *rows[0]["bits"], *(f"PSNR {n}" for n in names), "box mAP"]
    command = shlex.join(["python", *sys.argv])
    told = {"command": command, "processor_seconds": round(seconds), "rows": rows}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "prior.json").write_text(json.dumps(told, indent=1) + "\n")
    table = markdown_table(header, body)
    text = f"`{command}`: bits of a picture, estimated, in percent of intra bits.\n\n{table}"
    (options.out / "prior.md").write_text(text)
    print(f"\n{text}")


if __name__ == "__main__":
    sys.exit(main())
