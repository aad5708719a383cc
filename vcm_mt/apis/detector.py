"""Inference with a task's network.

>>> detector = Detector.load("configs/mini/stage1_det.py", "det")
>>> detections = detector.predict(receiver.decode(data))
>>> detections.boxes[detections.scores > 0.5]
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement
from numpy.typing import NDArray
from typing_extensions import Self

from vcm_mt.apis.pictures import to_tensor
from vcm_mt.device import detector_device, pick_device
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import Task
from vcm_mt.registry import MODELS
from vcm_mt.training.config import load_config


class Detections(NamedTuple):
    """The objects detected in one picture.

    Attributes:
        boxes: float32 [n, 4], x1, y1, x2, y2 in pixels of the picture.
        scores: float32 [n] in [0, 1], in descending order.
        labels: int64 [n], indexes into :attr:`Detector.classes`.
        masks: bool [n, H, W]; ``None`` if the network predicts boxes only.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    masks: NDArray[np.bool_] | None


class Detector:
    """Detects objects with a task's frozen network.

    Args:
        task: The task.
        classes: The names of its classes, by label.
        device: See :func:`vcm_mt.device.pick_device`.
    """

    def __init__(
        self,
        task: Task,
        classes: Sequence[str] = (),
        device: str | torch.device | None = None,
    ) -> None:
        self.device = detector_device(device)
        self.task = task.to(self.device)
        self.task.freeze()
        self.classes = tuple(classes)

    @classmethod
    def load(cls, config: str | Path, name: str, device: str | torch.device | None = None) -> Self:
        """Build a task of a config with the weights that the config names.

        Args:
            config: A config file.
            name: A key of ``model.tasks``, or of ``tasks`` in a config of stage 2.
            device: See :func:`vcm_mt.device.pick_device`.

        Raises:
            ConfigError: If the config has no such task, its weights cannot be loaded, or the
                device is not available.
        """
        place = pick_device(device)
        loaded = load_config(config)
        tasks = loaded.get("model", {}).get("tasks") or loaded.get("tasks", {})
        if name not in tasks:
            raise ConfigError(f"{config} has no task {name!r}, but {', '.join(tasks) or 'none'}")
        with DefaultScope.overwrite_default_scope(loaded.default_scope):
            task = MODELS.build(tasks[name])
        return cls(task, loaded.get("classes", ()), place)

    @torch.no_grad()
    def predict(self, picture: Any) -> Detections:
        """Detect objects in a picture.

        Args:
            picture: See :func:`vcm_mt.apis.pictures.to_tensor`.

        Raises:
            DataError: If ``picture`` is not a picture.
            ConfigError: If the task is a human viewer, which predicts nothing.
        """
        x = to_tensor(picture).to(self.device)
        sample = BaseDataElement(metainfo={"img_shape": x.shape[-2:], "ori_shape": x.shape[-2:]})
        predictions = self.task.predict(x, [sample])
        if predictions is None:
            raise ConfigError("this task is a human viewer, which predicts nothing: take another")
        objects = predictions[0].cpu()
        masks = objects.masks.numpy().astype(bool) if "masks" in objects else None
        boxes, scores, labels = (objects[key].numpy() for key in ("bboxes", "scores", "labels"))
        return Detections(boxes, scores, labels, masks)

    def look(self, picture: Any) -> Detections:
        """:meth:`predict` by its name of version 0.1, kept for one version."""
        warnings.warn("Detector.look is now Detector.predict", FutureWarning, stacklevel=2)
        return self.predict(picture)
