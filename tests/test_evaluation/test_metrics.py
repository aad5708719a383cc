"""A task's COCO metric, at the ends where mmdet's own would say nothing or raise."""

import json

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from vcm_mt.datasets.mini import CLASSES
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.metrics import TaskCocoMetric, TaskTrackMetric


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


def two_classes(tmp_path, boxes, labels, **options):
    """Figures where cups are listed behind cars, and the config has them in front."""
    path = tmp_path / "truth.json"
    truth = {
        "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 64}],
        "annotations": [
            {"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20]},
            {"image_id": 1, "category_id": 2, "bbox": [30, 30, 20, 20]},
        ],
        "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "cup"}],
    }
    path.write_text(json.dumps(truth))
    metric = TaskCocoMetric("det", ann_file=str(path), **options)
    metric.dataset_meta = {"classes": ("cup", "car")}
    found = InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32),
        scores=torch.full((len(boxes),), 0.9),
        labels=torch.tensor(labels),
    )
    sample = DetDataSample(metainfo={"img_id": 1, "ori_shape": (64, 64)})
    metric.process({}, [{**sample.to_dict(), "pred_det": found.to_dict()}])
    return metric.evaluate(1)


def test_labels_are_the_configs(tmp_path):
    """Also of figures by class, and again at the next validation."""
    boxes = [[30, 30, 50, 50], [40, 0, 60, 20]]  # the cup, and a car where none is
    for _ in range(2):
        figures = two_classes(tmp_path, boxes, [0, 1], classwise=True)
        assert figures["det/cup_precision"] == pytest.approx(1)
        assert figures["det/car_precision"] == 0
        assert figures["det/bbox_mAP"] == pytest.approx(0.5)


def test_other_thresholds_than_cocos(tmp_path):
    boxes = [[30, 30, 50, 48], [0, 0, 20, 19]]  # a cup at an IoU of 0.9, a car at 0.95
    figures = two_classes(tmp_path, boxes, [0, 1])
    assert figures["det/bbox_mAP"] == pytest.approx((0.9 + 1.0) / 2, abs=1e-6)
    thresholds = [0.5, 0.95]
    figures = two_classes(tmp_path, boxes, [0, 1], iou_thrs=thresholds)
    assert figures["det/bbox_mAP"] == pytest.approx(0.75, abs=1e-3)  # only the car at 0.95


def test_sizes_of_which_there_is_no_object_have_no_score(tmp_path):
    figures = two_classes(tmp_path, [[30, 30, 50, 50]], [0])
    assert figures["det/bbox_mAP_s"] == pytest.approx(0.5)
    assert np.isnan([figures["det/bbox_mAP_m"], figures["det/bbox_mAP_l"]]).all()


def test_what_no_class_or_mask_is_there_for(tmp_path):
    with pytest.raises(ConfigError, match="class number 2, .* names 2"):
        two_classes(tmp_path, [[0, 0, 9, 9]], [2])
    with pytest.raises(DataError, match="no mask for 2 of its 2 objects"):
        two_classes(tmp_path, [[0, 0, 9, 9]], [0], metric="segm")
    with pytest.raises(ConfigError, match="needs an ann_file"):
        TaskCocoMetric("det")


def test_tracks_of_all_frames_count_whatever_size_is_told(tmp_path):
    """The length of mmdet's data sets of videos is a number of videos, not of frames."""
    prepare_videos(tmp_path, sizes={"train": (1, 2), "val": (1, 4)})
    annotations = tmp_path / "annotations" / "val.json"
    told = json.loads(annotations.read_text())
    metric = TaskTrackMetric("track", str(annotations))
    metric.dataset_meta = {"classes": CLASSES}
    for frame in told["images"]:
        own = [one for one in told["annotations"] if one["image_id"] == frame["id"]]
        boxes = torch.tensor([one["bbox"] for one in own]).float().reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = {
            "bboxes": boxes if frame["frame_id"] else boxes[:0],
            "labels": torch.tensor([one["category_id"] - 1 for one in own])[: len(boxes)],
            "instances_id": torch.tensor([one["instance_id"] for one in own]),
        }
        count = len(found["bboxes"])
        found = {name: value[:count] for name, value in found.items()}
        metric.process(None, [{"img_id": frame["id"], "pred_track": found}])
    with pytest.raises(DataError, match="does not follow"):
        metric.process(None, [{"img_id": told["images"][1]["id"], "pred_track": found}])
    missed = sum(one["image_id"] == told["images"][0]["id"] for one in told["annotations"])
    scores = metric.evaluate(1)
    assert scores["track/MOTA"] == pytest.approx(1 - missed / len(told["annotations"]))
