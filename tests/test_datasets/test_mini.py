"""The embedded set: the same bytes everywhere, real COCO format, hard enough."""

import hashlib
import json

import numpy as np
import pytest
from pycocotools.coco import COCO

from vcm_mt.datasets.mini import CLASSES, SPLIT_SIZES, prepare
from vcm_mt.datasets.mini.compose import PICTURE_SIZE, compose
from vcm_mt.datasets.mini.photographs import PHOTOGRAPHS, photograph


def _files(folder):
    return {
        str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in folder.rglob("*")
        if p.is_file() and p.name != "contact_sheet.png"
    }


def test_the_same_seed_gives_the_same_bytes(mini, tmp_path):
    again = prepare(tmp_path, sizes={"train": 6, "val": 4})
    assert json.loads((mini / "mini.json").read_text())["fingerprint"] == again
    assert _files(mini) == _files(tmp_path)


def test_known_pixels():
    """Golden digest: on another machine a drawing routine that differs would show here."""
    sample = compose(0, "val", 0)
    digest = hashlib.sha256(sample.picture.tobytes()).hexdigest()
    assert digest[:16] == "004e730afb063a03"


def test_another_seed_gives_other_pictures():
    assert not np.array_equal(compose(0, "val", 0).picture, compose(1, "val", 0).picture)


def test_size_of_the_full_set():
    assert SPLIT_SIZES["train"] >= 1500
    assert SPLIT_SIZES["val"] >= 300
    assert len(CLASSES) >= 8
    assert PICTURE_SIZE >= 256


def test_annotations_are_true(mini):
    coco = COCO(mini / "annotations" / "train.json")
    for annotation in coco.dataset["annotations"]:
        mask = coco.annToMask(annotation)
        rows, columns = np.nonzero(mask)
        x, y, w, h = annotation["bbox"]
        assert (columns.min(), rows.min()) == (x, y)
        assert (columns.max() + 1 - columns.min(), rows.max() + 1 - rows.min()) == (w, h)
        assert mask.sum() == annotation["area"]


def test_masks_of_one_picture_do_not_overlap():
    for index in range(5):
        covered = sum(thing.mask.astype(int) for thing in compose(0, "train", index).things)
        assert np.max(covered) <= 1


def test_objects_vary_in_size_and_number():
    samples = [compose(0, "train", index) for index in range(20)]
    heights = [np.ptp(np.nonzero(t.mask)[0]) + 1 for s in samples for t in s.things]
    assert min(heights) < 26
    assert max(heights) > 60
    assert all(s.things for s in samples)
    assert max(len(s.things) for s in samples) >= 6


@pytest.mark.parametrize("index", range(len(PHOTOGRAPHS)))
def test_train_and_val_backgrounds_are_disjoint(index):
    train, val = photograph(index, "train"), photograph(index, "val")
    assert train.height == val.height
    assert train.width > val.width > 0


def test_a_finished_set_is_not_made_again(mini):
    before = (mini / "train" / "000000.bmp").stat().st_mtime_ns
    prepare(mini, sizes={"train": 6, "val": 4})
    assert (mini / "train" / "000000.bmp").stat().st_mtime_ns == before
