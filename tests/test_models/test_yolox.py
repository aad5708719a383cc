"""Weights in the names of YOLOX's authors are the same network in mmdet's."""

import pytest
import torch
from mmengine.structures import BaseDataElement

from tests.test_models.yolox_published import YOLOX
from vcm_mt.models.tasks import MMDetTask
from vcm_mt.models.tasks.yolox import in_mmdets_names

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


def test_a_box_is_reported_once_for_each_class(published):
    """The best class of every box, its score and place, are mmdet's own."""
    task = MMDetTask("configs/photos/tasks/yolox_nano.py")
    own = MMDetTask(f"mmdet::{NANO}")
    for one in (task, own):
        one.detector.load_state_dict(in_mmdets_names(published.state_dict()))
        one.freeze()
        one.detector.test_cfg.update(
            score_thr=0.28, nms={"type": "nms", "iou_threshold": 1.0, "max_num": 1 << 20}
        )
        one.detector.bbox_head.test_cfg.update(one.detector.test_cfg)
    x = torch.rand(1, 3, 96, 128)
    sample = BaseDataElement(metainfo={"img_shape": (96, 128), "ori_shape": (96, 128)})
    (all_classes,), (best,) = task.predict(x, [sample]), own.predict(x, [sample])
    assert len(all_classes) > len(best) > 0
    several = {tuple(row) for row in torch.column_stack(_columns(all_classes)).tolist()}
    assert {tuple(row) for row in torch.column_stack(_columns(best)).tolist()} <= several
    for box, score in zip(best.bboxes, best.scores, strict=True):
        same = (all_classes.bboxes == box).all(1)
        assert all_classes.scores[same].max() == score


def _columns(instances):
    return instances.bboxes, instances.scores, instances.labels
