"""The plans of experiments name configs, levels, curves and codecs of the zoo that there are."""

import pytest

from tests.conftest import ROOT
from vcm_mt.anchors import make_sweep
from vcm_mt.checkpoint import local_path, zoo_entry
from vcm_mt.training.config import at_level, check_inputs, load_config, qualities

PLANS = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "configs/experiments").glob("*.py"))
OF_TASKS = [path for path in PLANS if "parts" in load_config(path)]
OF_VIDEOS = [path for path in PLANS if "videos" in load_config(path)]


def rates(config):
    """The levels of a config, or the rates of its one codec."""
    return set(qualities(config)) or set(range(1, 1 + len(config.model.gains)))


@pytest.mark.parametrize("path", OF_VIDEOS)
def test_a_plan_of_videos_fits_its_configs(path):
    plan = load_config(path)
    stage1, prior = load_config(plan.videos.stage1), load_config(plan.videos.prior)
    assert set(plan.videos.levels) <= rates(stage1)
    assert len(prior.model.lmbda) == len(prior.model.level_weights) == len(rates(stage1))
    judged = load_config(plan.judge)
    assert set(plan.videos.tasks) == set(judged.evaluators)
    for task, receiver in plan.videos.receivers.items():
        assert load_config(receiver).task == [task]
    assert all(make_sweep(entry)[0] for entry in plan.anchors)


@pytest.mark.parametrize("path", OF_TASKS)
def test_a_plan_of_tasks_fits_its_configs(path):
    plan = load_config(path)
    stage1 = load_config(plan.stage1_config)
    for task, receiver in plan.receivers.items():
        assert load_config(receiver).get("task", [task]) == [task]
    for part in plan.parts.values():
        judged = load_config(part.judge)
        assert set(part.tasks) <= set(judged.evaluators)
        assert set(part.receivers) <= set(plan.receivers)
        assert set(part.levels) <= rates(stage1)
        assert all(make_sweep(entry)[0] for entry in part.anchors)


@pytest.mark.parametrize("path", [path for path in PLANS if path not in OF_VIDEOS + OF_TASKS])
def test_a_plan_fits_its_configs(path):
    plan = load_config(path)
    levels = rates(plan)
    assert set(plan.measured) <= levels and set(plan.stage2.levels) <= levels
    judged = load_config(plan.judge)
    assert set(plan.stage2.tasks) <= set(judged.tasks)
    for task in plan.stage2.tasks:
        load_config(plan.stage2.config.format(task=task), plan.stage2.get("options", {}).get(task))
    through = [load_config(one.config) for one in plan.refine.values() if "config" in one]
    for config in through + [load_config(one.config) for one in plan.others.values()]:
        assert levels <= rates(config)
    if plan.variable:
        assert load_config(plan.variable.config).model.gains
        assert plan.variable.after in levels
    anchors = {make_sweep(entry)[0] for entry in plan.anchors}
    for of in plan.get("fronts", {}).values():
        assert set(of) <= anchors
    for level in plan.measured:
        for name in plan.get("zoo", {}).values():
            assert zoo_entry(name.format(level=level)).path.is_file()
    for checkpoints in plan.get("learned", {}).values():
        assert all(local_path(one).is_file() for one in checkpoints)
    for checkpoint in plan.mse_codecs:
        start = at_level(plan, plan.measured[0])
        start.model.codec.checkpoint = checkpoint
        check_inputs(start, splits=())
