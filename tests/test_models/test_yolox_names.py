"""Weights in the names of YOLOX's authors are the same network in mmdet's."""

import pytest
import torch

from tests.test_models.yolox_published import YOLOX
from vcm_mt.models.tasks import MMDetTask
from vcm_mt.models.tasks.yolox_names import in_mmdets_names

NANO = "yolox/yolox_nano_8xb8-300e_coco.py"


@pytest.fixture(scope="module")
def published():
    """The network in the authors' hands, its statistics unlike those of a new one."""
    torch.manual_seed(0)
    network = YOLOX()
    for name, value in network.state_dict().items():
        if name.endswith("running_mean"):
            value.normal_(0, 0.1)
        elif name.endswith(("running_var", "bn.weight")):
            value.uniform_(0.5, 1.5)
    return network.eval()


def test_the_networks_are_the_same(published, tmp_path):
    file = tmp_path / "yolox_nano.pth"
    torch.save({"start_epoch": 300, "model": published.state_dict()}, file)
    task = MMDetTask(f"mmdet::{NANO}", str(file))
    task.freeze()
    x = 255 * torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        wanted = published(x)
        actual = task.detector.bbox_head(task.detector.extract_feat(x))
    for theirs, own in zip(wanted, actual, strict=True):
        for one, other in zip(theirs, own, strict=True):
            assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_other_weights_keep_their_names():
    state = MMDetTask(f"mmdet::{NANO}").detector.state_dict()
    assert list(in_mmdets_names(state)) == list(state)
