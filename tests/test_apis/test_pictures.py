"""Pictures as programs have them; which tasks can be trained on a folder of them."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from PIL import Image

from vcm_mt.apis.pictures import read_picture, to_tensor
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.training.finetune import for_tasks, use_pictures

#: What turns a picture upright, by its EXIF orientation.
_TURNS = {
    1: lambda x: x,
    2: np.fliplr,
    3: lambda x: np.rot90(x, 2),
    4: np.flipud,
    5: lambda x: np.swapaxes(x, 0, 1),
    6: lambda x: np.rot90(x, -1),
    7: lambda x: np.rot90(np.swapaxes(x, 0, 1), 2),
    8: np.rot90,
}


@pytest.mark.parametrize(
    ("ending", "mode"),
    [("webp", "RGB"), *itertools.product(["png", "tiff"], ["RGB", "L", "P", "I;16"])],
)
@pytest.mark.parametrize("orientation", _TURNS)
def test_a_picture_is_upright_from_a_file_and_from_pil(tmp_path, orientation, ending, mode):
    stored = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    picture = Image.fromarray(stored)
    if mode == "I;16":
        picture = Image.fromarray(stored[..., 0].astype(np.uint16) * 257)
    elif mode != "RGB":
        picture = picture.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"phone.{ending}"
    picture.save(path, exif=exif, **({"lossless": True} if ending == "webp" else {}))
    upright = _TURNS[orientation](np.asarray(picture if mode == "I;16" else picture.convert("RGB")))
    wanted = to_tensor(upright.copy())
    with Image.open(path) as opened:
        assert torch.equal(to_tensor(opened), wanted)
        assert torch.equal(to_tensor(opened), wanted)  # and the picture is as it was
    assert torch.equal(read_picture(path), wanted)


def test_a_picture_that_pil_opens_and_cannot_read_is_refused(tmp_path):
    path = tmp_path / "cut.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:3000])
    with Image.open(path) as opened, pytest.raises(DataError, match="the picture cannot be read"):
        to_tensor(opened)


def _config(**changes):
    config = Config.fromfile("configs/mini/stage2_det.py")
    config.tasks.det.update(changes)
    return for_tasks(config, ["det"])


def test_a_detectors_maps_alone_need_no_annotations():
    config = _config(loss_weight=0.0, feature_background=1.0)
    use_pictures(config, Path("somewhere"))
    assert config.train_dataloader.dataset.type == "PictureFolder"
    assert config.val_dataloader.dataset.type == "vcm_mt.CheckedCocoDataset"
    use_pictures(config, Path("somewhere"), Path("elsewhere"))
    assert config.val_dataloader.dataset.type == "PictureFolder"
    assert [one["type"] for one in config.val_evaluator] == ["CodingMetric"]


def test_a_detector_that_is_its_own_truth_needs_none():
    config = _config(truth="own")
    use_pictures(config, Path("somewhere"))
    kinds = [step["type"] for step in config.train_dataloader.dataset.pipeline]
    assert not any("Annotations" in kind for kind in kinds)


@pytest.mark.parametrize("changes", [{}, {"loss_weight": 0.0}, {"feature_background": 1.0}])
def test_boxes_and_losses_need_them(changes):
    with pytest.raises(ConfigError, match="task det needs annotations"):
        use_pictures(_config(**changes), Path("somewhere"))
