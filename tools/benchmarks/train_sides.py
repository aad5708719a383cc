"""The two sides of bench_train.py: the plain composition, and this project's system."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from compressai.layers import GDN
from compressai.models import MeanScaleHyperprior
from mmdet.structures import DetDataSample
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from torch import Tensor, nn

from vcm_mt.datasets.mini.photographs import photograph
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODELS
from vcm_mt.training.config import check_inputs, load_config

LMBDA, LR, CLIP = 0.2, 1e-4, 1.0
ADAM = {"optimizer": {"type": "Adam", "lr": LR}}
OPTIMISERS = {"main": {**ADAM, "clip_grad": {"max_norm": CLIP}}, "aux": ADAM}
TASK = {"fold": True, "fast_roi_align": True}


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
        if type(module) is FastGDN:
            module.__class__ = _ExactGDN


def _pytorchs_deconvolutions(system: VCMSystem) -> None:
    for module in system.modules():
        if isinstance(module, nn.ConvTranspose2d):
            module.__class__ = nn.ConvTranspose2d


#: What each variant changes of ours: arguments of the system, of its task, or the built network.
VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], Callable[[VCMSystem], None] | None]] = {
    "plain": ({}, {}, None),
    "ours": ({}, {}, None),
    "without bfloat16 in the transforms": ({"amp": False}, {}, None),
    "without channels_last": ({}, {}, _contiguous),
    "without our GDN": ({}, {}, _compressais_gdn),
    "without our transposed convolutions": ({}, {}, _pytorchs_deconvolutions),
    "without bfloat16 in the detector": ({}, {"amp": False}, None),
    "without folded batch norms": ({}, {"fold": False}, None),
    "without our RoIAlign": ({}, {"fast_roi_align": False}, None),
    "with checkpointing": ({}, {"checkpoint_activations": True}, None),
    "with torch.compile": ({"compile": True}, {}, None),
}


def build(setting: Setting, variant: str, device: str, amp: str = "auto") -> Plain | Ours:
    """A side of the comparison, in a precision; the same weights each time."""
    of_system, of_task, change = VARIANTS[variant]
    task = {"type": "MMDetTask", **setting.detector, **TASK, "amp": amp, **of_task}
    if setting.size:
        task["resize"] = {"scale": setting.size[::-1]}
    options = {"amp": amp, **of_system}
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
        config.train_dataloader.batch_size = setting.batch
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
        bboxes=boxes, labels=torch.from_numpy(rng.integers(12, size=8))
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
