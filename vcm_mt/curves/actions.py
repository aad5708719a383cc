"""The frame mAP of actions: what persons do, judged frame by frame, as AVA does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO

from vcm_mt.curves.voc import AreaMatches, Judged, match_best, overlaps


def action_matches(
    truth: COCO, found: Sequence[Mapping[str, Any]], ids: Sequence[Any]
) -> AreaMatches:
    """Match persons who do something with those of the truth, at an IoU of 0.5.

    Args:
        truth: An object per person and action, whose category is the action.
        found: Likewise, in COCO's result format.
        ids: The frames' image_id, in the order of the data set.
    """
    known: defaultdict[tuple[Any, int], list[Mapping[str, Any]]] = defaultdict(list)
    for one in found:
        known[one["image_id"], one["category_id"]].append(one)
    categories = list(truth.cats)

    def parts() -> Iterator[Judged]:
        for number, picture in enumerate(ids):
            for place, category in enumerate(categories):
                own = [o for o in truth.imgToAnns.get(picture, []) if o["category_id"] == category]
                finds = known[picture, category]
                if own or finds:
                    scores = np.array([one["score"] for one in finds], np.float64)
                    boxes, wanted = ([one["bbox"] for one in part] for part in (finds, own))
                    hits = match_best(overlaps(boxes, wanted, of_found=False), scores)
                    yield Judged(place, number, len(own), scores, hits)

    return AreaMatches.gathered(parts(), len(categories), len(ids))
