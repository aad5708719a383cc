"""Keypoint AP of a task: that of COCOeval, also where pictures are resampled."""

import io
import json
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vcm_mt.datasets.mini.figure_writer import SIGMAS
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.evaluation.measure import scores
from vcm_mt.metrics import TaskPoseMetric
from vcm_mt.metrics.judges import make_judge


@pytest.fixture
def truth(figures):
    return str(figures / "annotations" / "train.json")


def guesses(path, seed=0):
    """By picture: poses near the true ones, some far off, and some twice."""
    rng = np.random.default_rng(seed)
    content = json.loads(Path(path).read_text())
    found = {}
    for image in content["images"]:
        own = [one for one in content["annotations"] if one["image_id"] == image["id"]]
        own = [one for one in own for _ in range(rng.integers(1, 3))]
        points = np.array([one["keypoints"] for one in own]).reshape(-1, 13, 3)[..., :2]
        points = points + rng.normal(0, 1, points.shape) * rng.uniform(0.5, 14, (len(own), 1, 1))
        boxes = np.array([one["bbox"] for one in own]).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found[image["id"]] = InstanceData(
            keypoints=torch.from_numpy(points).float(),
            keypoint_scores=torch.full((len(own), 13), 0.7),
            scores=torch.from_numpy(rng.uniform(0.1, 1, len(own))).float(),
            labels=torch.zeros(len(own), dtype=torch.int64),
            bboxes=torch.from_numpy(boxes).float(),
        )
    return content["images"], found


def cocos(path, images, found, ids=None):
    """COCOeval's own figures."""
    listed = [
        {
            "image_id": one["id"],
            "category_id": 1,
            "score": float(score),
            "keypoints": torch.cat([points, joint[:, None]], 1).double().flatten().tolist(),
        }
        for one in images
        for points, joint, score in zip(
            *(found[one["id"]][name] for name in ("keypoints", "keypoint_scores", "scores")),
            strict=True,
        )
    ]
    with redirect_stdout(io.StringIO()):
        coco = COCO(path)
        judge = COCOeval(coco, coco.loadRes(listed), "keypoints")
        judge.params.kpt_oks_sigmas = np.array(SIGMAS)
        judge.params.imgIds = ids or judge.params.imgIds
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


def processed(path, images, found, field="pred_pose"):
    metric = TaskPoseMetric("pose", path)
    metric.dataset_meta = {"classes": ("figure",)}
    for one in images:
        sample = {"img_id": one["id"], "img_path": one["file_name"]}
        metric.process(None, [{**sample, field: found[one["id"]].to_dict()}])
    return metric.evaluate(len(images))


def test_it_is_cocos_own(truth):
    images, found = guesses(truth)
    figures = processed(truth, images, found)
    wanted = cocos(truth, images, found)[0]
    assert 0.1 < wanted < 0.9
    assert figures == {"pose/keypoints_mAP": pytest.approx(wanted, abs=1e-9)}
    assert scores(figures) == {"pose_mAP": pytest.approx(100 * wanted, abs=1e-3)}


def test_pictures_are_resampled_like_those_of_boxes(truth):
    images, found = guesses(truth, seed=1)
    judge = make_judge("pose", ConfigDict(type="TaskPoseMetric", ann_file=truth), ("figure",))
    assert judge.kind == "keypoints" and judge.main == "mAP"
    entries = [e for one in images for e in judge.entries(one["id"], found[one["id"]], None)]
    entries = json.loads(json.dumps(entries))
    ids = [one["id"] for one in images]
    matches = judge.scores(entries, [[number] for number in ids])["pose_mAP"]
    half = np.array([[1.0, 0, 1, 0, 1, 0], [1.0] * 6])
    wanted = [cocos(truth, images, found, chosen)[0] for chosen in (ids[::2], ids)]
    np.testing.assert_allclose(matches.score(half), 100 * np.array(wanted), atol=1e-9)
    stats = cocos(truth, images, found)
    further = judge.further(entries, ids)
    assert further["AP50"] == pytest.approx(100 * stats[1])
    assert further["AP75"] == pytest.approx(100 * stats[2])


def test_nothing_found_is_a_score_of_nothing(truth):
    images, found = guesses(truth)
    none = {number: one[:0] for number, one in found.items()}
    assert processed(truth, images, none) == {"pose/keypoints_mAP": 0}


def test_tasks_that_find_something_else_are_refused(truth):
    images, found = guesses(truth)
    short = {number: one.clone() for number, one in found.items()}
    bare = {number: one.clone() for number, one in found.items()}
    for number in found:
        points, joints = short[number].pop("keypoints"), short[number].pop("keypoint_scores")
        short[number].keypoints, short[number].keypoint_scores = points[:, :12], joints[:, :12]
        del bare[number].keypoints
    judge = make_judge("pose", ConfigDict(type="TaskPoseMetric", ann_file=truth), ("figure",))
    for wrong, told in ((short, "finds 12 joints, and its annotations have 13"),
                        (bare, "finds no keypoints")):  # fmt: skip
        with pytest.raises(ConfigError, match=told):
            processed(truth, images, wrong)
        with pytest.raises(ConfigError, match=told):
            judge.entries(0, wrong[0], None)


def test_annotations_without_a_joint_are_refused(truth, tmp_path):
    content = json.loads(Path(truth).read_text())
    for one in content["annotations"]:
        one["keypoints"] = [0] * 39
    path = tmp_path / "none.json"
    path.write_text(json.dumps(content))
    with pytest.raises(DataError, match="has no keypoints"):
        TaskPoseMetric("pose", str(path)).dataset_meta = {"classes": ("figure",)}
