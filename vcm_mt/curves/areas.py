"""Areas that the mean intersection over union of semantic maps is computed from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def class_areas(
    found: NDArray[np.integer], labelled: NDArray[np.integer], classes: int, ignored: int = 255
) -> NDArray[np.int64]:
    """Pixels by class: of both maps alike, found, and labelled.

    Args:
        found: Predicted classes, integers [H, W].
        labelled: True classes, integers [H, W].
        classes: How many there are, C.
        ignored: Pixels with this label do not count.

    Returns:
        int64 [3, C].
    """
    counted = labelled != ignored
    found, labelled = found[counted], labelled[counted]
    parts = (found[found == labelled], found, labelled)
    return np.stack([np.bincount(part.ravel(), minlength=classes)[:classes] for part in parts])
