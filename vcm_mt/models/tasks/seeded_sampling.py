"""Seeding of a detector's box samplers by picture, independent of its batch and process.

The samplers of mmdet select the boxes of a loss with the process's random generator, so that the
loss of a picture depends on the other pictures of its batch. With a seed in its data sample it
does not.
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
    """All samplers that are attributes of the detector's modules."""
    held = (value for module in detector.modules() for value in vars(module).values())
    flat = (one for value in held for one in (value if isinstance(value, list) else [value]))
    return list({id(one): one for one in flat if isinstance(one, BaseSampler)}.values())


def hand_seed(given: Any, sample: Any) -> None:
    """Copy the seed of ``given`` to the ground truth of ``sample``, which samplers receive."""
    if DRAW_SEED in given:
        sample.gt_instances.set_metainfo({DRAW_SEED: given.get(DRAW_SEED)})


@contextmanager
def drawing_by_picture(samplers: Iterable[BaseSampler]) -> Iterator[None]:
    """Let samplers use the seed of their picture; without one they draw as mmdet does."""
    samplers = list(samplers)
    for sampler in samplers:
        sampler.sample = partial(_sample, sampler.sample)
    try:
        yield
    finally:
        for sampler in samplers:
            del sampler.sample


def _sample(sample: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call ``sample(assign_result, pred_instances, gt_instances, ...)`` with the seed, if any."""
    truth = kwargs["gt_instances"] if "gt_instances" in kwargs else args[2]
    seed = truth.get(DRAW_SEED)
    if seed is None:
        return sample(*args, **kwargs)
    generator = torch.default_generator  # mmdet draws on the CPU for every device
    before = generator.get_state()
    generator.manual_seed(seed)
    try:
        return sample(*args, **kwargs)
    finally:
        generator.set_state(before)
