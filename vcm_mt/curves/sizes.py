"""COCO's further scores of detections: AP50, AP75, and AP by the objects' size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vcm_mt.curves.matches import own_copy, quiet, results_of

#: Places in COCOeval's summary.
_SCORES = {"AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5}


def further_scores(
    truth: COCO, found: Sequence[dict[str, Any]], kind: str, ids: Sequence[int]
) -> dict[str, float]:
    """AP50, AP75 and, by COCO's areas, AP_small, AP_medium and AP_large, in percent.

    Args:
        truth: The annotations.
        found: Detections in COCO's result format.
        kind: "bbox" or "segm".
        ids: The pictures' image_id.

    Returns:
        Scores by name, without those of sizes that no object has.
    """
    with quiet():
        judge = COCOeval(own_copy(truth), results_of(truth, found), kind)
        judge.params.imgIds = list(ids)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    scores = {name: 100 * float(judge.stats[place]) for name, place in _SCORES.items()}
    return {name: score for name, score in scores.items() if score >= 0}
