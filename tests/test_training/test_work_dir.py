"""One training at a time has a folder, and a folder that cannot be had is told in a line."""

import multiprocessing
import os
import signal
import time
from contextlib import contextmanager

import pytest
from torch import distributed

from vcm_mt.errors import ConfigError, TrainingError
from vcm_mt.training import work_dir as api
from vcm_mt.training.work_dir import check_work_dirs, own_work_dirs

_FORK = multiprocessing.get_context("fork")


def _hold(folders, ready, done):
    with own_work_dirs(folders):
        worker = _FORK.Process(target=time.sleep, args=(60,), daemon=True)
        worker.start()  # as a data loader's, which may outlive the training
        ready.send(worker.pid)
        done.poll(60)


@contextmanager
def another(*folders):
    """Another process that holds folders; gives it, and the process id of its worker."""
    ready, told = _FORK.Pipe(duplex=False)
    done, end = _FORK.Pipe(duplex=False)  # an event's set() waits for a waiter that was killed
    process = _FORK.Process(target=_hold, args=(folders, told, done))
    process.start()
    try:
        assert ready.poll(60)
        yield process, ready.recv()
    finally:
        end.send("done")
        process.join()


def test_a_folder_is_one_trainings_until_it_has_ended(tmp_path):
    with another(tmp_path / "a" / "q1", tmp_path / "a" / "q2") as (process, _):
        words = f"another training is at work in .*q2 .process {process.pid} on .*--work-dir"
        with pytest.raises(TrainingError, match=words), own_work_dirs([tmp_path / "a" / "q2"]):
            pytest.fail("two have it")
        with own_work_dirs([tmp_path / "a" / "q3"]):  # another level
            pass
    with own_work_dirs([tmp_path / "a" / "q2"]):
        pass


def test_a_killed_training_leaves_its_folder_free_at_once(tmp_path):
    with another(tmp_path) as (process, worker):
        process.kill()
        process.join()
        os.kill(worker, 0)  # it is still there
        with own_work_dirs([tmp_path]):
            pass
        os.kill(worker, signal.SIGKILL)


def test_a_part_of_a_training_may_ask_again(tmp_path):
    with own_work_dirs([tmp_path]):
        with own_work_dirs([tmp_path / "." / "x" / ".."]):
            pass
        ready, told = _FORK.Pipe(duplex=False)
        process = _FORK.Process(target=_try, args=(tmp_path, told))
        process.start()
        assert ready.recv().startswith("another training is at work")
        process.join()


def _try(folder, told):
    api._OWN.clear()  # a fork's copy
    try:
        with own_work_dirs([folder]):
            told.send("had it")
    except TrainingError as error:
        told.send(str(error))


def _rank(rank, folder, store, told, free):
    distributed.init_process_group("gloo", f"file://{store}", world_size=2, rank=rank)
    for _ in range(2):
        try:
            with own_work_dirs([folder]):
                distributed.barrier()
                told.send((rank, "had it"))
        except TrainingError as error:
            told.send((rank, str(error)))
        free.wait(60)
        distributed.barrier()
    distributed.destroy_process_group()


def test_the_first_process_holds_it_for_all(tmp_path):
    ready, told = _FORK.Pipe(duplex=False)
    free = _FORK.Event()
    arguments = (tmp_path / "w", tmp_path / "store", told, free)
    with another(tmp_path / "w"):
        ranks = [_FORK.Process(target=_rank, args=(rank, *arguments)) for rank in (0, 1)]
        for rank in ranks:
            rank.start()
        refused = dict(ready.recv() for _ in range(2))
    assert set(refused) == {0, 1}
    assert all(text.startswith("another training") for text in refused.values()), refused
    free.set()
    assert sorted(ready.recv() for _ in range(2)) == [(0, "had it"), (1, "had it")]
    for rank in ranks:
        rank.join()
        assert rank.exitcode == 0


@pytest.mark.parametrize("place", ["file", "file/below", "/proc/none/w", "x" * 300])
def test_a_folder_that_cannot_be_made(tmp_path, place):
    (tmp_path / "file").touch()
    folder = tmp_path / place
    with pytest.raises(ConfigError, match="cannot be written"), own_work_dirs([folder]):
        pytest.fail("it was made")


def test_a_folder_that_cannot_be_written_is_seen_before_anything_is_made(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="is a file"):
        check_work_dirs([tmp_path / "file" / "q1"])
    check_work_dirs([tmp_path / "new" / "q1"])
    assert not (tmp_path / "new").exists()
    monkeypatch.setattr(api.os, "access", lambda *_: False)
    with pytest.raises(ConfigError, match="is read-only"):
        check_work_dirs([tmp_path / "new"])


def test_a_file_system_without_locks_warns(tmp_path, monkeypatch):
    def none(file):
        raise OSError(api.errno.ENOLCK, "No locks available")

    monkeypatch.setattr(api, "_lock", none)
    with pytest.warns(UserWarning, match="without locks"), own_work_dirs([tmp_path]):
        pass
