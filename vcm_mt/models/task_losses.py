"""The right half of equation (1): what tasks lose on decoded pictures."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from vcm_mt.models.tasks import named_tasks


def task_losses(
    tasks: nn.ModuleDict,
    pictures: dict[str, Tensor],
    x: Tensor | None,
    data_samples: list[Any],
    lmbda: float = 1.0,
) -> dict[str, Tensor]:
    """The tasks' weighted losses.

    A task looks at the samples that are for it: all, or those that name it in ``for_tasks`` of
    their metainfo, see :class:`vcm_mt.datasets.mixture.TaskMixture`.

    Args:
        tasks: By name.
        pictures: Decoded pictures of each receiver, float [B, 3, H, W].
        x: The originals, float [B, 3, H, W]; ``None`` when training from bitstreams.
        data_samples: mmdet data samples at native resolution, with ground truth.
        lmbda: lambda of equation (1).

    Returns:
        ``loss_<task>`` entries, and unweighted parts ``<task>/<part>`` for the log; nothing of a
        task that no sample is for.
    """
    losses: dict[str, Tensor] = {}
    for name, task in named_tasks(tasks):
        own = [n for n, one in enumerate(data_samples) if _is_for(one, name)]
        if not own:
            continue
        seen, originals = pictures[task.receiver], x
        if len(own) < len(data_samples):
            seen, originals = seen[own], None if x is None else x[own]
        parts = task.loss(seen, originals, [data_samples[n] for n in own])
        total = torch.stack(list(parts.values())).sum()
        losses[f"loss_{name}"] = lmbda * task.weight * total
        # mmengine sums every key that contains "loss": parts are logged without the word.
        losses |= {
            f"{name}/{part.replace('loss_', '')}": value.detach() for part, value in parts.items()
        }
    return losses


def _is_for(data_sample: Any, task: str) -> bool:
    return task in data_sample.metainfo.get("for_tasks", (task,))
