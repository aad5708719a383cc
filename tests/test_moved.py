"""Import paths of version 0.1 still lead to the modules, with a warning."""

import sys
from importlib import import_module

import pytest

from vcm_mt.moved import MOVED


@pytest.mark.parametrize(("former", "present"), MOVED.items(), ids=MOVED)
def test_a_former_name_is_the_module_itself(former, present):
    sys.modules.pop(former, None)
    with pytest.warns(FutureWarning, match=f"{former} is now {present}"):
        module = import_module(former)
    assert module is import_module(present)
    assert module.__spec__.name == module.__name__ == present


def test_a_module_below_a_moved_package():
    sys.modules.pop("vcm_mt.evaluation.anchors.vvc", None)
    with pytest.warns(FutureWarning, match="vcm_mt.anchors.vvc"):
        from vcm_mt.evaluation.anchors.vvc import VVC as Former  # noqa: N811
    from vcm_mt.anchors.vvc import VVC

    assert Former is VVC


def test_a_name_that_never_was_is_not_found():
    with pytest.raises(ModuleNotFoundError, match="vcm_mt.evaluation.none"):
        import_module("vcm_mt.evaluation.none")


def test_machine_is_a_detector():
    with pytest.warns(FutureWarning, match="Machine is now Detector"):
        from vcm_mt.apis import Machine
    from vcm_mt.apis import Detector

    assert Machine is Detector
