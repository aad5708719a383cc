"""One-stage detectors, DETR's kin, RTMDet, YOLOX and mask networks from mmdet's own configs."""

import cv2
import mmdet.datasets.transforms  # noqa: F401  registers them
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.hub import get_config
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from vcm_mt.engine.hooks import frozen_digest
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import MMDetTask
from vcm_mt.models.tasks.detector_config import read_detector

RTMDET = "rtmdet/rtmdet_tiny_8xb32-300e_coco"
YOLOX = "yolox/yolox_tiny_8xb8-300e_coco"
FCOS = "fcos/fcos_r18_fpn_gn-head-center-normbbox-centeronreg-giou_8xb8-amp-lsj-200e_coco"
SIZE = {"scale": (192, 160), "keep_ratio": True}

#: A config of mmdet's, and how many boxes it gives at least, whatever its weights.
FAMILIES = [
    ("retinanet/retinanet_r18_fpn_1x_coco", 0),
    (FCOS, 0),
    (YOLOX, 0),
    (RTMDET, 0),
    ("rtmdet/rtmdet-ins_tiny_8xb32-300e_coco", 0),
    ("detr/detr_r18_8xb2-500e_coco", 100),
    ("solov2/solov2-light_r18_fpn_ms-3x_coco", 0),
    ("tood/tood_r50_fpn_1x_coco", 0),
    ("ghm/retinanet_r50_fpn_ghm-1x_coco", 0),
]
#: With as many queries as pictures this small have places.
LARGE = [
    ("deformable_detr/deformable-detr-refine-twostage_r50_16xb2-50e_coco", {"num_queries": 60}),
    ("dino/dino-4scale_r50_8xb2-12e_coco", {"num_queries": 60}),
    ("mask2former/mask2former_r50_8xb2-lsj-50e_coco", {}),
    ("condinst/condinst_r50_fpn_ms-poly-90k_coco_instance", {}),
]


@pytest.fixture
def batch():
    """Two noisy pictures of different odd sizes, float [2, 3, 192, 256], with their truth."""
    x = torch.rand(2, 3, 192, 256, generator=torch.Generator().manual_seed(0))
    return x, [_sample(181, 255, 3), _sample(192, 199, 1)]


def _sample(height, width, count):
    sample = DetDataSample(
        metainfo={"img_id": 0, "ori_shape": (height, width), "img_shape": (height, width)}
    )
    boxes = torch.tensor([[10.0, 20, 90, 100], [60, 30, 150, 110], [100, 90, 160, 170]])[:count]
    masks = np.zeros((count, height, width), np.uint8)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = 1
    sample.gt_instances = InstanceData(
        bboxes=boxes,
        labels=torch.tensor([0, 7, 3])[:count],
        masks=BitmapMasks(masks, height, width),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return sample


def _learns_and_finds(task, batch, at_least):
    """What every detector behind a decoder must do."""
    task.freeze()
    task.train()
    x, samples = batch
    x.requires_grad_()
    before = frozen_digest(task)
    losses = task.loss(x, x.detach() / 2, samples)
    sum(losses.values()).backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()
    assert x.grad[0, :, 181:].eq(0).all()  # what lies outside the true size is nobody's business
    assert x.grad[1, :, :, 199:].eq(0).all()
    actual = task.predict(x, samples)
    assert frozen_digest(task) == before  # parameters, statistics, modes
    for one, (height, width) in zip(actual, [(181, 255), (192, 199)], strict=True):
        assert len(one.bboxes) == len(one.scores) == len(one.labels) >= at_least
        if "masks" in one:
            assert one.masks.shape[1:] == (height, width)


@pytest.mark.parametrize(("name", "at_least"), FAMILIES)
def test_a_family_by_config_alone(name, at_least, batch):
    torch.manual_seed(0)
    task = MMDetTask(f"mmdet::{name}.py", resize=SIZE, feature_weight=1.0)
    _learns_and_finds(task, batch, at_least)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "changes"), LARGE)
def test_a_large_family_by_a_models_dict(name, changes, batch):
    torch.manual_seed(0)
    model = {**get_config(f"mmdet::{name}.py").model, **changes}
    task = MMDetTask(model, resize=SIZE, feature_weight=1.0)
    _learns_and_finds(task, batch, changes.get("num_queries", 0))


@pytest.mark.parametrize("name", [RTMDET, YOLOX])
@pytest.mark.parametrize("height", [150, 230])
def test_what_the_detector_sees_is_mmdets_own(name, height):
    """The reference: the test pipeline on the file's pixels, and mmdet's preprocessor."""
    torch.manual_seed(0)
    task = MMDetTask(f"mmdet::{name}.py")
    noise = np.random.default_rng(0).integers(0, 256, (height, 200, 3), np.uint8)
    bgr = cv2.GaussianBlur(noise, (0, 0), 6)  # mmdet resizes 8 bits; a smooth picture keeps close
    steps = [
        step
        for step in get_config(f"mmdet::{name}.py").test_pipeline
        if step["type"] in ("Resize", "Pad", "PackDetInputs")
    ]
    steps[-1]["meta_keys"] = ("img_shape", "scale_factor")
    with DefaultScope.overwrite_default_scope("mmdet"):
        data = Compose(steps)({"img": bgr, "img_shape": (height, 200)})
    data = {name: [value] for name, value in data.items()}
    expected = task.detector.data_preprocessor(data, False)

    x = torch.from_numpy(bgr[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    inputs, (sample,) = task.geometry.prepare(x, [_sample(height, 200, 1)], with_truth=False)
    assert inputs.shape == expected["inputs"].shape
    level = 1 / 57 if task.detector.data_preprocessor._enable_normalize else 1
    assert (inputs - expected["inputs"]).abs().max() < 2.5 * level
    for key in ("img_shape", "batch_input_shape"):
        assert sample.get(key) == expected["data_samples"][0].get(key)
    assert sample.scale_factor == pytest.approx(expected["data_samples"][0].scale_factor)


def test_a_loss_is_the_one_that_the_detector_was_trained_with(batch):
    """FCOS scales its boxes in eval mode: its loss there is another one."""
    torch.manual_seed(0)
    task = MMDetTask(f"mmdet::{FCOS}.py", resize=SIZE)
    task.freeze()
    x, samples = batch
    actual = task.loss(x, None, samples)
    inputs, prepared = task.geometry.prepare(x, samples, with_truth=True)
    for module in task.detector.modules():  # the backbone's batch norm is frozen by its config
        if not isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.training = True
    expected = task.detector.loss(inputs, prepared)
    task.eval()
    for name, value in expected.items():
        assert torch.allclose(actual[name], value), name


def test_the_distance_alone_needs_no_annotations(batch):
    task = MMDetTask(f"mmdet::{YOLOX}.py", resize=SIZE, loss_weight=0.0, feature_weight=2.0)
    task.freeze()
    x, samples = batch
    for sample in samples:
        del sample.gt_instances
    x.requires_grad_()
    losses = task.loss(x, x.detach() / 2, samples)
    assert set(losses) == {"loss_feature"}
    losses["loss_feature"].backward()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()


def test_the_distance_alone_is_what_it_is_beside_the_loss(batch):
    x, samples = batch
    weights = {"loss_weight": 0.0}, {"loss_weight": 0.25}, {}
    actual = []
    for given in weights:
        torch.manual_seed(0)
        task = MMDetTask(f"mmdet::{FCOS}.py", resize=SIZE, feature_weight=1.0, **given)
        task.freeze()
        actual.append(task.loss(x, x / 2, samples))
    alone, quarter, whole = actual
    assert alone["loss_feature"] == pytest.approx(whole["loss_feature"].item())
    assert quarter["loss_cls"] == pytest.approx(whole["loss_cls"].item() / 4)


def test_no_loss_at_all_is_refused():
    with pytest.raises(ConfigError, match="not both 0"):
        MMDetTask(f"mmdet::{YOLOX}.py", loss_weight=0.0)


def test_a_detector_that_prepares_its_pictures_itself_is_refused():
    with pytest.raises(ConfigError, match="BoxInstDataPreprocessor"):
        MMDetTask("mmdet::boxinst/boxinst_r50_fpn_ms-90k_coco.py")


@pytest.mark.parametrize(
    ("name", "older"),
    [
        (FCOS, lambda key: key.replace("head.conv_cls", "head.fcos_cls")),
        (YOLOX, lambda key: key),
    ],
)
def test_weights_as_older_versions_published_them(name, older, tmp_path):
    """FCOS' layers had other names; YOLOX' files hold each weight twice."""
    task = MMDetTask(f"mmdet::{name}.py")
    state = task.detector.state_dict()
    published = {older(key): value for key, value in state.items()}
    if name == YOLOX:
        published |= {f"ema_{key.replace('.', '_')}": value for key, value in state.items()}
    assert set(published) != set(state)
    torch.save({"state_dict": published}, tmp_path / "published.pth")
    torch.manual_seed(7)
    again = MMDetTask(f"mmdet::{name}.py", checkpoint=str(tmp_path / "published.pth"))
    for key, value in again.detector.state_dict().items():
        assert torch.equal(value, state[key]), key
    published["bbox_head.another"] = torch.zeros(1)
    torch.save({"state_dict": published}, tmp_path / "other.pth")
    with pytest.raises(ConfigError, match="bbox_head.another"):
        MMDetTask(f"mmdet::{name}.py", checkpoint=str(tmp_path / "other.pth"))


def test_a_detector_that_learns_from_semantic_maps_is_refused():
    with pytest.raises(ConfigError, match="PanopticFPN learns from semantic maps.*loss_weight=0"):
        MMDetTask("mmdet::panoptic_fpn/panoptic-fpn_r50_fpn_1x_coco.py")


def test_any_folder_of_mmdets_configs_is_searched():
    """mmengine's hub takes no name with a ``+``."""
    assert read_detector("mmdet::gn+ws/faster-rcnn_r50_fpn_gn-ws-all_1x_coco.py").test_pipeline
    with pytest.raises(ConfigError, match=r"no detector config.*gn\+ws/unknown"):
        read_detector("mmdet::gn+ws/unknown.py")


def test_a_neck_without_plain_maps_is_told(batch):
    task = MMDetTask(f"mmdet::{YOLOX}.py", resize=SIZE, loss_weight=0.0, feature_weight=1.0)
    task.detector.neck.register_forward_hook(lambda module, given, out: {"p3": out[0]})
    x, samples = batch
    with pytest.raises(ConfigError, match=r"returns dict, .*leave feature_weight at 0"):
        task.loss(x, x, samples)
