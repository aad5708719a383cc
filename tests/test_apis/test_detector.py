"""A task on top of a decoded picture, from a program."""

import numpy as np
import pytest
from PIL import Image

from vcm_mt.apis.detector import Detector
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import HumanTask


@pytest.fixture(scope="module")
def detector():
    return Detector.load("configs/mini/stage1_det.py", "det", device="cpu")


def test_it_finds_what_is_there(detector, mini):
    picture = Image.open(sorted((mini / "val").iterdir())[0])
    actual = detector.predict(picture)
    assert actual.boxes.shape == (len(actual.scores), 4)
    assert actual.masks is None
    assert actual.scores[0] > 0.8  # the set's own detector on one of its pictures
    assert (np.diff(actual.scores) <= 0).all()
    assert actual.boxes.max() <= 256
    assert detector.classes[actual.labels[0]]


@pytest.mark.parametrize("size", [(1, 5000), (5000, 1), (1, 1), (3, 9000)])
def test_long_pictures_are_looked_at(detector, size):
    assert detector.predict(np.full((*size, 3), 90, np.uint8)).boxes.shape[1] == 4


def test_a_picture_is_looked_at_upright(detector, mini):
    upright = Image.open(sorted((mini / "val").iterdir())[0]).crop((0, 0, 256, 200))
    lying = upright.transpose(Image.Transpose.ROTATE_90)
    lying.getexif()[0x0112] = 6  # to be turned back
    actual, wanted = detector.predict(lying), detector.predict(upright)
    assert len(wanted.scores)
    assert np.array_equal(actual.boxes, wanted.boxes)


def test_a_person_tells_nothing():
    with pytest.raises(ConfigError, match="human viewer"):
        Detector(HumanTask()).predict(np.zeros((64, 64, 3), np.uint8))


def test_other_tasks_are_told():
    with pytest.raises(ConfigError, match="no task 'segm', but det"):
        Detector.load("configs/mini/stage1_det.py", "segm")
