"""Bootstrap over pictures: how far a figure would move on other pictures of the same kind."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vcm_mt.curves.rp import Curve, RPPoint

RESAMPLES = 1000


class Bootstrap:
    """Draws P of P pictures with replacement, many times; all curves use the same draws.

    Args:
        num_pictures: P.
        resamples: How many draws, B.
        seed: Of the draws.
    """

    def __init__(self, num_pictures: int, resamples: int = RESAMPLES, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        draws = rng.multinomial(num_pictures, np.full(num_pictures, 1 / num_pictures), resamples)
        self.weights = draws.astype(np.float64)
        # By identity, with the point kept alive: the same curves are compared many times.
        self._known: dict[tuple[int, str], tuple[RPPoint, NDArray[np.float64]]] = {}

    def curves(self, points: list[RPPoint], metric: str) -> list[Curve]:
        """One curve per draw, by rising rate; every point has `pictures` that know the metric."""
        columns = np.stack([self._measured(point, metric) for point in points], axis=-1)
        order = np.argsort(columns[0], axis=-1)
        rates, scores = np.take_along_axis(columns, order[None], axis=-1)
        return [Curve(*pair) for pair in zip(rates, scores, strict=True)]

    def _measured(self, point: RPPoint, metric: str) -> NDArray[np.float64]:
        """Rates and scores, float64 [2, B]."""
        key = (id(point), metric)
        if key not in self._known:
            assert point.pictures is not None
            rates = point.pictures.bpp(self.weights)
            scores = point.pictures.score(metric, self.weights)
            self._known[key] = (point, np.stack([rates, scores]))
        return self._known[key][1]
