"""A run settles its precision once, tells it, and keeps it when it is resumed."""

import pytest

from vcm_mt.checkpoint import find_checkpoint, read_record
from vcm_mt.errors import ConfigError
from vcm_mt.models import precision
from vcm_mt.training.run import train


@pytest.mark.parametrize(("first", "later"), [(True, False), (False, True)])
def test_a_resumed_run_keeps_what_it_settled(people_config, tmp_path, monkeypatch, first, later):
    monkeypatch.setattr(precision, "_cpu_does", lambda: first)
    settled = {"transforms": "bf16" if first else "fp32"}
    people_config.train_cfg.max_iters = 2
    train(people_config.copy(), tmp_path)
    assert read_record(find_checkpoint(tmp_path))["precision"] == settled

    monkeypatch.setattr(precision, "_cpu_does", lambda: later)
    people_config.train_cfg.max_iters = 4
    train(people_config.copy(), tmp_path, resume=True)
    assert read_record(find_checkpoint(tmp_path))["precision"] == settled
    # Two runs of one second share a log.
    logs = "".join(path.read_text() for path in tmp_path.glob("*/*.log"))
    assert logs.count(f"precision: transforms {settled['transforms']}") == 2


def test_the_command_line_decides_for_transforms_and_networks(stage1_config, tmp_path, monkeypatch):
    monkeypatch.setattr(precision, "_cpu_does", lambda: True)
    stage1_config.train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 1}
    for split in ("val", "test"):
        stage1_config[f"{split}_dataloader"] = stage1_config[f"{split}_evaluator"] = None
        stage1_config[f"{split}_cfg"] = None
    train(stage1_config, tmp_path, amp="fp32")
    settled = {"transforms": "fp32", "det": "fp32"}
    assert read_record(find_checkpoint(tmp_path))["precision"] == settled


def test_an_unknown_precision_is_refused_before_anything_is_written(people_config, tmp_path):
    with pytest.raises(ConfigError, match='amp must be "auto"'):
        train(people_config, tmp_path / "run", amp="half")
