"""What a training saved is there and is found, whatever ended it."""

import copy
import os
import shutil
from pathlib import Path

import pytest
import torch

from vcm_mt.checkpoint import find_checkpoint
from vcm_mt.engine.checkpoints import AtomicBackend
from vcm_mt.errors import ConfigError, TrainingError
from vcm_mt.files import partial_of
from vcm_mt.training.run import train


@pytest.fixture
def run(people_config, tmp_path):
    """Train for six steps in ``tmp_path / "w"``, a checkpoint after each second one."""

    def _run(resume=False):
        train(copy.deepcopy(people_config), tmp_path / "w", resume=resume)
        return tmp_path / "w"

    return _run


@pytest.fixture(scope="module")
def _once(tmp_path_factory):
    return tmp_path_factory.mktemp("once")


@pytest.fixture
def work_dir(_once, run, tmp_path):
    """What such a training leaves."""
    if not (_once / "w").is_dir():
        run().rename(_once / "w")
    return shutil.copytree(_once / "w", tmp_path / "w")


def _saved(work_dir):
    return sorted(path.name for path in work_dir.glob("*.pth*"))


def _iteration(path):
    return torch.load(path, weights_only=True)["meta"]["iter"]


def test_the_oldest_goes_only_when_the_newest_is_there(run, tmp_path, monkeypatch):
    seen = []
    put = AtomicBackend.put

    def _put(self, obj, filepath):
        put(self, obj, filepath)
        seen.append(_saved(tmp_path / "w"))

    monkeypatch.setattr(AtomicBackend, "put", _put)
    work_dir = run()
    assert seen[-1] == ["iter_2.pth", "iter_4.pth", "iter_6.pth"]
    assert _saved(work_dir) == ["iter_4.pth", "iter_6.pth"]
    assert find_checkpoint(work_dir) == work_dir / "iter_6.pth"


def test_a_training_anew_in_the_same_folder_keeps_its_own(run, work_dir):
    for path in work_dir.glob("iter_*.pth"):
        path.rename(work_dir / path.name.replace("iter_", "iter_1"))  # of a longer one before
    run()
    assert _saved(work_dir) == ["iter_14.pth", "iter_16.pth", "iter_4.pth", "iter_6.pth"]
    assert find_checkpoint(work_dir).name == "iter_6.pth"


def _empty(pointer):
    pointer.write_bytes(b"")


def _dangling(pointer):
    pointer.write_text("/gone/iter_9.pth")


def _missing(pointer):
    pointer.unlink()


def _binary(pointer):
    pointer.write_bytes(b"\0\0\xff\xfe")


@pytest.mark.parametrize("spoil", [_empty, _dangling, _missing, _binary])
def test_a_spoiled_pointer_costs_nothing(work_dir, spoil):
    spoil(work_dir / "last_checkpoint")
    assert find_checkpoint(work_dir).name == "iter_6.pth"


def _tear(path, share):
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _flip(path, share):
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("share", [0, 0.99])
def test_a_torn_checkpoint_is_passed_over_and_the_run_ends_the_same(run, work_dir, share):
    expected = torch.load(work_dir / "iter_6.pth", weights_only=True)["state_dict"]
    _tear(work_dir / "iter_6.pth", share)
    (work_dir / "iter_6.pth.part").write_bytes(b"half")
    with pytest.warns(UserWarning, match=r"iter_6.pth is damaged: .*iter_4.pth is taken"):
        run(resume=True)
    assert _saved(work_dir) == ["iter_4.pth", "iter_6.pth"]
    actual = torch.load(work_dir / "iter_6.pth", weights_only=True)["state_dict"]
    assert not [name for name, value in expected.items() if not torch.equal(value, actual[name])]


def test_damage_within_is_noticed(work_dir):
    _flip(work_dir / "iter_6.pth", 0.5)
    with pytest.warns(UserWarning, match="damaged"):
        assert find_checkpoint(work_dir).name == "iter_4.pth"


def test_it_never_starts_anew_where_no_checkpoint_is_whole(run, work_dir):
    for path in work_dir.glob("*.pth"):
        _tear(path, 0.5)
    with pytest.raises(ConfigError, match=r"iter_6.pth, iter_4.pth.*remove them and start anew"):
        run(resume=True)


def test_a_folder_that_was_copied_goes_on_from_its_own(work_dir, tmp_path):
    shutil.copytree(work_dir, tmp_path / "copy")
    assert find_checkpoint(tmp_path / "copy") == tmp_path / "copy" / "iter_6.pth"


def test_a_full_disk_is_told_and_costs_only_the_work_since(run, tmp_path, monkeypatch):
    put = AtomicBackend.put

    def _put(self, obj, filepath):
        if "iter_4" in str(filepath):  # from here on there is no room
            os.symlink("/dev/full", partial_of(Path(filepath)))
        put(self, obj, filepath)

    with monkeypatch.context() as full:
        full.setattr(AtomicBackend, "put", _put)
        with pytest.raises(TrainingError) as told:
            run()
    work_dir = tmp_path / "w"
    for word in ("iter_4.pth could not be written", "No space left", "iter_2.pth", "--resume"):
        assert word in str(told.value)
    assert _saved(work_dir) == ["iter_2.pth"]
    run(resume=True)
    assert _iteration(find_checkpoint(work_dir)) == 6
