"""A detector's random draws, by picture: the same however a batch is spread over processes.

mmdet's samplers draw the boxes that a loss is computed of from the process's generator, so that
a picture's loss depends on what shares its batch. With a seed in its data sample it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from mmdet.models.task_modules.samplers import BaseSampler
from torch import nn

#: Name of the seed in a data sample's metainfo.
DRAW_SEED = "draw_seed"


def samplers_of(detector: nn.Module) -> list[BaseSampler]:
    """Every sampler that a part of the detector holds."""
    held = (value for module in detector.modules() for value in vars(module).values())
    flat = (one for value in held for one in (value if isinstance(value, list) else [value]))
    return list({id(one): one for one in flat if isinstance(one, BaseSampler)}.values())


def hand_seed(given: Any, sample: Any) -> None:
    """Give a data sample's seed to the true boxes of another one, which the samplers see."""
    if DRAW_SEED in given:
        sample.gt_instances.set_metainfo({DRAW_SEED: given.get(DRAW_SEED)})


@contextmanager
def drawing_by_picture(samplers: Iterable[BaseSampler]) -> Iterator[None]:
    """Let samplers draw from their picture's seed; where it has none, as mmdet does."""
    samplers = list(samplers)
    for sampler in samplers:
        sampler.sample = partial(_sample, sampler.sample)
    try:
        yield
    finally:
        for sampler in samplers:
            del sampler.sample


def _sample(sample: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``sample(assign_result, pred_instances, gt_instances, ...)``, by place or by name."""
    truth = kwargs["gt_instances"] if "gt_instances" in kwargs else args[2]
    seed = truth.get(DRAW_SEED)
    if seed is None:
        return sample(*args, **kwargs)
    generator = torch.default_generator  # mmdet draws on the CPU whatever the device
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        return sample(*args, **kwargs)
    finally:
        generator.set_state(before)
