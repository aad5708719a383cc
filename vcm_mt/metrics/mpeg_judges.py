"""Judges of MPEG's conditions: OpenImages' challenge AP, OKS on 14 joints, frame mAP of actions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from vcm_mt.curves.actions import action_matches
from vcm_mt.curves.joints import HIEVE_SIGMAS, as_hieve
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.openimages import openimages_matches
from vcm_mt.curves.voc import AreaMatches
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics.coco import CocoJudge
from vcm_mt.metrics.judge import Entry


class _UnitJudge(CocoJudge):
    """Judges matches of one kind, in pictures or whole videos."""

    def scores(self, entries: Sequence[Entry], units: Sequence[Sequence[Any]]) -> dict[str, Any]:
        """The score that it is told by."""
        numbers = [number for unit in units for number in unit]
        matches = self._matches(entries, numbers)
        if len(numbers) > len(units):
            matches = matches.grouped([n for n, unit in enumerate(units) for _ in unit])
        return {f"{self.task}_{self.main}": matches}

    def further(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> dict[str, float]:  # noqa: ARG002
        """None."""
        return {}

    def _matches(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> Matches:
        raise NotImplementedError


class OpenImagesJudge(_UnitJudge):
    """OpenImages' challenge AP of boxes or masks, see :mod:`vcm_mt.curves.openimages`.

    The metric's ``parents`` names the classes that a class is a part of, all of them: by default
    none, as in MPEG's 47 classes.
    """

    main = "oiAP"

    def __init__(self, task: str, metric: Any, classes: Sequence[str]) -> None:
        self._parents: dict[str, Sequence[str]] = dict(metric.get("parents") or {})
        super().__init__(task, metric, classes)
        ids = self.truth.get_cat_ids
        self._above = {ids([name])[0]: ids(above) for name, above in self._parents.items()}

    def _kind(self, metric: Any) -> str:
        self._shape = super()._kind(metric)
        told = f"{sorted(self._parents.items())} " if self._parents else ""
        return f"openimages {told}{self._shape}"

    def _read(self) -> Annotations:
        truth = Annotations(self.ann_file, self.classes)
        if bare := [one["file_name"] for one in truth.imgs.values() if "verified" not in one]:
            raise DataError(
                f"{self.ann_file}, by which {self.task} is judged, does not say which classes were "
                f"verified on {bare[0]}: write it with vcm-mt prepare openimages"
            )
        return truth

    def _matches(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> AreaMatches:
        return openimages_matches(self.truth, entries, self._shape, numbers, self._above)


class JointsJudge(_UnitJudge):
    """COCO's AP by object keypoint similarity, on HiEve's 14 joints."""

    def _kind(self, metric: Any) -> str:  # noqa: ARG002
        return f"keypoints {len(HIEVE_SIGMAS)}"

    def _read(self) -> Annotations:
        truth = Annotations(self.ann_file, self.classes)
        wanted = 3 * len(HIEVE_SIGMAS)
        for number, one in truth.anns.items():
            if len(one.get("keypoints", ())) != wanted or "num_keypoints" not in one:
                raise DataError(
                    f"{self.ann_file}, by which {self.task} is judged: annotation {number} has no "
                    f"keypoints of {len(HIEVE_SIGMAS)} joints and their num_keypoints"
                )
        return truth

    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:  # noqa: ARG002
        """Poses in COCO's result format, all of the first class.

        ``found`` has ``keypoints`` [N, K, 2], ``keypoint_scores`` [N, K] and ``scores`` [N].
        """
        if "keypoints" not in found:
            raise ConfigError(f"{self.task} finds no joints: judge it by its boxes")
        places = np.concatenate(
            [_array(found.keypoints), _array(found.keypoint_scores)[..., None]], axis=-1
        )
        (category,) = self.truth.get_cat_ids(self.classes[:1])
        return [
            {"image_id": number, "category_id": category, "score": score,
             "keypoints": own.ravel().tolist()}
            for own, score in zip(as_hieve(places), _array(found.scores).tolist(), strict=True)
        ]  # fmt: skip

    def _matches(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> Matches:
        return Matches.of(self.truth, entries, "keypoints", numbers, HIEVE_SIGMAS)


class FrameActionJudge(_UnitJudge):
    """The frame mAP of actions at an IoU of 0.5, see :mod:`vcm_mt.curves.actions`."""

    main = "fmAP"

    def _kind(self, metric: Any) -> str:  # noqa: ARG002
        return "actions"

    def _read(self) -> Annotations:
        return Annotations(self.ann_file, self.classes)

    def entries(self, number: Any, found: Any, sample: Any) -> list[Entry]:
        """A person and action each; ``scores`` are [N, classes], or [N] beside ``labels``.

        With ``img_ids`` persons are of those pictures: a task that looks at a clip around a picture
        tells of it later.
        """
        if found is None:
            return []
        if found.scores.ndim == 1:
            return super().entries(number, found, sample)
        categories = self.truth.get_cat_ids(self.classes)
        scores, boxes = _array(found.scores), _array(found.bboxes)
        if scores.shape[1] != len(categories):
            raise ConfigError(
                f"{self.task} knows {scores.shape[1]} actions, and the config {len(categories)}"
            )
        boxes[:, 2:] -= boxes[:, :2]
        numbers = found.get("img_ids", [number] * len(boxes))
        return [
            {"image_id": one, "category_id": categories[label], "score": score, "bbox": box}
            for one, box, own in zip(numbers, boxes.tolist(), scores.tolist(), strict=True)
            for label, score in enumerate(own)
        ]

    def _matches(self, entries: Sequence[Entry], numbers: Sequence[Any]) -> AreaMatches:
        return action_matches(self.truth, entries, numbers)


def _array(values: Any) -> Any:
    """A tensor or array as a new one of float64."""
    values = values.cpu().numpy() if hasattr(values, "cpu") else values
    return np.array(values, np.float64)
