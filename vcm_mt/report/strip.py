"""A strip of pictures: the original and what every receiver decodes from one stream."""

from __future__ import annotations

import numpy as np
import torch
from mmengine.structures import InstanceData
from numpy.typing import NDArray

from vcm_mt.evaluation.codecs import CodecUnderTest
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.models.tasks import named_tasks
from vcm_mt.visualization import draw_instances, side_by_side, to_uint8


@torch.no_grad()
def receiver_strip(data: TestSet, codec: CodecUnderTest, count: int = 3) -> NDArray[np.uint8]:
    """The original and each receiver's picture side by side, and below what the tasks detect.

    Tasks that look at videos are left out.

    Args:
        data: The pictures and tasks.
        codec: The codec.
        count: How many pictures, from the first one on.

    Returns:
        uint8 [H, W, 3]; black beside pictures that are not as wide as others.
    """
    rows = []
    for _, original, sample in data.batches(range(min(count, len(data)))):
        sent = codec.send(original)
        bits = 8 * (next(iter(sent.values())).num_bytes or 0)
        pixels = original.shape[-2] * original.shape[-1]
        pictures = {f"original, then {bits / pixels:.3f} bpp": original}
        pictures |= {name: one.picture for name, one in sent.items()}
        rows.append(side_by_side([to_uint8(p) for p in pictures.values()], list(pictures)))
        for task_name, task in named_tasks(data.tasks):
            if task.of_videos:
                continue
            panels = []
            for picture in pictures.values():
                (found,) = task.predict(picture, [sample]) or [None]
                panel = to_uint8(picture)
                if isinstance(found, InstanceData):
                    panel = draw_instances(panel, found, data.classes)
                panels.append(panel)
            rows.append(side_by_side(panels, [task_name] * len(panels)))
    widest = max(row.shape[1] for row in rows)
    beside = (np.pad(row, ((0, 0), (0, widest - row.shape[1]), (0, 0))) for row in rows)
    return np.concatenate(list(beside))
