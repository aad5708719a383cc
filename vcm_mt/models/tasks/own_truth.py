"""Training without labels: a frozen network's predictions on originals are its ground truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from mmengine.structures import InstanceData
from torch import Tensor

from vcm_mt.errors import ConfigError

#: Key in the metainfo of data samples whose ground truth is the network's own already.
_OWN = "own_truth"


def with_instances(data_sample: Any, truth: InstanceData) -> Any:
    """A copy of a data sample with other objects as its ground truth, none of them ignored."""
    sample = data_sample.clone()
    sample.gt_instances = truth
    sample.ignored_instances = InstanceData(bboxes=truth.bboxes[:0], labels=truth.labels[:0])
    return sample


class OwnTruth:
    """Predictions on original pictures, each made once per picture and mirror image.

    Args:
        predict: Called as ``predict(x, data_sample)`` with one original, float [1, 3, H, W], for
            its ground truth in native coordinates.
        give: Called as ``give(data_sample, truth)`` for a copy with that ground truth.
    """

    def __init__(
        self,
        predict: Callable[[Tensor, Any], Any],
        give: Callable[[Any, Any], Any] = with_instances,
    ) -> None:
        self._predict, self._give = predict, give
        self._known: dict[bytes, Any] = {}

    def samples(self, x: Tensor | None, data_samples: list[Any]) -> list[Any]:
        """Copies of data samples with predictions on their originals as ground truth.

        Args:
            x: The originals, float [B, 3, H, W], padded.
            data_samples: mmdet data samples at native resolution; their own ground truth is
                ignored.

        Raises:
            ConfigError: If there are no originals.
        """
        if x is None:
            raise ConfigError(
                'truth="own" looks at the original pictures, and there are none: set it to '
                '"labels" to train from bitstreams alone'
            )
        pairs = zip(x, data_samples, strict=True)
        return [self._sample(picture[None], sample) for picture, sample in pairs]

    def _sample(self, picture: Tensor, given: Any) -> Any:
        if given.get(_OWN):
            return given
        height, width = given.img_shape[:2]
        # By its pixels: not every pipeline tells of a flip. A crop, whose size differs from the
        # file's, is another picture each time and is not kept.
        whole = tuple(given.img_shape[:2]) == tuple(given.ori_shape[:2])
        original = picture[..., :height, :width]
        key = hashlib.sha256(original.cpu().numpy().tobytes()).digest() if whole else None
        truth = self._known.get(key) if key else None
        if truth is None:
            truth = self._predict(original, given)
            if key:
                self._known[key] = truth
        sample = self._give(given, truth)
        sample.set_metainfo({_OWN: True})
        return sample
