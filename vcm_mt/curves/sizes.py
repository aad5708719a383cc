"""COCO's further scores of detections: AP50, AP75, and AP by the objects' size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pycocotools.coco import COCO

from vcm_mt.curves.matches import judge_of, quiet

#: Places in COCOeval's summary. Of keypoints, small objects have none.
_SCORES = {"AP50": 1, "AP75": 2, "AP_small": 3, "AP_medium": 4, "AP_large": 5}
_KEYPOINT_SCORES = {"AP50": 1, "AP75": 2, "AP_medium": 3, "AP_large": 4}


def further_scores(
    truth: COCO,
    found: Sequence[dict[str, Any]],
    kind: str,
    ids: Sequence[int],
    sigmas: Sequence[float] = (),
) -> dict[str, float]:
    """AP50, AP75 and, by COCO's areas, AP_small, AP_medium and AP_large, in percent.

    Args:
        truth: The annotations.
        found: Detections in COCO's result format.
        kind: "bbox", "segm" or "keypoints".
        ids: The pictures' image_id.
        sigmas: Of the joints, for keypoints.

    Returns:
        Scores by name, without those of sizes that no object has.
    """
    with quiet():
        judge = judge_of(truth, found, kind, sigmas)
        judge.params.imgIds = list(ids)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    places = _KEYPOINT_SCORES if kind == "keypoints" else _SCORES
    scores = {name: 100 * float(judge.stats[place]) for name, place in places.items()}
    return {name: score for name, score in scores.items() if score >= 0}
