"""A task on top of a decoded picture, from a program."""

import numpy as np
import pytest
from PIL import Image

from vcm_mt.apis.machine import Machine
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import HumanTask


def test_it_finds_what_is_there(mini):
    machine = Machine.load("configs/mini/stage1_det.py", "det")
    picture = Image.open(sorted((mini / "val").iterdir())[0])
    found = machine.look(picture)
    assert found.boxes.shape == (len(found.scores), 4)
    assert found.masks is None
    assert found.scores[0] > 0.8  # the set's own detector on one of its pictures
    assert (np.diff(found.scores) <= 0).all()
    assert found.boxes.max() <= 256
    assert machine.classes[found.labels[0]]


def test_a_person_tells_nothing():
    with pytest.raises(ConfigError, match="there is no answer"):
        Machine(HumanTask()).look(np.zeros((64, 64, 3), np.uint8))


def test_other_tasks_are_told():
    with pytest.raises(ConfigError, match="no task 'segm', but det"):
        Machine.load("configs/mini/stage1_det.py", "segm")
