"""Levels of a config: their order, and what each goes on from."""

import pytest
from mmengine.config import Config

from vcm_mt.apis.config import at_level, chains, level_before, training_order
from vcm_mt.errors import ConfigError


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


def test_a_lambda_that_is_no_weight():
    with pytest.raises(ConfigError, match=r"level 1: lambda must lie in \[0, 1\], not 1.2"):
        at_level(_config({"lmbda": 1.2}), 1)
