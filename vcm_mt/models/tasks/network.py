"""What the adapters of OpenMMLab's networks share: a backbone's maps, their distance, precision."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor

from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks.base import Task
from vcm_mt.models.tasks.detector_modes import feature_maps, maps_of, running
from vcm_mt.models.tasks.fast_detector import FastDetector, Switches
from vcm_mt.models.tasks.feature_cache import FeatureCache
from vcm_mt.models.tasks.features import feature_distance
from vcm_mt.models.tasks.geometry import Geometry
from vcm_mt.models.tasks.own_truth import OwnTruth

#: Key in a data sample's metainfo of its original's feature maps.
MAPS = "original_maps"


class NetworkTask(Task):
    """A network of backbone, neck and heads behind the decoder.

    .. code-block:: none

        x_hat --> resize, pad, normalise --> backbone, neck --> heads --> L_task
                  Geometry                          |
                                                    +--> distance to the original's maps

    Args:
        loss_weight: Factor of the network's own training loss. 0 skips its heads; with
            ``feature_background=1`` no annotations are needed then.
        feature_weight: Factor of :func:`feature_distance` of the neck's maps, a dense signal beside
            the network's own loss. 0 skips it.
        feature_background: Weight of everything outside the foreground in that distance, in [0, 1].
        truth: Ground truth of the network's own loss and of the foreground: ``"labels"``, those of
            the data set, or ``"own"``, the network's predictions on the original.
        score: Lowest score of predictions that count as such truth, in [0, 1].
        remember: MiB of feature maps of originals to keep, so that each is computed once. For
            trainings that see each picture unchanged, or mirrored, many times.
        switches: How a faster twin of the network differs from it in training.
        weight: See :class:`Task`.
        receiver: See :class:`Task`.

    Raises:
        ConfigError: If a factor is below 0, both are 0, or ``truth`` is something else.
    """

    #: Whose registry the network's modules are in.
    scope: str
    geometry: Geometry

    def __init__(
        self,
        loss_weight: float,
        feature_weight: float,
        feature_background: float,
        truth: str,
        score: float,
        remember: int,
        switches: Switches,
        weight: float = 1.0,
        receiver: str = "shared",
    ) -> None:
        super().__init__(weight, receiver)
        if min(loss_weight, feature_weight) < 0 or not loss_weight + feature_weight > 0:
            raise ConfigError("loss_weight and feature_weight: none below 0, not both 0")
        if truth not in ("labels", "own"):
            raise ConfigError(f'truth must be "labels" or "own", not {truth!r}')
        self.loss_weight = loss_weight
        self.feature_weight = feature_weight
        self.feature_background = feature_background
        self.truth, self.score = truth, score
        self._own = OwnTruth(self._predicted, self._with_truth) if truth == "own" else None
        self.amp = switches.amp
        self._cache = FeatureCache(remember << 20) if remember else None
        self.fast = FastDetector(switches)

    @property
    @abstractmethod
    def network(self) -> Any:
        """The frozen network, with ``backbone``, ``neck`` where it has one, and heads."""

    @abstractmethod
    def _own_loss(
        self, network: Any, inputs: Tensor, samples: list[Any], data_samples: list[Any]
    ) -> dict[str, Tensor]:
        """The network's own losses, times :attr:`loss_weight`.

        Args:
            network: It, or its faster twin.
            inputs: What it takes, float [B, 3, H, W].
            samples: Data samples of ``inputs``.
            data_samples: Those of the pictures at native resolution.
        """

    @abstractmethod
    def _foreground(self, samples: list[Any], inputs: Tensor) -> Tensor:
        """Where the objects of samples with ground truth are, [B, 1, H, W] of 0 and 1."""

    @abstractmethod
    def _predicted(self, x: Tensor, data_sample: Any, score: float | None = None) -> Any:
        """Predictions on an original [1, 3, H, W] as ground truth for its loss."""

    @abstractmethod
    def _with_truth(self, data_sample: Any, truth: Any) -> Any:
        """A copy of a data sample with the result of :meth:`_predicted` as its ground truth."""

    def loss(self, x_hat: Tensor, x: Tensor | None, data_samples: list[Any]) -> dict[str, Tensor]:
        """The network's training losses on decoded pictures; see :meth:`Task.loss`."""
        with_truth = bool(self.loss_weight) or self.feature_background != 1
        if self._own is not None and with_truth:
            data_samples = self._own.samples(x, data_samples)
        inputs, samples = self.geometry.prepare(x_hat, data_samples, with_truth)
        network = self.fast.of(self.network)  # the network itself if no switch is on
        with running(inputs, self.scope), maps_of(network) as maps:
            losses = self._own_loss(network, inputs, samples, data_samples)
        if self.feature_weight:
            foreground = inputs.new_ones(len(inputs), 1, 1, 1)
            if with_truth:
                foreground = self._foreground(samples, inputs)
            original = self._maps_of_originals(network, x, data_samples, foreground)
            decoded = feature_maps(maps[0])
            distance = feature_distance(decoded, original, foreground, self.feature_background)
            losses["loss_feature"] = self.feature_weight * distance
        return losses

    def _maps_of_originals(
        self, network: Any, x: Tensor | None, data_samples: list[Any], foreground: Tensor
    ) -> Sequence[Tensor]:
        """The originals' maps: from their data sample, from the cache, or computed."""
        if len(data_samples) == 1 and MAPS in data_samples[0]:
            return list(data_samples[0].get(MAPS))
        paths = [sample.get("img_path") for sample in data_samples]
        if self._cache is None or None in paths:
            return self._original_maps(network, x, data_samples)
        # The border of a map depends on the padding that its picture has in the batch.
        size = foreground.shape[-2:]
        flips = [bool(sample.get("flip")) for sample in data_samples]
        keys = [(*key, size) for key in zip(paths, flips, strict=True)]
        cached = self._cache.recall(keys)
        if cached is not None:
            return cached
        maps = self._original_maps(network, x, data_samples)
        self._cache.keep(keys, maps, None if self.feature_background else foreground)
        return maps

    @torch.no_grad()
    def _original_maps(
        self, network: Any, x: Tensor | None, data_samples: list[Any]
    ) -> Sequence[Tensor]:
        if x is None:
            raise ConfigError(
                "feature_weight compares with the original pictures, and there are none: "
                "set it to 0 to train from bitstreams alone"
            )
        return self._maps(network, x, data_samples)

    def _maps(self, network: Any, x: Tensor, data_samples: list[Any]) -> list[Tensor]:
        inputs, _ = self.geometry.prepare(x, data_samples, with_truth=False)
        with running(inputs, self.scope), maps_of(network) as maps:
            network.extract_feat(inputs)
        return feature_maps(maps[0])

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps that the heads are given; see :meth:`Task.features`."""
        size = tuple(x.shape[-2:])
        plain = BaseDataElement(metainfo={"img_shape": size, "ori_shape": size})
        return self._maps(self.fast.of(self.network), x, [plain] * len(x))

    def own_truth(self, x: Tensor, data_sample: Any, score: float) -> Any:
        """See :meth:`Task.own_truth`; the sample also keeps the original's feature maps."""
        own = OwnTruth(
            lambda picture, sample: self._predicted(picture, sample, score), self._with_truth
        )
        (sample,) = own.samples(x, [data_sample])
        if self.feature_weight:
            maps = self._original_maps(self.fast.of(self.network), x, [sample])
            sample.set_metainfo({MAPS: maps})
        return sample

    def settle_precision(self, known: str | None = None) -> str:
        """See :meth:`Task.settle_precision`."""
        amp = known if known and self.amp == "auto" else self.amp
        self.amp = self.fast.settle(amp, self.network)
        return self.amp

    def compile(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002
        """Train through a compiled backbone and neck."""
        self.fast = FastDetector(self.fast.switches._replace(compile=True))
