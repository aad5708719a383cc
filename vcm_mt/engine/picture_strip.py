"""Strips of pictures for TensorBoard, at every validation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.structures import InstanceData

from vcm_mt.engine.hooks import unwrapped
from vcm_mt.models.tasks import named_tasks
from vcm_mt.registry import HOOKS
from vcm_mt.visualization import draw_instances, side_by_side, to_uint8


@HOOKS.register_module()
class PictureStripHook(Hook):
    """Shows originals, decoded pictures, and the predictions of each task on both.

    Tasks that look at videos are left out: a look in between would disturb them. So are maps of
    classes.

    Args:
        count: Number of validation pictures to show.
    """

    def __init__(self, count: int = 4) -> None:
        self.count = count

    @torch.no_grad()
    def after_val_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Draw the first picture of each of the first ``count`` batches."""
        if batch_idx >= self.count or runner.rank != 0:
            return
        system = unwrapped(runner)
        classes = runner.val_dataloader.dataset.metainfo["classes"]
        data = system.data_preprocessor(data_batch, False)
        sample = data["data_samples"][0]
        height, width = sample.img_shape[:2]
        original = data["inputs"][:1, :, :height, :width]
        sent = system.send(original)
        panels, titles = [to_uint8(original)], ["original"]
        for name, one in sent.items():
            panels.append(to_uint8(one.picture))
            titles.append(f"{name}, {8 * (one.num_bytes or 0) / (height * width):.3f} bpp")
        for name, task in named_tasks(system.tasks):
            if task.of_videos:
                continue
            for title, picture in (
                ("original", original),
                ("decoded", sent[task.receiver].picture),
            ):
                predictions = task.predict(picture, [sample])
                if predictions is not None and isinstance(predictions[0], InstanceData):
                    panels.append(draw_instances(to_uint8(picture), predictions[0], classes))
                    titles.append(f"{name} on {title}")
        strip: np.ndarray = side_by_side(panels, titles)
        runner.visualizer.add_image(f"val/{batch_idx}", strip, step=runner.iter)
