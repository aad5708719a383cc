"""How a detector of mmdet runs as a frozen task: scope, precision, modes, and its feature maps."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from vcm_mt.errors import ConfigError


def mmdet_scope() -> Any:
    """Look up modules that a detector builds while it runs in mmdet's registry."""
    return DefaultScope.overwrite_default_scope("mmdet")


@contextmanager
def running(x: Tensor, scope: str = "mmdet") -> Iterator[None]:
    """Run in a package's scope and in float32: NMS and RoIAlign of mmcv accept no bfloat16."""
    named = DefaultScope.overwrite_default_scope(scope)
    with named, torch.autocast(x.device.type, enabled=False):
        yield


@contextmanager
def maps_of(detector: Any) -> Iterator[list[Any]]:
    """Collect the feature maps that the heads are given while the detector runs."""
    maps: list[Any] = []
    source = detector.neck if detector.with_neck else detector.backbone
    handle = source.register_forward_hook(lambda module, inputs, output: maps.append(output))
    try:
        yield maps
    finally:
        handle.remove()


def feature_maps(output: Any) -> list[Tensor]:
    """The output of a neck or backbone as a list of maps [B, C, h, w]."""
    maps = [output] if isinstance(output, Tensor) else output
    if isinstance(maps, list | tuple) and all(isinstance(m, Tensor) and m.ndim == 4 for m in maps):
        return list(maps)
    raise ConfigError(
        f"the detector's neck returns {type(output).__name__}, not a list of feature maps: leave "
        'feature_weight at 0 for this detector, and refine with refiner = dict(objective="loss")'
    )


@contextmanager
def heads_training(detector: nn.Module) -> Iterator[None]:
    """Set the modules that compute a loss to training mode, and undo it.

    In eval mode FCOS scales its boxes, SOLO suppresses scores and DINO leaves out its denoising
    queries: their losses would be wrong, or fail. The layers below (batch norm, dropout) stay
    in eval mode. Losses with running statistics (GHM, Seesaw) update copies, which are dropped.
    """
    heads = [module for module in detector.modules() if hasattr(module, "loss")]
    before = [head.training for head in heads]
    kept = {part: dict(part._buffers) for head in heads for part in head.modules()}
    try:
        for head in heads:
            head.training = True
        for part, buffers in kept.items():
            part._buffers.update({n: v if v is None else v.clone() for n, v in buffers.items()})
        yield
    finally:
        for head, mode in zip(heads, before, strict=True):
            head.training = mode
        for part, buffers in kept.items():
            part._buffers.update(buffers)


@contextmanager
def quietly() -> Iterator[None]:
    """Suppress the two lines that mmengine logs for each parameter."""
    before = logging.root.manager.disable
    logging.disable(logging.INFO)
    try:
        yield
    finally:
        logging.disable(before)
