"""Which tasks can be trained on a folder of pictures without annotations."""

from pathlib import Path

import pytest
from mmengine.config import Config

from vcm_mt.apis.finetune import for_tasks, use_pictures
from vcm_mt.errors import ConfigError


def _config(**changes):
    config = Config.fromfile("configs/mini/stage2_det.py")
    config.tasks.det.update(changes)
    return for_tasks(config, ["det"])


def test_a_detectors_maps_alone_need_no_annotations():
    config = _config(loss_weight=0.0, feature_background=1.0)
    use_pictures(config, Path("somewhere"))
    assert config.train_dataloader.dataset.type == "PictureFolder"
    assert config.val_dataloader.dataset.type == "vcm_mt.CheckedCocoDataset"
    with pytest.raises(ConfigError, match="validated on annotations"):
        use_pictures(config, Path("somewhere"), Path("elsewhere"))


@pytest.mark.parametrize("changes", [{}, {"loss_weight": 0.0}, {"feature_background": 1.0}])
def test_boxes_and_losses_need_them(changes):
    with pytest.raises(ConfigError, match="task det needs annotations"):
        use_pictures(_config(**changes), Path("somewhere"))
