"""MPEG's judges and metrics: what they keep of predictions, and what they refuse."""

import json

import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.structures import BaseDataElement, InstanceData

from tests import mpeg_samples as samples
from vcm_mt.curves.rp import Pictures, metric_title, task_of
from vcm_mt.curves.voc import AreaMatches
from vcm_mt.datasets.mpeg.classes import ACTIONS, COCO, JOINTS
from vcm_mt.datasets.mpeg.hieve import prepare_hieve
from vcm_mt.datasets.mpeg.openimages import prepare_openimages
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.evaluation.measure import scores
from vcm_mt.metrics.judges import make_judge


def metric(kind, file, **settings):
    return ConfigDict(type=f"vcm_mt.{kind}", ann_file=str(file), task="own", **settings)


def answers(truth, masks=False):
    """The annotations as a network's predictions, by picture."""
    for number, image in truth.imgs.items():
        own = truth.imgToAnns[number]
        boxes = np.array([one["bbox"] for one in own], float).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        found = InstanceData(
            bboxes=torch.from_numpy(boxes).float(),
            scores=torch.linspace(0.9, 0.8, len(own)),
            labels=torch.tensor([one["category_id"] - 1 for one in own], dtype=torch.int64),
        )
        if masks:
            drawn = [
                truth.annToMask(one) if "segmentation" in one
                else np.zeros((image["height"], image["width"])) for one in own
            ]  # fmt: skip
            size = (len(own), image["height"], image["width"])
            found.masks = torch.from_numpy(np.array(drawn, bool).reshape(size))
        yield number, image, found


@pytest.mark.parametrize("shape", ["bbox", "segm"])
def test_the_truth_itself_is_perfect(shape, tmp_path):
    root = samples.openimages(tmp_path)
    prepare_openimages(root)
    file = root / "prepared" / "segmentation.json"
    own = metric("TaskOpenImagesMetric", file, metric=shape)
    judge = make_judge("own", own, COCO)
    entries = []
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        evaluator = Evaluator([own])
    evaluator.dataset_meta = {"classes": COCO}
    for number, image, found in answers(judge.truth, shape == "segm"):
        entries += judge.entries(number, found, None)
        sample = BaseDataElement(metainfo={"img_id": number, "img_path": image["file_name"]})
        sample.set_field(found, "pred_own")
        evaluator.process([sample], None)
    matches = judge.scores(entries, [[number] for number in judge.truth.imgs])["own_oiAP"]
    assert isinstance(matches, AreaMatches) and matches.score()[0] == 100
    assert evaluator.evaluate(3) == {"own/oiAP": 1.0}
    assert scores({"own/oiAP": 0.5}) == {"own_oiAP": 50}
    # Kept with a point, it stays what it is.
    pictures = Pictures(*np.ones((3, 3), int), matches={"own_oiAP": matches})
    again = Pictures.from_dict(pictures.to_dict())
    assert isinstance(again.matches["own_oiAP"], AreaMatches)
    assert task_of("own_oiAP") == "own" and "OpenImages" in metric_title("det_oiAP")


def test_a_class_is_a_part_of_others(tmp_path):
    root = samples.openimages(tmp_path)
    prepare_openimages(root)
    file = root / "prepared" / "detection.json"
    plain = make_judge("own", metric("TaskOpenImagesMetric", file), COCO)
    above = {"airplane": ["bus", "train"]}
    judge = make_judge("own", metric("TaskOpenImagesMetric", file, parents=above), COCO)
    assert judge.kind != plain.kind
    units = [[number] for number in judge.truth.imgs]
    found = judge.scores([], units)["own_oiAP"]
    numbers = [COCO.index(name) for name in ("airplane", "bus", "train")]
    assert found.objects[numbers].sum(axis=1).tolist() == [1, 1, 1]
    with pytest.raises(DataError, match="only 0 of the classes vehicle"):
        wrong = metric("TaskOpenImagesMetric", file, parents={"airplane": ["vehicle"]})
        make_judge("own", wrong, COCO)


def test_pictures_without_verified_labels_are_refused(tmp_path):
    path = tmp_path / "plain.json"
    told = {"images": [{"id": 1, "file_name": "a.png", "width": 4, "height": 4}],
            "categories": [{"id": 1, "name": "person"}]}  # fmt: skip
    path.write_text(json.dumps(told))
    with pytest.raises(DataError, match="which classes were verified on a.png"):
        make_judge("own", metric("TaskOpenImagesMetric", path), ("person",))
    told["annotations"] = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 2, 2]}]
    path.write_text(json.dumps(told))
    with pytest.raises(DataError, match="annotation 1 has no keypoints of 14 joints"):
        make_judge("own", metric("TaskJointsMetric", path), ("person",))


@pytest.mark.parametrize("joints", [14, 17])
def test_poses(joints, tmp_path):
    root = samples.hieve(tmp_path)
    prepare_hieve(root)
    judge = make_judge("own", metric("TaskJointsMetric", root / "prepared/poses.json"), ("person",))
    entries = []
    for number in judge.truth.imgs:
        (one,) = judge.truth.imgToAnns[number]
        told = np.array(one["keypoints"]).reshape(1, len(JOINTS), 3)
        places = torch.from_numpy(told[..., :2]) if joints == 14 else torch.zeros(1, 17, 2)
        found = InstanceData(keypoints=places, keypoint_scores=torch.ones(1, joints),
                             scores=torch.ones(1))  # fmt: skip
        entries += judge.entries(number, found, None)
    assert all(len(one["keypoints"]) == 42 for one in entries)
    ids = list(judge.truth.imgs)
    score = judge.scores(entries, [ids[:2], ids[2:]])["own_mAP"]
    assert score.num_units == 2
    assert score.score()[0] == pytest.approx(100 if joints == 14 else 0)
    with pytest.raises(ConfigError, match="finds no joints"):
        judge.entries(1, InstanceData(scores=torch.ones(1)), None)


def test_actions(tmp_path):
    root = samples.hieve(tmp_path)
    prepare_hieve(root)
    file = root / "prepared" / "actions.json"
    judge = make_judge("own", metric("TaskFrameActionMetric", file), ACTIONS)
    many, few = [], []
    for number, _, found in answers(judge.truth):
        few += judge.entries(number, found, None)
        every = torch.full((len(found), len(ACTIONS)), 0.1)
        every[torch.arange(len(found)), found.labels] = 0.9
        found.scores = every
        many += judge.entries(number, found, None)
    units = [[number] for number in judge.truth.imgs]
    for entries in (few, many):
        assert judge.scores(entries, units)["own_fmAP"].score()[0] == 100
    found.scores = every[:, :3]
    with pytest.raises(ConfigError, match="knows 3 actions, and the config 14"):
        judge.entries(1, found, None)


def test_tracks_with_an_offset_and_motmetrics_counts(tmp_path):
    root = samples.hieve(tmp_path)
    prepare_hieve(root)
    file = root / "prepared" / "tracking.json"
    plain = make_judge("own", metric("TaskTrackMetric", file), ("person",))
    judge = make_judge("own", metric("TaskTrackMetric", file, offset=1, clear=True), ("person",))
    assert (plain.kind, judge.kind) == ("track", "track offset 1 clear")
    entries = []
    for number, _, found in answers(judge.truth):
        found.instances_id = torch.ones(len(found), dtype=torch.int64)
        entries += judge.entries(number, found, None)
    wanted = judge.truth.imgToAnns[1][0]["bbox"]
    assert entries[0]["bbox"] == [wanted[0] - 1, wanted[1] - 1, *wanted[2:]]
    units = [[1, 2], [3, 4]]
    assert judge.scores(entries, units)["own_MOTA"].score()[0] == 100
