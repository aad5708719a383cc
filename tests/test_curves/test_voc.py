"""MPEG's metrics against independent implementations: mmdet's, pycocotools', motmetrics'."""

import io
from contextlib import redirect_stdout
from multiprocessing.pool import ThreadPool

import motmetrics
import numpy as np
import pytest
import torch
from mmdet.evaluation import OpenImagesMetric, eval_map
from mmdet.evaluation.functional import mean_ap
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vcm_mt.curves.actions import action_matches
from vcm_mt.curves.joints import HIEVE_SIGMAS, as_hieve
from vcm_mt.curves.matches import Matches
from vcm_mt.curves.openimages import openimages_matches
from vcm_mt.curves.tracks import count_tracks, shifted
from vcm_mt.curves.voc import AreaMatches
from vcm_mt.errors import ConfigError

SETS = 200
SIDE = 60
#: Category 3 is a part of 4 and 5, category 4 of 5.
PARENTS = {3: [4, 5], 4: [5]}


@pytest.fixture(autouse=True)
def _threads(monkeypatch):
    """mmdet starts processes for each set, which takes longer than the sets."""
    monkeypatch.setattr(mean_ap, "Pool", ThreadPool)


def coco(images, annotations, categories=5):
    truth = COCO()
    truth.dataset = {
        "images": images,
        "annotations": [{"id": n, "iscrowd": 0, "area": a["bbox"][2] * a["bbox"][3], **a}
                        for n, a in enumerate(annotations, start=1)],
        "categories": [{"id": n, "name": str(n)} for n in range(1, categories + 1)],
    }  # fmt: skip
    with redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def random_set(seed, whole=False):
    """Pictures, objects and detections, many of which are near an object; some in groups."""
    rng = np.random.default_rng(seed)
    images, objects, found = [], [], []
    for picture in range(1, 2 + seed % 4):
        verified = rng.permutation(np.arange(1, 6))[: rng.integers(0, 4)].tolist()
        images.append({"id": picture, "height": SIDE, "width": SIDE, "verified": verified})
        for _ in range(rng.integers(0, 7)):
            category, group = int(rng.integers(1, 6)), int(rng.random() < 0.3)
            objects.append({"image_id": picture, "category_id": category,
                            "bbox": box(rng, whole), "group_of": group})  # fmt: skip
        near = [one for one in objects if one["image_id"] == picture]
        for _ in range(rng.integers(0, 14)):
            if near and rng.random() < 0.7:
                one = near[rng.integers(len(near))]
                shift = rng.normal(0, 3, 4)
                own = (np.array(one["bbox"]) + (np.round(shift) if whole else shift)).tolist()
                own = clipped(own)
                category = one["category_id"] if rng.random() < 0.8 else int(rng.integers(1, 6))
            else:
                own, category = box(rng, whole), int(rng.integers(1, 6))
            found.append({"image_id": picture, "category_id": category, "bbox": own,
                          "score": float(rng.random())})  # fmt: skip
    return images, objects, found


def box(rng, whole):
    x, y = rng.uniform(0, 30, 2)
    wide, tall = rng.uniform(5, 25, 2)
    own = [x, y, wide, tall]
    return [float(round(value)) for value in own] if whole else own


def clipped(own):
    x, y = (min(max(value, 0.0), SIDE - 3.0) for value in own[:2])
    return [x, y, max(2.0, min(own[2], SIDE - x)), max(2.0, min(own[3], SIDE - y))]


def mmdets(images, objects, found):
    """The same by mmdet's metric, in [0, 1]."""
    relation = np.eye(5, dtype=bool)
    for child, above in PARENTS.items():
        relation[child - 1, [one - 1 for one in above]] = True
    metric = OpenImagesMetric()
    classes = [str(n) for n in range(5)]
    metric.dataset_meta = {
        "classes": classes, "RELATION_MATRIX": relation, "dataset_type": "oid_v6",
    }  # fmt: skip
    for image in images:
        own = [one for one in found if one["image_id"] == image["id"]]
        corners = [[x, y, x + w, y + h] for x, y, w, h in (one["bbox"] for one in own)]
        metric.process({}, [{
            "instances": [
                {"bbox_label": one["category_id"] - 1, "is_group_of": bool(one["group_of"]),
                 "bbox": [one["bbox"][0], one["bbox"][1], one["bbox"][0] + one["bbox"][2],
                          one["bbox"][1] + one["bbox"][3]]}
                for one in objects if one["image_id"] == image["id"]
            ],
            "image_level_labels": np.array(image["verified"], int) - 1,
            "pred_instances": {
                "bboxes": torch.tensor(corners, dtype=torch.float64).reshape(-1, 4),
                "scores": torch.tensor([one["score"] for one in own], dtype=torch.float64),
                "labels": torch.tensor([one["category_id"] - 1 for one in own], dtype=torch.int64),
            },
        }])  # fmt: skip
    with redirect_stdout(io.StringIO()):
        return metric.compute_metrics(metric.results)["mAP"]


def rectangle(own):
    x, y, wide, tall = map(int, own)
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    drawn[y : y + tall, x : x + wide] = 1
    return rle.encode(np.asfortranarray(drawn))


@pytest.mark.parametrize("part", range(4))
def test_openimages_is_mmdets_on_boxes(part):
    scores = []
    for seed in range(part, SETS, 4):
        images, objects, found = random_set(seed)
        ids = [one["id"] for one in images]
        matches = openimages_matches(coco(images, objects), found, "bbox", ids, PARENTS)
        own = matches.average_precision()[0] / 100
        scores.append(own)
        assert (0.0 if np.isnan(own) else own) == pytest.approx(
            mmdets(images, objects, found), abs=1e-6
        )
    assert np.nanmin(scores) < 0.1 and np.nanmax(scores) > 0.4


@pytest.mark.parametrize("part", range(2))
def test_openimages_is_mmdets_on_masks(part):
    """Masks of rectangles of whole pixels overlap as the boxes do."""
    for seed in range(part, SETS, 2):
        images, objects, found = random_set(seed, whole=True)
        ids = [one["id"] for one in images]
        # A threshold met exactly may be missed by mmdet's single precision.
        masked = [
            [{**one, "segmentation": rectangle(one["bbox"])} for one in entries]
            for entries in (objects, found)
        ]
        matches = openimages_matches(coco(images, masked[0]), masked[1], "segm", ids, PARENTS)
        own = matches.average_precision()[0] / 100
        other = mmdets(images, objects, found)
        assert (0.0 if np.isnan(own) else own) == pytest.approx(other, abs=1e-6), seed


def test_a_box_without_a_mask_is_neither_an_object_nor_a_mistake():
    images = [{"id": 1, "height": SIDE, "width": SIDE, "verified": []}]
    objects = [
        {"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "group_of": 0,
         "segmentation": rectangle([0, 0, 20, 20])},
        {"image_id": 1, "category_id": 1, "bbox": [30, 30, 20, 20], "group_of": 0},
        {"image_id": 1, "category_id": 1, "bbox": [0, 30, 20, 20], "group_of": 1},
    ]  # fmt: skip

    def found(*boxes):
        return [{"image_id": 1, "category_id": 1, "bbox": list(b), "segmentation": rectangle(b),
                 "score": 1 - n / 10} for n, b in enumerate(boxes)]  # fmt: skip

    def score(*boxes):
        return openimages_matches(coco(images, objects), found(*boxes), "segm", [1]).score()[0]

    right, bare, group = (0, 0, 20, 20), (30, 30, 20, 20), (2, 32, 9, 9)
    assert score(right) == 100
    assert score(bare, group, right) == 100
    assert score(bare, bare, right) == 50  # the second one is a mistake
    assert score((40, 0, 10, 10), right) == 50


def test_what_was_not_verified_is_not_judged():
    images = [{"id": n, "height": SIDE, "width": SIDE, "verified": own}
              for n, own in ((1, []), (2, [2]))]  # fmt: skip
    objects = [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 20, 20], "group_of": 0}]
    objects.append({**objects[0], "category_id": 2, "bbox": [5, 5, 9, 9], "image_id": 2})
    right = [{**one, "score": 0.5} for one in objects]
    wrong = {"image_id": 1, "category_id": 2, "bbox": [40, 40, 9, 9], "score": 0.9}
    truth = coco(images, objects)
    assert openimages_matches(truth, [*right, wrong], "bbox", [1, 2]).score()[0] == 100
    assert openimages_matches(truth, [*right, {**wrong, "image_id": 2}], "bbox", [1, 2]).score()[
        0
    ] == pytest.approx(75)


def test_weights_repeat_pictures():
    images, objects, found = random_set(7)
    ids = [one["id"] for one in images]
    whole = openimages_matches(coco(images, objects), found, "bbox", ids)
    weights = np.array([[2.0, 0, 1, 1]])
    kept = [1, 3, 4]
    twice = [{**one, "image_id": 9} for one in images if one["id"] == 1]
    again = coco(
        [*(one for one in images if one["id"] in kept), *({**one, "id": 9} for one in twice)],
        [*(one for one in objects if one["image_id"] in kept),
         *({**one, "image_id": 9} for one in objects if one["image_id"] == 1)],
    )  # fmt: skip
    more = [*found, *({**one, "image_id": 9} for one in found if one["image_id"] == 1)]
    direct = openimages_matches(again, more, "bbox", [*kept, 9])
    assert whole.score(weights)[0] == pytest.approx(direct.score()[0])
    text = AreaMatches.from_text(whole.to_text())
    assert text.score(weights)[0] == whole.score(weights)[0]
    assert whole.reduced().score(weights)[0] == whole.score(weights)[0]
    grouped = whole.grouped([0, 0, 1, 1])
    assert grouped.score()[0] == pytest.approx(whole.score()[0])


@pytest.mark.parametrize("part", range(2))
def test_frame_map_of_actions_is_mmdets(part):
    for seed in range(part, SETS, 2):
        images, objects, found = random_set(seed)
        ids = [one["id"] for one in images]
        own = action_matches(coco(images, objects), found, ids).average_precision()[0] / 100
        results, truth = [], []
        for number in ids:
            finds = [one for one in found if one["image_id"] == number]
            results.append([
                np.array([[*corners(one["bbox"]), one["score"]] for one in finds
                          if one["category_id"] == category]).reshape(-1, 5)
                for category in range(1, 6)
            ])  # fmt: skip
            labelled = [one for one in objects if one["image_id"] == number]
            truth.append({
                "bboxes": np.array([corners(one["bbox"]) for one in labelled]).reshape(-1, 4),
                "labels": np.array([one["category_id"] - 1 for one in labelled], int),
            })  # fmt: skip
        with redirect_stdout(io.StringIO()):
            other, _ = eval_map(results, truth, iou_thr=0.5, logger="silent")
        assert (0.0 if np.isnan(own) else own) == pytest.approx(other, abs=1e-6)


def corners(own):
    return [own[0], own[1], own[0] + own[2], own[1] + own[3]]


@pytest.mark.parametrize("part", range(2))
def test_ap_and_ap50_of_a_class_of_sequences_are_pycocotools(part):
    """Sequences are units; a class is some of them, as with MPEG's offsets of picture ids."""
    for seed in range(3 + 4 * part, 4 * SETS, 8):  # of four pictures
        images, objects, found = random_set(seed)
        for one in objects:
            one.pop("group_of")
        truth = coco(images, objects)
        matches = Matches.of(truth, found, "bbox", [1, 2, 3, 4]).grouped([0, 0, 1, 2])
        for units, ids in (((1, 0, 0), [1, 2]), ((1, 0, 1), [1, 2, 4]), ((1, 1, 1), [1, 2, 3, 4])):
            weights = np.array([units], float)
            stats = coco_eval(truth, found, ids, "bbox")
            for own, other in ((matches, stats[0]), (matches.at(0), stats[1])):
                score = own.score(weights)[0] / 100
                assert (-1 if np.isnan(score) else score) == pytest.approx(other, abs=1e-6)


def coco_eval(truth, found, ids, kind, sigmas=None):
    with redirect_stdout(io.StringIO()):
        results = truth.loadRes([dict(one) for one in found]) if found else coco([], [])
        judge = COCOeval(truth, results, kind)
        judge.params.imgIds = ids
        if sigmas is not None:
            judge.params.kpt_oks_sigmas = np.array(sigmas)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats


def poses(seed):
    rng = np.random.default_rng(seed)
    images = [{"id": n, "height": 200, "width": 200} for n in (1, 2, 3)]
    objects, found = [], []
    for image in images:
        for _ in range(rng.integers(1, 4)):
            corner, size = rng.uniform(0, 120, 2), rng.uniform(30, 80, 2)
            joints = corner + rng.uniform(0, 1, (14, 2)) * size
            flags = rng.integers(0, 3, 14)
            told = np.concatenate([joints * (flags > 0)[:, None], flags[:, None]], axis=1)
            objects.append({"image_id": image["id"], "category_id": 1,
                            "bbox": [*corner.tolist(), *size.tolist()],
                            "keypoints": told.ravel().tolist(),
                            "num_keypoints": int((flags > 0).sum())})  # fmt: skip
            if rng.random() < 0.9:
                seen = joints + rng.normal(0, rng.uniform(0.5, 6), (14, 2))
                places = np.concatenate([seen, np.ones((14, 1))], axis=1)
                found.append({"image_id": image["id"], "category_id": 1,
                              "keypoints": places.ravel().tolist(),
                              "score": float(rng.random())})  # fmt: skip
    return images, objects, found


def test_oks_on_14_joints():
    for seed in range(SETS):
        images, objects, found = poses(seed)
        truth = coco(images, objects, 1)
        ids = [1, 2, 3]
        own = Matches.of(truth, found, "keypoints", ids, HIEVE_SIGMAS).score()[0] / 100
        stats = coco_eval(truth, found, ids, "keypoints", HIEVE_SIGMAS)
        assert own == pytest.approx(stats[0], abs=1e-6)


def test_a_pose_of_one_person_by_the_formula():
    """AP of one pose is the share of thresholds that its OKS, computed here, reaches."""
    sigmas = np.array(HIEVE_SIGMAS)
    seen_scores = set()
    for seed in range(SETS):
        images, objects, _ = poses(seed)
        (one,) = objects[:1]
        joints = np.array(one["keypoints"]).reshape(14, 3)
        seen = joints[:, :2] + np.random.default_rng(seed).normal(0, 4, (14, 2))
        labelled = joints[:, 2] > 0
        if not labelled.any():
            continue
        distance = ((seen - joints[:, :2]) ** 2).sum(axis=1)
        area = one["bbox"][2] * one["bbox"][3]
        oks = np.exp(-distance / (2 * area * (2 * sigmas) ** 2))[labelled].mean()
        places = np.concatenate([seen, np.ones((14, 1))], axis=1).ravel().tolist()
        found = [{"image_id": 1, "category_id": 1, "keypoints": places, "score": 1.0}]
        truth = coco(images, [one], 1)
        own = Matches.of(truth, found, "keypoints", [1], HIEVE_SIGMAS).score()[0] / 100
        assert own == pytest.approx((oks >= np.linspace(0.5, 0.95, 10)).mean(), abs=1e-6)
        seen_scores.add(round(own, 2))
    assert len(seen_scores) > 5


def test_cocos_joints_as_hieves():
    places = np.arange(2 * 17 * 3, dtype=float).reshape(2, 17, 3)
    found = as_hieve(places)
    assert found.shape == (2, 14, 3)
    assert found[0, 0].tolist() == places[0, 0].tolist()
    assert found[0, 1].tolist() == places[0, 5:7].mean(axis=0).tolist()
    assert found[1, 13].tolist() == places[1, 15].tolist()  # the left ankle
    assert as_hieve(found) is found
    with pytest.raises(ConfigError, match="a pose of 13 joints"):
        as_hieve(places[:, :13])


def tracks(seed):
    """Three sequences with objects, and tracks near them."""
    rng = np.random.default_rng(seed)
    videos = []
    for _ in range(3):
        truth, found = [], []
        places = rng.uniform(0, 150, (4, 2))
        for t in range(8):
            objects = [
                {"instance_id": n + 1, "category_id": 1, "bbox": [*corner, 20.0, 30.0]}
                for n, corner in enumerate((places + t).tolist())
            ]
            seen = []
            for n, one in enumerate(objects):
                if rng.random() < 0.8:
                    number = n + 1 if rng.random() < 0.9 else 9 + n
                    shift = rng.normal(0, 4, 4)
                    seen.append({"instance_id": number, "category_id": 1,
                                 "bbox": (np.array(one["bbox"]) + shift).tolist()})  # fmt: skip
            truth.append(objects if t != 3 else [])
            found.append(seen if t != 5 else [])
        videos.append((truth, found))
    return videos


def test_mota_is_motmetrics_over_pooled_accumulators():
    host = motmetrics.metrics.create()
    for seed in range(SETS):
        videos = tracks(seed)
        offset = seed % 2
        moved = [
            [[{**one, "bbox": shifted(one["bbox"], offset)} for one in frame] for frame in found]
            for _, found in videos
        ]
        counts = count_tracks([truth for truth, _ in videos], moved, clear=True)["MOTA"]
        judges = []
        for truth, found in videos:
            judge = motmetrics.MOTAccumulator(auto_id=True)
            for objects, seen in zip(truth, found, strict=True):
                boxes = [np.array([one["bbox"] for one in part]).reshape(-1, 4)
                         for part in (objects, seen)]  # fmt: skip
                boxes[1][:, :2] -= offset
                judge.update(
                    [one["instance_id"] for one in objects],
                    [one["instance_id"] for one in seen],
                    motmetrics.distances.iou_matrix(*boxes, max_iou=0.5),
                )
            judges.append(judge)
        table = host.compute_many(judges, metrics=["mota"], names=list("abc"),
                                  generate_overall=True)  # fmt: skip
        assert counts.score()[0] / 100 == pytest.approx(table.loc["OVERALL", "mota"], abs=1e-6)
        for unit, name in enumerate("abc"):
            own = counts.score(np.eye(3)[[unit]])[0] / 100
            assert own == pytest.approx(table.loc[name, "mota"], abs=1e-6)
