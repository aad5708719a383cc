"""A task's COCO metric, at the ends where mmdet's own would say nothing or raise."""

import json

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from vcm_mt.errors import DataError
from vcm_mt.evaluation.metrics import TaskCocoMetric


def judged(tmp_path, annotations, boxes):
    """Figures of one picture of 64x64 on which a task named det found these boxes."""
    path = tmp_path / "truth.json"
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}],
        "annotations": [
            {"id": n, "image_id": 1, "category_id": 3, "bbox": box, "iscrowd": 0,
             "area": box[2] * box[3]}
            for n, box in enumerate(annotations, start=1)
        ],
        "categories": [{"id": 3, "name": "cup"}],
    }  # fmt: skip
    path.write_text(json.dumps(truth))
    metric = TaskCocoMetric("det", ann_file=str(path), metric="bbox")
    metric.dataset_meta = {"classes": ("cup",)}
    found = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
    )
    sample = DetDataSample(metainfo={"img_id": 1, "ori_shape": (64, 64)})
    metric.process({}, [{**sample.to_dict(), "pred_det": found.to_dict()}])
    return metric.evaluate(1)


def test_what_is_found_scores(tmp_path):
    figures = judged(tmp_path, [[8, 8, 24, 24]], [[8, 8, 32, 32]])
    assert figures["det/bbox_mAP"] == pytest.approx(1)


def test_nothing_found_is_a_score_of_nothing(tmp_path):
    assert judged(tmp_path, [[8, 8, 24, 24]], np.zeros((0, 4)).tolist()) == {"det/bbox_mAP": 0}


@pytest.mark.parametrize("boxes", [[], [[8, 8, 32, 32]]])
def test_nothing_to_find_is_told(boxes, tmp_path):
    with pytest.raises(DataError, match="det cannot be judged: its annotations hold no object"):
        judged(tmp_path, [], boxes)
