"""Two real processes measure what one does, and one of them alone scores."""

import json
import sys

import pytest
import torch

from tests.two_processes import on_two
from tools import test as tool
from vcm_mt.apis.system import build_system
from vcm_mt.curves.matches import Matches
from vcm_mt.errors import DataError
from vcm_mt.evaluation.codecs import Originals
from vcm_mt.evaluation.experiment import Experiment, on_first
from vcm_mt.evaluation.journal import Journal
from vcm_mt.training.config import at_level, load_config
from vcm_mt.training.run import join_processes


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The zoo's finest codec, as a training leaves it."""
    path = tmp_path_factory.mktemp("zoo") / "iter_1.pth"
    system = build_system(at_level(load_config("configs/mini/stage1_det.py"), 6))
    record = {"codec": {"arch": "MeanScaleHyperprior", "N": 48, "M": 96}, "quality": 6}
    torch.save({"meta": {"record": json.dumps(record)}, "state_dict": system.state_dict()}, path)
    return path


def options(mini, stage):
    data = [f"test_dataloader.dataset.data_root={mini}"]
    truth = f"ann_file={mini}/annotations/val.json"
    return [*data, f"test_evaluator.1.{truth}" if stage == 1 else f"evaluators.det.{truth}"]


def run_test(arguments):
    """The tool's status, and what it printed."""
    sys.argv = ["test.py", *arguments]
    return tool.main()


@pytest.mark.parametrize("stage", [1, 2])
def test_tools_test(mini, checkpoint, tmp_path, stage, monkeypatch, capsys):
    given = [f"configs/mini/stage{stage}_det.py", str(checkpoint)]
    given += ["--task", "det"] if stage == 2 else []
    rest = ["--cfg-options", *options(mini, stage), "test_dataloader.dataset.indices=3"]
    monkeypatch.setattr(sys, "argv", [])
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    assert run_test([*given, "--out", str(one), *rest]) == 0
    assert "bpp" in (printed := capsys.readouterr().out)
    launched = [*given, "--out", str(two), "--launcher", "pytorch", *rest]
    assert on_two(run_test, tmp_path, launched) == [0, 0]
    assert json.loads(two.read_text()) == json.loads(one.read_text())
    logs = [(tmp_path / f"rank{rank}.log").read_text() for rank in (0, 1)]
    told = [line for line in printed.splitlines() if line.startswith(("|", "bpp", "det/"))]
    assert told
    assert [line for line in told if line not in logs[0]] == []  # by the first process, once
    assert not any(line in logs[1] for line in told)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == []


def scored(mini, folder):
    """How often this process matched and read what was found, and what it was told."""
    join_processes("pytorch")
    counts = {"matches": 0, "read": 0}
    matches, entries = Matches.of, Journal.entries

    def counted(*args):
        counts["matches"] += 1
        return matches(*args)

    def read(self):
        counts["read"] += 1
        return entries(self)

    Matches.of, Journal.entries = counted, read
    config = load_config("configs/mini/stage2_det.py")
    config.test_dataloader.dataset.data_root = str(mini)
    config.evaluators.det.ann_file = str(mini / "annotations" / "val.json")
    point = Experiment(config, folder, ["det"]).points(Originals())["shared"]
    return {**counts, "metrics": dict(point.metrics), "text": json.dumps(point.to_dict())}


def test_one_process_scores_and_tells_the_other(mini, tmp_path):
    first, second = on_two(scored, tmp_path, mini, tmp_path / "rp")
    assert (first["matches"], second["matches"]) == (1, 0)
    assert first["read"] > 0 and second["read"] == 0
    assert first["text"] == second["text"]
    assert first["metrics"]["det_mAP"] > 20
    (record,) = tmp_path.glob("rp/points/*/points.json")
    assert json.loads(record.read_text())["points"]["shared"]["metrics"] == first["metrics"]


def _fails():
    raise DataError("nothing can be judged")


def told_of():
    join_processes("pytorch")
    try:
        on_first(_fails)
    except DataError as error:
        return str(error)
    return None


def test_an_error_of_the_first_process_ends_both(tmp_path):
    assert on_two(told_of, tmp_path) == ["nothing can be judged"] * 2
