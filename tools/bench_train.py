"""A training step of this project beside the plain composition of CompressAI and mmdet.

python tools/bench_train.py --rounds 4

The plain composition is CompressAI's forward and mmdet's own loss, in float32 and contiguous, with
the same weights, pictures, noise and optimiser. All variants take a step in turns, forwards and
backwards through their list, in one process; a ratio is the median over the rounds, with the
smallest and largest. "Without" rows are ours with one switch off. Peak memory is that of two steps
in a process of its own, above what that process held before. The loss curves are both sides,
trained on the embedded set from the same start.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from compressai.layers import GDN
from compressai.models import MeanScaleHyperprior
from matplotlib import pyplot as plt
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn
from tqdm import tqdm

from vcm_mt.apis.config import check_inputs, load_config
from vcm_mt.datasets.mini.photographs import photograph
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.errors import VCMError, told
from vcm_mt.models.gdn import LeanGDN
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODELS

OUT = Path("work_dirs/bench")
LMBDA, LR, CLIP, SMOOTH = 0.2, 1e-4, 1.0, 10
ADAM = {"optimizer": {"type": "Adam", "lr": LR}}
OPTIMISERS = {"main": {**ADAM, "clip_grad": {"max_norm": CLIP}}, "aux": ADAM}
TASK = {"amp": True, "fold": True, "quick_roi_align": True}


class Setting(NamedTuple):
    """What is trained: a codec, a detector, and pictures of a size for it."""

    codec: dict[str, Any]
    detector: dict[str, Any]
    batch: int
    size: tuple[int, int] | None  # None: the embedded set's


SETTINGS = {
    "mini": Setting(
        {"arch": "MeanScaleHyperprior", "N": 48, "M": 96, "checkpoint": "zoo://mse_1"},
        {"detector": "configs/mini/tasks/faster_rcnn.py", "checkpoint": "zoo://faster_rcnn"},
        2,
        None,
    ),
    "r50": Setting(
        {"arch": "mbt2018-mean", "quality": 1},
        {"detector": "mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py"},
        1,
        (512, 640),
    ),
    "x101": Setting(
        {"arch": "mbt2018-mean", "quality": 1},
        {"detector": "mmdet::faster_rcnn/faster-rcnn_x101-32x8d_fpn_ms-3x_coco.py"},
        2,
        (768, 1344),
    ),
}
OF_DEVICE = {"cpu": ("mini", "r50"), "cuda": ("mini", "r50", "x101")}


class Plain(nn.Module):
    """CompressAI's codec in front of mmdet's detector, as their documentation shows them.

    Args:
        system: Whose weights both take.
    """

    def __init__(self, system: VCMSystem) -> None:
        super().__init__()
        ours = system.transmitter
        channels = ours.g_a[0].out_channels, ours.g_a[-1].out_channels
        self.codec = MeanScaleHyperprior(*channels)
        for name, part in {
            "g_a": ours.g_a,
            "g_s": system.receivers["shared"].g_s,
            "h_a": ours.entropy.h_a,
            "h_s": ours.entropy.h_s,
        }.items():
            getattr(self.codec, name).load_state_dict(part.state_dict())
        given = ours.entropy.entropy_bottleneck.named_parameters()
        own = dict(self.codec.entropy_bottleneck.named_parameters())
        for name, value in given:
            own[name].data.copy_(value)
        self.detector: Any = system.tasks["det"].detector
        parameters = dict(self.codec.named_parameters())
        aux = parameters.pop("entropy_bottleneck.quantiles")
        self.trained = list(parameters.values())
        self.optimisers = [torch.optim.Adam(group, LR) for group in (self.trained, [aux])]

    def step(self, data: dict[str, Any]) -> float:
        """One step; returns the loss."""
        device = next(self.codec.parameters()).device
        x = torch.stack(list(data["inputs"])).to(device).flip(1).float() / 255
        self.codec.train()
        out = self.codec(x)
        bits = sum(-p.log2().sum() for p in out["likelihoods"].values())
        # The clamp's gradient goes straight through on both sides, so that the loss is the same.
        x_hat = out["x_hat"] + (out["x_hat"].clamp(0, 1) - out["x_hat"]).detach()
        preprocessor = self.detector.data_preprocessor
        if not preprocessor._channel_conversion:
            x_hat = x_hat.flip(1)
        inputs = (255 * x_hat - preprocessor.mean) / preprocessor.std
        samples = [_detectors(sample, x.shape[-2:]).to(device) for sample in data["data_samples"]]
        with DefaultScope.overwrite_default_scope("mmdet"):
            found = self.detector.loss(inputs, samples)
        parts = [value for name, value in found.items() if "loss" in name]
        task = sum(sum(v.mean() for v in (p if isinstance(p, list) else [p])) for p in parts)
        loss = (1 - LMBDA) * bits / (len(x) * x[0, 0].numel()) + LMBDA * task
        for optimiser in self.optimisers:
            optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimisers[0].step()
        self.codec.aux_loss().backward()
        self.optimisers[1].step()
        return loss.item()


class Ours:
    """This project's system, with the switches of a variant.

    Args:
        system: The network.
    """

    def __init__(self, system: VCMSystem) -> None:
        self.system = system
        self.optimisers = CodecOptimWrapperConstructor(OPTIMISERS)(system)

    def step(self, data: dict[str, Any]) -> float:
        """One step; returns the loss."""
        self.system.train()
        return self.system.train_step(data, self.optimisers)["loss"].item()


def _contiguous(system: VCMSystem) -> None:
    for part in (system.transmitter, system.receivers):
        part.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]


class _ExactGDN(GDN):
    """CompressAI's, in float32 inside bfloat16 transforms."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


def _compressais_gdn(system: VCMSystem) -> None:
    for module in system.modules():
        if type(module) is LeanGDN:
            module.__class__ = _ExactGDN


#: What each variant changes of ours: arguments of the system, of its task, or the built network.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[VCMSystem], None] | None]] = {
    "plain": ({}, {}, None),
    "ours": ({}, {}, None),
    "without bfloat16 in the transforms": ({"amp": False}, {}, None),
    "without channels_last": ({}, {}, _contiguous),
    "without our GDN": ({}, {}, _compressais_gdn),
    "without bfloat16 in the detector": ({}, {"amp": False}, None),
    "without folded batch norms": ({}, {"fold": False}, None),
    "without our RoIAlign": ({}, {"quick_roi_align": False}, None),
    "with checkpointing": ({}, {"checkpoint_activations": True}, None),
    "with torch.compile": ({"compile": True}, {}, None),
}


def build(setting: Setting, variant: str, device: str) -> Plain | Ours:
    """A side of the comparison; the same weights each time."""
    of_system, of_task, change = VARIANTS[variant]
    task = {"type": "MMDetTask", **setting.detector, **TASK, **of_task}
    if setting.size:
        task["resize"] = {"scale": setting.size[::-1]}
    options = {"amp": True, **of_system}
    torch.manual_seed(0)
    config = {"type": "VCMSystem", "codec": setting.codec, "tasks": {"det": task}, "lmbda": LMBDA}
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        system = MODELS.build(config | options).to(device)
    if variant == "plain":
        return Plain(system).to(device)
    if change:
        change(system)
    return Ours(system)


def batches(setting: Setting, count: int) -> list[dict[str, Any]]:
    """Batches of the setting's pictures, uint8 BGR as OpenMMLab loads them."""
    if setting.size is None:
        config = load_config("configs/mini/stage1_det.py")
        check_inputs(config, ["train"])
        config.train_dataloader.update(
            batch_size=setting.batch, num_workers=0, persistent_workers=False
        )
        with DefaultScope.overwrite_default_scope("vcm_mt"):
            loader = iter(Runner.build_dataloader(config.train_dataloader, seed=0))
        return [next(loader) for _ in range(count)]
    rng = np.random.default_rng(0)
    return [
        {
            "inputs": [_photograph(setting.size, rng) for _ in range(setting.batch)],
            "data_samples": [_sample(setting.size, rng) for _ in range(setting.batch)],
        }
        for _ in range(count)
    ]


def _photograph(size: tuple[int, int], rng: np.random.Generator) -> Tensor:
    picture = photograph(int(rng.integers(6)), "train").resize(size[::-1])
    return torch.from_numpy(np.asarray(picture)[..., ::-1].copy()).permute(2, 0, 1)


def _sample(size: tuple[int, int], rng: np.random.Generator) -> DetDataSample:
    corner = rng.uniform(0, 0.6, (8, 2)) * size[::-1]
    side = rng.uniform(0.05, 0.4, (8, 2)) * size[::-1]
    boxes = torch.from_numpy(np.concatenate([corner, corner + side], 1)).float()
    sample = DetDataSample(metainfo={"img_id": 0, "img_shape": size, "ori_shape": size})
    sample.gt_instances = InstanceData(
        bboxes=boxes, labels=torch.from_numpy(rng.integers(80, size=8))
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return sample


def _detectors(sample: DetDataSample, size: Any) -> DetDataSample:
    """A data sample with what mmdet's own pipeline would have said of an unresized picture."""
    sample = sample.clone()
    sample.set_metainfo(
        {"batch_input_shape": tuple(size), "pad_shape": tuple(size), "scale_factor": (1.0, 1.0)}
    )
    boxes = sample.gt_instances.bboxes
    sample.gt_instances.bboxes = getattr(boxes, "tensor", boxes)
    ignored = sample.ignored_instances.bboxes
    sample.ignored_instances.bboxes = getattr(ignored, "tensor", ignored)
    return sample


def timed(name: str, variants: list[str], device: str, rounds: int) -> dict[str, Any]:
    """Seconds of a step of each variant, and the loss of its first.

    For that one, samplers take the first boxes of their lists: drawn ones would differ wherever a
    rounding error changes how many there are to draw from.
    """
    setting = SETTINGS[name]
    data = batches(setting, 1)[0]
    sides = {variant: build(setting, variant, device) for variant in variants}
    losses, seconds = {}, {variant: [] for variant in variants}  # type: ignore[var-annotated]
    for variant, side in sides.items():
        torch.manual_seed(1)
        with mock.patch.object(torch, "randperm", torch.arange):
            losses[variant] = side.step(data)
    for number in tqdm(range(rounds), desc=f"{device}, {name}", unit="round"):
        for variant in variants if number % 2 else variants[::-1]:
            torch.manual_seed(number)
            _wait()
            start = time.perf_counter()
            sides[variant].step(data)
            _wait()
            seconds[variant].append(time.perf_counter() - start)
    return {
        variant: {
            "images_per_second": setting.batch / float(np.median(seconds[variant])),
            "ratio": spread(
                [a / b for a, b in zip(seconds["plain"], seconds[variant], strict=True)]
            ),
            "loss": losses[variant],
            "loss_difference": losses[variant] / losses["plain"] - 1,
        }
        for variant in variants
    }


def spread(ratios: list[float]) -> dict[str, float]:
    """Median, smallest and largest."""
    return {"median": float(np.median(ratios)), "smallest": min(ratios), "largest": max(ratios)}


def peak_memory(name: str, variant: str, device: str) -> int:
    """Bytes that two steps take above what the process held; in a process of its own."""
    command = [sys.executable, __file__, "--memory-of", name, variant, device]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])


def _measure_memory(name: str, variant: str, device: str) -> int:
    data = batches(SETTINGS[name], 1)[0]
    side = build(SETTINGS[name], variant, device)
    if device == "cuda":
        before = torch.cuda.memory_allocated()
        for _ in range(2):
            side.step(data)
        return torch.cuda.max_memory_allocated() - before
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    for _ in range(2):
        side.step(data)
    return _memory("VmHWM") - before


def _memory(name: str) -> int:
    """A line of Linux's account of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])


def curves(device: str, steps: int) -> dict[str, Any]:
    """Train both from the same start and lay their losses over each other."""
    setting = SETTINGS["mini"]
    data = batches(setting, steps)
    found = {}
    for variant in ("plain", "ours"):
        side = build(setting, variant, device)
        losses = []
        for number, batch in enumerate(tqdm(data, desc=f"{device}, {variant}", unit="step")):
            torch.manual_seed(number)
            losses.append(side.step(batch))
        found[variant] = losses
    smooth = {k: np.convolve(v, np.ones(SMOOTH) / SMOOTH, "valid") for k, v in found.items()}
    figure, axes = plt.subplots(figsize=(7, 4))
    for variant, losses in found.items():
        (line,) = axes.plot(losses, alpha=0.3)
        axes.plot(range(SMOOTH - 1, steps), smooth[variant], color=line.get_color(), label=variant)
    axes.set(xlabel="step", ylabel="loss", title=f"{device}: both from the same start")
    axes.legend()
    figure.savefig(OUT / f"train_{device}.png", dpi=120, bbox_inches="tight")
    difference = np.abs(smooth["ours"] / smooth["plain"] - 1)
    return {"steps": steps, "largest_difference": float(difference.max()), "loss": found}


def main() -> int:
    """Run the comparison and write it down."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=4, help="steps of each variant")
    parser.add_argument("--curve", type=int, help="steps of the curves; 200 on CUDA, 40 on a CPU")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, help="default: by device")
    parser.add_argument("--compile", action="store_true", help="torch.compile too (minutes)")
    parser.add_argument("--memory-of", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    try:
        if options.memory_of:
            print(_measure_memory(*options.memory_of))
            return 0
        print(table(run(options)))
    except VCMError as error:
        print(told(error), file=sys.stderr)
        return 1
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """All settings on all devices."""
    OUT.mkdir(parents=True, exist_ok=True)
    variants = [v for v in VARIANTS if options.compile or v != "with torch.compile"]
    result: dict[str, Any] = {
        "ratio": {"images_per_second": {}, "peak_memory": {}},
        "settings": {},
        "curves": {},
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }
    for device in ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]:
        for name in options.settings or OF_DEVICE[device]:
            place = f"{device}/{name}"
            rows = timed(name, variants, device, options.rounds)
            for variant in tqdm(variants, desc=f"{place}, memory", unit="variant"):
                rows[variant]["peak_memory"] = peak_memory(name, variant, device)
            plain, ours = rows["plain"], rows["ours"]
            result["ratio"]["images_per_second"][place] = ours["ratio"]["median"]
            result["ratio"]["peak_memory"][place] = plain["peak_memory"] / ours["peak_memory"]
            result["settings"][place] = rows
            _save(result)
        steps = options.curve if options.curve is not None else 200 if device == "cuda" else 40
        if steps >= SMOOTH:
            result["curves"][device] = curves(device, steps)
    _save(result)
    return result


def _save(result: dict[str, Any]) -> None:
    (OUT / "train.json").write_text(json.dumps(result, indent=1) + "\n")
    (OUT / "train.md").write_text(table(result))


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = [
        "| setting | variant | images/s | ratio | smallest to largest | peak memory | of plain's "
        "| loss against plain's |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for place, rows in result["settings"].items():
        for variant, row in rows.items():
            ratio = row["ratio"]
            lines.append(
                f"| {place} | {variant} | {row['images_per_second']:.2f} | {ratio['median']:.2f} "
                f"| {ratio['smallest']:.2f} to {ratio['largest']:.2f} "
                f"| {row['peak_memory'] / 2**20:.0f} MiB "
                f"| {100 * row['peak_memory'] / rows['plain']['peak_memory']:.0f} % "
                f"| {100 * row['loss_difference']:+.4f} % |"
            )
    lines.append("")
    for device, curve in result["curves"].items():
        lines.append(
            f"{device}: over {curve['steps']} steps from the same start the losses, as means of "
            f"{SMOOTH} steps, differ by {100 * curve['largest_difference']:.2f} % at most "
            f"(train_{device}.png)."
        )
    lines.append(f"{result['threads']} threads, PyTorch {result['torch']}.")
    return "\n".join(lines) + "\n"


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


if __name__ == "__main__":
    sys.exit(main())
