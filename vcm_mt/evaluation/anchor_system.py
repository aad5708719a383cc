"""Anchors in the codec's place: the same pictures, tasks and metrics around another coder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn

from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.anchors import Anchor, CachedAnchor
from vcm_mt.models.report import report
from vcm_mt.models.tasks import named_tasks
from vcm_mt.registry import MODELS
from vcm_mt.structures import Sent
from vcm_mt.visualization import to_uint8


class AnchorSystem(BaseModel):
    """Sends pictures through a standard codec, or not at all, and runs the tasks on them.

    Args:
        tasks: Config of a :class:`vcm_mt.models.tasks.Task` by name; all see one picture.
        anchor: The codec; ``None`` hands the originals to the tasks, uncoded.
        qp: Its quantiser.
        folder: Where its streams are kept.
    """

    def __init__(
        self,
        tasks: dict[str, dict[str, Any]],
        anchor: Anchor | None = None,
        qp: int = 0,
        folder: Path | None = None,
    ) -> None:
        super().__init__({"type": "vcm_mt.VCMDataPreprocessor", "divisor": 1})
        if anchor is not None and folder is None:
            raise ConfigError("an anchor needs a folder to keep its streams in")
        self.anchor = CachedAnchor(anchor, folder) if anchor and folder else None
        self.qp = qp
        shared = {name: {**task, "receiver": "shared"} for name, task in tasks.items()}
        self.tasks = nn.ModuleDict({name: MODELS.build(task) for name, task in shared.items()})
        for _, task in named_tasks(self.tasks):
            task.freeze()

    def forward(self, inputs: Tensor, data_samples: list[Any], mode: str = "predict") -> list[Any]:
        """Predict; an anchor has nothing to train."""
        if mode != "predict":
            raise ConfigError(f"an anchor can only predict, not {mode!r}")
        for picture, sample in zip(inputs, data_samples, strict=True):
            height, width = sample.img_shape[:2]
            original = picture[None, :, :height, :width]
            report(self.tasks, original, {"shared": self.send(original)}, sample)
        return data_samples

    def send(self, picture: Tensor) -> Sent:
        """Code and decode one picture, float [1, 3, H, W] in [0, 1]."""
        if self.anchor is None:
            return Sent(picture, None, None)
        height, width = picture.shape[-2:]
        data = self.anchor.encode(to_uint8(picture), self.qp)
        decoded = torch.from_numpy(self.anchor.decode(data, height, width))
        back = decoded.permute(2, 0, 1)[None].to(picture) / 255
        return Sent(back, len(data), None)
