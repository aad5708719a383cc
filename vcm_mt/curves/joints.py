"""How far joints may be off: the constants of object keypoint similarity (OKS)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcm_mt.errors import ConfigError

#: HiEve's 14 joints: nose, chest, and by side, the right one first, shoulder, elbow, wrist; then
#: by side hip, knee, ankle. COCO's constants; the chest has that of CrowdPose's neck.
_ARM, _LEG = (0.079, 0.072, 0.062), (0.107, 0.087, 0.089)
HIEVE_SIGMAS = (0.026, 0.079, *_ARM, *_ARM, *_LEG, *_LEG)
#: COCO's joints that are HiEve's; the chest is the middle of the shoulders.
_FROM_COCO = ((0,), (5, 6), (6,), (8,), (10,), (5,), (7,), (9,), (12,), (14,), (16,), (11,), (13,),
              (15,))  # fmt: skip


def as_hieve(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """COCO's 17 joints as HiEve's 14.

    Args:
        keypoints: [N, 17, C], places and scores, or [N, 14, C], which is returned as it is.

    Raises:
        ConfigError: For another number of joints.
    """
    if keypoints.shape[1] == len(HIEVE_SIGMAS):
        return keypoints
    if keypoints.shape[1] != 17:
        raise ConfigError(
            f"a pose of {keypoints.shape[1]} joints is neither COCO's (17) nor HiEve's (14)"
        )
    return np.stack([keypoints[:, list(own)].mean(axis=1) for own in _FROM_COCO], axis=1)
