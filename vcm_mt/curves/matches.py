"""COCO's average precision from matches by picture, so that pictures can be resampled."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from contextlib import AbstractContextManager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numba import njit
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from typing_extensions import Self

from vcm_mt.errors import MeasurementError

#: COCO's IoU thresholds, 0.50 to 0.95; one bit of a detection's flags stands for each.
THRESHOLDS = 10
MAX_DETECTIONS = 100
#: COCO's number of poses that count in a picture.
MAX_POSES = 20
_RECALLS = np.linspace(0.0, 1.0, 101)
_EPSILON = float(np.spacing(1))


@dataclass(frozen=True, eq=False)
class Matches:
    """All detections of a test set, and whether each matches an object at each IoU threshold.

    Attributes:
        objects: int32 [C, P], number of objects by category and picture, without crowds.
        begins: int64 [C + 1], where each category's detections begin.
        pictures: int32 [D], the picture of each detection; by category, best score first.
        hits: uint16 [D], bit t is set where the detection matches an object at threshold t.
        ignored: uint16 [D], bit t is set where it does not count, as it matches a crowd.
    """

    objects: NDArray[np.int32]
    begins: NDArray[np.int64]
    pictures: NDArray[np.int32]
    hits: NDArray[np.uint16]
    ignored: NDArray[np.uint16]

    @classmethod
    def of(
        cls,
        truth: COCO,
        found: Sequence[dict[str, Any]],
        kind: str,
        ids: Sequence[int],
        sigmas: Sequence[float] = (),
    ) -> Self:
        """Match detections to the truth with pycocotools.

        Args:
            truth: The annotations.
            found: Detections in COCO's result format.
            kind: "bbox", "segm" or "keypoints".
            ids: The pictures' image_id, in the order of the data set.
            sigmas: Of the joints, for keypoints.
        """
        with quiet():
            judge = judge_of(truth, found, kind, sigmas)
            judge.params.imgIds = list(ids)
            judge.params.maxDets = [MAX_POSES if kind == "keypoints" else MAX_DETECTIONS]
            judge.params.areaRng, judge.params.areaRngLbl = [judge.params.areaRng[0]], ["all"]
            judge.evaluate()
        place = {image: index for index, image in enumerate(ids)}
        order = [place[image] for image in judge.params.imgIds]  # pycocotools sorts them
        by_category = np.array(judge.evalImgs, dtype=object).reshape(-1, len(order))
        objects = np.zeros(by_category.shape, dtype=np.int32)
        parts = []
        for category, row in enumerate(by_category):
            seen = [(at, one) for at, one in zip(order, row, strict=True) if one is not None]
            for at, one in seen:
                objects[category, at] = np.count_nonzero(np.asarray(one["gtIgnore"]) == 0)
            parts.append(_sorted(seen))
        begins = np.cumsum([0, *(len(part[0]) for part in parts)])
        columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        return cls(objects, begins, *columns)

    def average_precision(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """COCO's AP (IoU or OKS 0.50:0.95, all areas, 100 detections or 20 poses) in percent.

        Args:
            weights: float64 [B, P], how often each picture counts; by default each once.

        Returns:
            float64 [B], or [1] without weights; NaN where no picture with an object counts.
        """
        if weights is None:
            weights = np.ones((1, self.objects.shape[1]))
        return 100 * _average_precision(
            self.objects, self.begins, self.pictures, self.hits, self.ignored, weights, _RECALLS
        )

    def at(self, threshold: int) -> Self:
        """The same at one of COCO's thresholds alone, 0 for an IoU of 0.50: AP50's matches."""
        every = (1 << THRESHOLDS) - 1
        hits, ignored = (
            ((flags >> threshold) & 1).astype(np.uint16) * np.uint16(every)
            for flags in (self.hits, self.ignored)
        )
        return replace(self, hits=hits, ignored=ignored)

    @property
    def num_units(self) -> int:
        """P."""
        return self.objects.shape[1]

    def score(self, weights: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
        """The average precision; see :meth:`average_precision`."""
        return self.average_precision(weights)

    def grouped(self, groups: Sequence[int]) -> Self:
        """Put pictures together, as those of a video: they are resampled together then.

        Args:
            groups: The group's number of each picture; numbers go from 0 on.
        """
        place = np.array(groups, dtype=np.int32)
        objects = np.zeros((len(self.objects), int(place.max()) + 1), dtype=np.int32)
        np.add.at(objects.T, place, self.objects.T)
        return replace(self, objects=objects, pictures=place[self.pictures])

    def reduced(self) -> Self:
        """Leave out what no average precision depends on, whatever the pictures' weights.

        These are detections that are ignored at all thresholds, and those after the last hit of
        their category, where recall no longer rises. Of the misses between two hits only the number
        matters; they are sorted by picture, which compresses better.
        """
        category = np.repeat(np.arange(len(self.objects)), np.diff(self.begins))
        hits = self.hits & ~self.ignored
        place = np.arange(len(hits))
        last_hit = np.full(len(self.objects), -1)
        np.maximum.at(last_hit, category[hits != 0], place[hits != 0])
        keep = (place <= last_hit[category]) & (self.ignored != (1 << THRESHOLDS) - 1)
        category, pictures = category[keep], self.pictures[keep]
        hits, ignored = hits[keep], self.ignored[keep]
        miss = (hits | ignored) == 0
        run = 2 * np.cumsum(~miss) + miss  # consecutive misses form one run
        order = np.lexsort((pictures, run, category))
        counts = np.bincount(category, minlength=len(self.objects))
        begins = np.concatenate([[0], np.cumsum(counts)])
        return type(self)(self.objects, begins, pictures[order], hits[order], ignored[order])

    def to_text(self) -> str:
        """Encode as ASCII for JSON: a compressed NumPy archive in Base64."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **vars(self))
        return base64.b64encode(buffer.getvalue()).decode()

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The inverse of :meth:`to_text`.

        Raises:
            MeasurementError: When it is not what :meth:`to_text` wrote.
        """
        try:
            with np.load(io.BytesIO(base64.b64decode(text)), allow_pickle=False) as arrays:
                return cls(**arrays)
        except (ValueError, TypeError, OSError, EOFError, BadZipFile) as error:
            raise MeasurementError(f"damaged matches of an R-P point: {error}") from error


def quiet() -> AbstractContextManager[Any]:
    """Suppress what pycocotools prints."""
    return redirect_stdout(io.StringIO())


def judge_of(
    truth: COCO, found: Sequence[dict[str, Any]], kind: str, sigmas: Sequence[float] = ()
) -> COCOeval:
    """Pycocotools' evaluation of detections or, by the sigmas of their joints, of poses."""
    judge = COCOeval(own_copy(truth), results_of(truth, found), kind)
    if kind == "keypoints":
        judge.params.kpt_oks_sigmas = np.array(sigmas)
    return judge


def own_copy(truth: COCO) -> COCO:
    """Copy annotations, as COCOeval writes masks and flags into them."""
    copy = COCO()
    copy.dataset = {
        **truth.dataset,
        "annotations": [dict(one) for one in truth.dataset["annotations"]],
    }
    copy.createIndex()
    return copy


def results_of(truth: COCO, found: Sequence[dict[str, Any]]) -> COCO:
    """Detections in COCO's result format as pycocotools takes them."""
    if found:
        return truth.loadRes([dict(one) for one in found])  # as it writes into them
    empty = COCO()
    empty.dataset = {**truth.dataset, "annotations": []}
    empty.createIndex()
    return empty


def _sorted(seen: Sequence[tuple[int, dict[str, Any]]]) -> tuple[Any, Any, Any]:
    """Pictures, hits and ignored flags of one category's detections, best first."""
    if not seen:
        return np.zeros(0, np.int32), np.zeros(0, np.uint16), np.zeros(0, np.uint16)
    scores = np.concatenate([one["dtScores"] for _, one in seen])
    pictures = np.concatenate([np.full(len(one["dtScores"]), at) for at, one in seen])
    hits = np.concatenate([one["dtMatches"] for _, one in seen], axis=1)
    ignored = np.concatenate([one["dtIgnore"] for _, one in seen], axis=1)
    best = np.argsort(-scores, kind="mergesort")
    return pictures[best].astype(np.int32), _bits(hits)[best], _bits(ignored)[best]


def _bits(flags: NDArray[Any]) -> NDArray[np.uint16]:
    places = 1 << np.arange(THRESHOLDS, dtype=np.uint16)
    return ((flags != 0) * places[:, None]).sum(axis=0).astype(np.uint16)


@njit(cache=True)
def _average_precision(objects, begins, pictures, hits, ignored, weights, recalls):
    """COCOeval.accumulate for several weightings of the pictures at once."""
    num_categories, _ = objects.shape
    found = np.empty(len(weights))
    longest = 0
    for category in range(num_categories):
        longest = max(longest, begins[category + 1] - begins[category])
    recall, precision = np.empty(longest), np.empty(longest)
    for row in range(len(weights)):
        weight = weights[row]
        total, counted = 0.0, 0
        for category in range(num_categories):
            positives = (objects[category] * weight).sum()
            if positives == 0:
                continue
            counted += 1
            first, last = begins[category], begins[category + 1]
            for threshold in range(THRESHOLDS):
                right, wrong = 0.0, 0.0
                for at in range(first, last):
                    if not (ignored[at] >> threshold) & 1:
                        if (hits[at] >> threshold) & 1:
                            right += weight[pictures[at]]
                        else:
                            wrong += weight[pictures[at]]
                    recall[at - first] = right / positives
                    precision[at - first] = right / (right + wrong + _EPSILON)
                envelope, wanted = 0.0, len(recalls) - 1
                for at in range(last - first - 1, -1, -1):
                    # Recall levels that no earlier detection reaches take what holds from here on.
                    while wanted >= 0 and recalls[wanted] > recall[at]:
                        total += envelope
                        wanted -= 1
                    envelope = max(envelope, precision[at])
                if last > first:
                    total += envelope * (wanted + 1)
        found[row] = total / (counted * THRESHOLDS * len(recalls)) if counted else np.nan
    return found
