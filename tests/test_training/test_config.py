"""Levels of a config: their order, and what each goes on from."""

import pytest
from mmengine.config import Config

from vcm_mt.errors import ConfigError
from vcm_mt.training.config import at_level, chains, level_before, load_config, training_order


def _config(*levels):
    return Config({"levels": list(levels), "model": {"lmbda": 0.5}})


def test_a_level_that_others_go_on_from_is_trained_first():
    config = _config({"lmbda": 0.1, "after": 2}, {"lmbda": 0.2, "after": 3}, {"lmbda": 0.3})
    assert training_order(config, [1, 2, 3]) == [3, 2, 1]
    assert training_order(config, [1]) == [1]
    assert level_before(config, 1) == 2
    assert level_before(config, 3) is None


def test_levels_that_need_each_other_are_one_chain():
    config = _config({"after": 2}, {"after": 3}, {}, {}, {"after": 4}, {"after": 4})
    assert sorted(chains(config, range(1, 7))) == [[3, 2, 1], [4, 5, 6]]
    assert chains(config, [1, 5]) == [[1], [5]]


def test_where_a_level_starts_is_no_argument_of_the_model():
    level = at_level(_config({"lmbda": 0.1, "after": 1}), 1)
    assert dict(level.model) == {"lmbda": 0.1, "quality": 1}


@pytest.mark.parametrize("after", [0, 7])
def test_a_level_after_one_that_is_not_there(after):
    with pytest.raises(ConfigError, match="out of range"):
        level_before(_config({"lmbda": 0.1, "after": after}), 1)


def test_levels_that_wait_for_each_other():
    config = _config({"lmbda": 0.1, "after": 2}, {"lmbda": 0.2, "after": 1})
    with pytest.raises(ConfigError, match="wait for each other"):
        training_order(config, [1, 2])


STAGE1 = "configs/mini/stage1_det.py"


@pytest.mark.parametrize(
    ("path", "option", "told"),
    [
        (STAGE1, "max_iters", "set what is made of it: train_cfg.max_iters"),
        (STAGE1, "data_root", "train_dataloader.dataset.data_root"),
        (STAGE1, "classes", "metainfo.classes"),
        (STAGE1, "trian_cfg.max_iters", "no config has a setting 'trian_cfg'"),
        (STAGE1, "model.lmbda", "level 1 as levels.0.lmbda"),
        (STAGE1, "model.codec.checkpoint", "level 1 as levels.0.codec.checkpoint"),
        (STAGE1, "model.quality", "the levels of"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(path, option, told):
    with pytest.raises(ConfigError, match=told):
        load_config(path, {option: 1})


def test_an_option_that_changes_something():
    options = {
        "levels.2.lmbda": 0.5,
        "train_cfg.max_iters": 7,
        "model.codec.N": 8,
        "load_from": "x",
        "model_wrapper_cfg.broadcast_buffers": True,
    }
    config = load_config(STAGE1, options)
    level = at_level(config, 3)
    assert (level.model.lmbda, level.train_cfg.max_iters, level.model.codec.N) == (0.5, 7, 8)
    assert load_config("configs/mini/stage1_det_vbr.py", {"model.lmbda": 0.2}).model.lmbda == 0.2


def test_a_loader_without_workers_has_no_settings_of_theirs():
    config = load_config("configs/stage1_det.py", {"train_dataloader.num_workers": 0})
    loader = config.train_dataloader
    assert not loader.persistent_workers and "timeout" not in loader
    assert config.val_dataloader.persistent_workers and config.val_dataloader.timeout == 600


def test_a_lambda_that_is_no_weight():
    with pytest.raises(ConfigError, match=r"level 1: lambda must lie in \[0, 1\], not 1.2"):
        at_level(_config({"lmbda": 1.2}), 1)


@pytest.mark.parametrize(
    "content", [b"# Stra\xdfe\n", b"x = y\n", b"x = {}['y']\n", b"x = (\n", b"_base_ = 'none.py'\n"]
)
def test_a_file_that_is_no_config_is_named(tmp_path, content):
    path = tmp_path / "own.py"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="own.py cannot be read as a config"):
        load_config(path)


@pytest.mark.parametrize("base", ["vcm_mt::mini/stage1_det.py", "vcm_mt::_base_/../stage1_det.py"])
def test_a_config_is_based_on_one_that_is_shipped(tmp_path, base):
    path = tmp_path / "own.py"
    path.write_text(f"_base_ = {base!r}\nmodel = dict(lmbda=0.25)\n")
    model = load_config(path).model
    assert (model.lmbda, model.tasks.det.type) == (0.25, "MMDetTask")


def test_a_shipped_config_that_is_named_without_a_folder(tmp_path):
    assert load_config("vcm_mt::stage1_det.py").model.type == "VCMSystem"
    path = tmp_path / "own.py"
    path.write_text("_base_ = 'vcm_mt::stage1_det.py'\n")
    with pytest.raises(ConfigError, match="vcm_mt::_base_/../stage1_det.py"):
        load_config(path)


@pytest.mark.parametrize("name", ["vcm_mt::nowhere.py", "no_package::mini/x.py", "::x.py"])
def test_no_such_shipped_config(name):
    with pytest.raises(ConfigError, match="no config"):
        load_config(name)
