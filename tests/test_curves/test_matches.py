"""Average precision from matches: COCOeval's own figure, and that of resampled picture sets."""

import io
from contextlib import redirect_stdout

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from vcm_mt.curves.matches import Matches
from vcm_mt.errors import MeasurementError


def coco(objects, pictures, categories=3):
    truth = COCO()
    truth.dataset = {
        "images": [{"id": i, "width": 100, "height": 100} for i in pictures],
        "categories": [{"id": 10 * c, "name": f"c{c}"} for c in range(1, categories + 1)],
        "annotations": [
            {"id": k, "area": o["bbox"][2] * o["bbox"][3], "iscrowd": 0, **o}
            for k, o in enumerate(objects, start=1)
        ],
    }
    with redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def scene(seed, num_pictures=12):
    """Objects, and detections that hit, miss, double and lie beside; ids out of order."""
    rng = np.random.default_rng(seed)
    ids = [int(i) for i in rng.permutation(np.arange(100, 100 + num_pictures))]
    objects, found = [], []
    for image in ids[:-1]:  # the last picture is empty
        for _ in range(rng.integers(1, 6)):
            box = [*rng.uniform(0, 60, 2), *rng.uniform(8, 40, 2)]
            category = int(10 * rng.integers(1, 3))  # nothing of category 30
            crowd = int(rng.random() < 0.15)
            objects.append(
                {"image_id": image, "category_id": category, "bbox": box, "iscrowd": crowd}
            )
            for _ in range(rng.integers(0, 3)):
                moved = [float(v) for v in np.array(box) + rng.normal(0, 4, 4)]
                moved[2:] = np.maximum(moved[2:], 2).tolist()
                score = float(np.round(rng.random(), 1))  # many ties
                found.append(
                    {"image_id": image, "category_id": category, "bbox": moved, "score": score}
                )
    found += [
        {"image_id": i, "category_id": 30, "bbox": [0.0, 0.0, 9.0, 9.0], "score": 0.5} for i in ids
    ]
    return coco(objects, ids), found, ids


def judged(truth, found, kind="bbox", ids=None):
    with redirect_stdout(io.StringIO()):
        judge = COCOeval(truth, truth.loadRes(found), kind)
        if ids is not None:
            judge.params.imgIds = ids
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return 100 * judge.stats[0]


def test_equals_cocoeval():
    for seed in range(200):
        truth, found, ids = scene(seed)
        (ap,) = Matches.of(truth, found, "bbox", ids).average_precision()
        assert ap == pytest.approx(judged(truth, found), abs=1e-10), seed
        assert 0 < ap < 100


def test_masks_too():
    truth, found, ids = scene(3)
    for entry in [*truth.dataset["annotations"], *found]:
        x, y, w, h = entry["bbox"]
        entry["segmentation"] = [[x, y, x + w, y, x + w, y + h]]
    for entry in truth.dataset["annotations"]:
        entry["iscrowd"] = 0
    results = [{k: v for k, v in entry.items() if k != "bbox"} for entry in found]
    results = [{**r, "segmentation": truth.annToRLE(r)} for r in results]
    (ap,) = Matches.of(truth, results, "segm", ids).average_precision()
    assert ap == pytest.approx(judged(truth, results, "segm"), abs=1e-10)


def test_weights_of_zero_and_one_are_a_subset():
    truth, found, ids = scene(1)
    matches = Matches.of(truth, found, "bbox", ids)
    weights = np.zeros((1, len(ids)))
    weights[0, [0, 2, 3, 7]] = 1
    subset = [ids[i] for i in (0, 2, 3, 7)]
    assert matches.average_precision(weights)[0] == pytest.approx(
        judged(truth, found, ids=subset), abs=1e-10
    )


def test_weight_of_two_is_the_picture_twice():
    truth, found, ids = scene(2)
    weights = np.ones((1, len(ids)))
    weights[0, 4] = 2
    (weighted,) = Matches.of(truth, found, "bbox", ids).average_precision(weights)
    twin = 999
    objects = truth.dataset["annotations"]
    own = [{**o, "image_id": twin} for o in objects if o["image_id"] == ids[4]]
    again = [{**d, "image_id": twin} for d in found if d["image_id"] == ids[4]]
    doubled = coco(
        [{k: v for k, v in o.items() if k != "id"} for o in [*objects, *own]], [*ids, twin]
    )
    # A curve has one point more between twins, which could move its envelope; not in this scene.
    assert weighted == pytest.approx(judged(doubled, found + again), abs=1e-9)
    assert abs(weighted - judged(truth, found)) > 0.3


def test_nothing_found_scores_nothing():
    truth, _, ids = scene(0)
    assert Matches.of(truth, [], "bbox", ids).average_precision() == [0]
    none = np.zeros((1, len(ids)))
    assert np.isnan(Matches.of(truth, [], "bbox", ids).average_precision(none)).all()


def test_survives_json_and_refuses_damage():
    truth, found, ids = scene(4)
    matches = Matches.of(truth, found, "bbox", ids)
    text = matches.to_text()
    assert Matches.from_text(text).average_precision() == matches.average_precision()
    for damaged in (text[:-40], "AAAA", ""):
        with pytest.raises(MeasurementError, match="damaged"):
            Matches.from_text(damaged)


def test_pictures_of_a_video_can_be_put_together():
    truth, found, ids = scene(4)
    matches = Matches.of(truth, found, "bbox", ids)
    groups = [n // 4 for n in range(len(ids))]
    grouped = matches.grouped(groups)
    assert (matches.num_units, grouped.num_units) == (12, 3)
    assert grouped.score() == matches.score()
    weights = np.array([[1.0, 0, 2], [0, 1, 1]])
    assert np.array_equal(grouped.score(weights), matches.score(weights[:, groups]))
