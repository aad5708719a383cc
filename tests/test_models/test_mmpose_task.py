"""Pose estimators behind the decoder: their crops, losses and poses are mmpose's own."""

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData

from tests.test_models.pose_samples import batch_of, figures_config
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import fingerprint, read_state_dict
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.refiner import Refiner
from vcm_mt.models.tasks import MMPoseTask, mmpose_import
from vcm_mt.models.tasks.mmpose_import import INSTALL, import_mmpose, mmpose_scope
from vcm_mt.models.tasks.pose_geometry import warped
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config
from vcm_mt.training.run import train

pytest.importorskip("mmpose", reason=INSTALL)
import_mmpose()

HRNET = "vcm_mt::mini/tasks/hrnet.py"
COCOS = "mmpose::body_2d_keypoint"
W32 = f"{COCOS}/topdown_heatmap/coco/td-hm_hrnet-w32_8xb64-210e_coco-256x192.py"


@pytest.fixture(scope="module")
def dataset(figures):
    DefaultScope.get_instance("test_mmpose_task", scope_name="vcm_mt")
    return DATASETS.build(figures_config(figures).val_dataloader.dataset)


@pytest.fixture
def batch(dataset):
    return batch_of(dataset, 0, 1)


@pytest.fixture(scope="module")
def hrnet():
    task = MMPoseTask(HRNET, "zoo://hrnet", loss_weight=100.0, feature_weight=1.0)
    task.freeze()
    return task


def test_the_crop_is_the_warp_of_mmpose(batch):
    from mmpose.structures.bbox import get_warp_matrix

    picture = (255 * batch[0][:1]).round()
    whole = picture[0].permute(1, 2, 0).numpy().astype(np.uint8)
    boxes = ((100.0, 90.0, 80.0), (20.0, 240.0, 150.0), (131.5, 77.25, 333.0))  # some reach outside
    warps = [
        get_warp_matrix(np.array([x, y]), np.array([0.75 * side, side]), 0.0, (96, 128))
        for x, y, side in boxes
    ]
    crops = warped(picture, warps, (96, 128)).permute(0, 2, 3, 1).numpy()
    for crop, warp in zip(crops, warps, strict=True):
        wanted = cv2.warpAffine(whole, warp, (96, 128), flags=cv2.INTER_LINEAR).astype(float)
        assert np.abs(crop - wanted).mean() < 0.3


def test_the_gradient_is_the_numerical_one(batch, hrnet):
    x, samples = batch
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    x = (0.9 * x + 0.02 * noise).requires_grad_()
    original = batch[0]
    sum(hrnet.loss(x, original, samples).values()).backward()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()
    direction = x.grad / x.grad.norm()
    step = 2e-3

    def value(way):
        with torch.no_grad():
            return sum(hrnet.loss(x + way * step * direction, original, samples).values()).double()

    slope = (value(1) - value(-1)) / (2 * step)
    assert float(slope) == pytest.approx(float(x.grad.norm()), rel=0.03)


def test_training_leaves_the_estimator_as_it_is(batch, hrnet):
    x, samples = batch
    before = fingerprint(hrnet)
    hrnet.train()
    losses = hrnet.loss(x.clone().requires_grad_(), x, samples)
    assert set(losses) == {"loss_kpt", "loss_feature"} and float(losses["loss_feature"]) < 1e-9
    sum(losses.values()).backward()
    assert fingerprint(hrnet) == before
    assert not any(p.requires_grad for p in hrnet.parameters())
    assert not any(part.training for part in hrnet.modules())


def test_faster_twins_have_the_same_loss(batch, hrnet):
    x, samples = batch
    folded = MMPoseTask(HRNET, "zoo://hrnet", loss_weight=100.0, feature_weight=1.0, fold=True)
    folded.freeze()
    noisy = (x + 0.05 * torch.randn_like(x)).clamp(0, 1)
    for name, value in hrnet.loss(noisy, x, samples).items():
        assert float(folded.loss(noisy, x, samples)[name]) == pytest.approx(float(value), rel=1e-2)


def test_poses_on_originals_are_those_of_mmpose(figures, dataset):
    """With its own data set, transforms and test step."""
    from mmpose.registry import DATASETS as MMPOSE_DATASETS

    task = MMPoseTask(HRNET, "zoo://hrnet", nms=None)
    task.freeze()
    given = load_config("configs/mini/tasks/hrnet.py").val_dataloader.dataset
    given.data_root = f"{figures}/"
    with mmpose_scope():
        own = MMPOSE_DATASETS.build(given)
        wanted = task.estimator.test_step(pseudo_collate([own[n] for n in range(len(own))]))
    poses = task.predict(*batch_of(dataset, *range(len(dataset))))
    found = torch.cat([one.keypoints for one in poses]).numpy()
    scores = torch.cat([one.keypoint_scores for one in poses]).numpy()
    expected = np.concatenate([one.pred_instances.keypoints for one in wanted])
    confident = np.concatenate([one.pred_instances.keypoint_scores for one in wanted])
    assert found.shape == expected.shape and len(found) > 4
    # Its crops have 8 bits: estimates differ by rounding, and of joints it does not see by more.
    away = np.linalg.norm(found - expected, axis=-1)
    assert away[confident > 0.5].max() < 0.5 and np.median(away) < 0.1
    assert np.abs(scores - confident).max() < 0.05


def test_poses_are_in_native_coordinates(dataset, hrnet):
    """A picture moved by some pixels has its poses moved by as many."""
    (x, (sample,)) = batch_of(dataset, 0)
    down, right = 16, 24
    moved = torch.zeros(1, 3, 256 + down, 256 + right)
    moved[..., down:, right:] = x
    shifted = copy.deepcopy(sample)
    shifted.set_metainfo({"img_shape": (256 + down, 256 + right)})
    truth = shifted.gt_instances
    truth.bboxes.tensor += torch.tensor([right, down, right, down])
    (here,), (there,) = hrnet.predict(x, [sample]), hrnet.predict(moved, [shifted])
    away = there.keypoints - here.keypoints - torch.tensor([right, down])
    assert away.norm(dim=-1).median() < 0.5
    assert set(here.keys()) == {"keypoints", "keypoint_scores", "scores", "labels", "bboxes"}


def test_boxes_come_from_where_the_config_says(dataset, tmp_path, hrnet):
    x, (sample,) = batch_of(dataset, 0)
    (wanted,) = hrnet.predict(x, [sample])
    boxes = wanted.bboxes
    bare = copy.deepcopy(sample)
    del bare.gt_instances
    bare.proposals = InstanceData(bboxes=boxes)
    given = MMPoseTask(HRNET, "zoo://hrnet", boxes="given")
    file = tmp_path / "boxes.json"
    one = {"image_id": int(sample.img_id), "category_id": 1, "score": 0.5}
    listed = [{**one, "bbox": [a, b, c - a, d - b]} for a, b, c, d in boxes.tolist()]
    file.write_text(json.dumps([*listed, {**listed[0], "category_id": 2}]))
    listed_task = MMPoseTask(HRNET, "zoo://hrnet", boxes={"file": str(file)})
    for task, factor in ((given, 1.0), (listed_task, 0.5)):
        task.freeze()
        (found,) = task.predict(x, [bare])
        assert torch.allclose(found.keypoints, wanted.keypoints, atol=0.01)
        assert torch.allclose(found.scores, factor * wanted.scores)
    detector = {"detector": "vcm_mt::mini/tasks/faster_rcnn.py", "checkpoint": "zoo://faster_rcnn"}
    looking = MMPoseTask(HRNET, "zoo://hrnet", boxes={**detector, "label": 3, "score": 0.01})
    looking.freeze()
    (found,) = looking.predict(x, [bare])
    assert found.keypoints.shape[1:] == (13, 2) and (found.labels == 0).all()
    assert looking.foreground(x, 0.01).any() == bool(len(found))


def test_doubles_are_left_out(dataset):
    x, (sample,) = batch_of(dataset, 0)
    boxes = sample.gt_instances.bboxes.tensor
    sample.proposals = InstanceData(bboxes=torch.cat([boxes, boxes + 1]))
    counts = []
    for nms in (None, 0.9):
        task = MMPoseTask(HRNET, "zoo://hrnet", boxes="given", nms=nms)
        task.freeze()
        (found,) = task.predict(x, [sample])
        counts.append(len(found))
    assert counts == [2 * len(boxes), len(boxes)]


def test_without_people_there_is_no_loss_and_no_pose(dataset, hrnet):
    x, (sample,) = batch_of(dataset, 0)
    sample.gt_instances = sample.gt_instances[:0]
    x.requires_grad_()
    losses = hrnet.loss(x, x.detach(), [sample])
    sum(losses.values()).backward()
    assert float(losses["loss_pose"]) == 0 and not x.grad.any()
    (found,) = hrnet.predict(x.detach(), [sample])
    assert found.keypoints.shape == (0, 13, 2)


def test_its_own_truth_is_what_it_finds_on_the_original(dataset, hrnet):
    x, (sample,) = batch_of(dataset, 0)
    (found,) = hrnet.predict(x, [sample])
    truth = hrnet.own_truth(x, sample, 0.3).gt_instances
    assert torch.equal(truth.keypoints, found[found.scores >= 0.3].keypoints)
    own = MMPoseTask(HRNET, "zoo://hrnet", truth="own")
    own.freeze()
    decoded = (x + 0.05 * torch.randn_like(x)).requires_grad_()
    own.loss(decoded, x, [sample])["loss_kpt"].backward()
    assert decoded.grad.any()
    with pytest.raises(ConfigError, match="looks at the original pictures"):
        own.loss(decoded, None, [sample])


def test_feature_maps_of_whole_pictures(batch, hrnet):
    (maps,) = hrnet.features(batch[0][..., :250])
    assert maps.shape == (2, 16, 64, 64)
    assert hrnet.foreground(batch[0][:1], 0.1).all()


def test_latents_are_refined_through_it(dataset):
    config = load_config("configs/mini/stage1_pose.py")
    config.model.update(lmbda=0.04, gains=[], level_weights=[])
    system = build_system(config)
    (task,) = system.tasks.values()
    x, _ = batch_of(dataset, 0)
    with torch.no_grad():
        start = system.transmitter.analyse(x)
        refined = Refiner(system, steps=4, background=1.0, amp=False)(x)
        original = task.features(x)[0]
        distances = []
        for y in (start, refined):
            (data,) = system.transmitter.code(y, 256, 256)
            decoded = system.receivers["shared"](system.transmitter.decode(data)[0])
            distances.append((task.features(decoded)[0] - original).square().sum())
    assert distances[1] < 0.9 * distances[0]


def test_other_joints_and_missing_ones_are_refused(dataset, hrnet):
    x, (sample,) = batch_of(dataset, 0)
    other = copy.deepcopy(sample)
    for name in ("keypoints", "keypoints_visible"):
        values = other.gt_instances.pop(name)
        other.gt_instances.set_field(values[:, :12], name)
    with pytest.raises(DataError, match="objects of 12 joints, and the estimator finds 13"):
        hrnet.loss(x, x, [other])
    bare = copy.deepcopy(sample)
    del bare.gt_instances.keypoints
    for call in (lambda: hrnet.loss(x, x, [bare]), lambda: hrnet.predict(x, [bare])):
        with pytest.raises(DataError, match="with_keypoints=True"):
            call()
    with pytest.raises(DataError, match="comes without boxes"):
        MMPoseTask(HRNET, boxes="given").predict(x, [bare])


def test_what_is_no_estimator_is_refused(tmp_path):
    for estimator, told in (
        ("mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py", "come from mmpose::"),
        ("mmpose::no/such.py", "no estimator config"),
        ("vcm_mt::mini/stage1_det.py", "not the config|is not supported|does not estimate"),
        ({"type": "BottomupPoseEstimator"}, "take a TopdownPoseEstimator"),
        (f"{COCOS}/rtmo/coco/rtmo-s_8xb32-600e_coco-640x640.py", "take a top-down"),
        (
            f"{COCOS}/topdown_heatmap/coco/td-hm_ViTPose-small_8xb64-210e_coco-256x192.py",
            "cannot be built: mmpretrain",
        ),
    ):
        with pytest.raises(ConfigError, match=told):
            MMPoseTask(estimator)
    with pytest.raises(ConfigError, match="boxes are"):
        MMPoseTask(HRNET, boxes="somewhere")
    with pytest.raises(ConfigError, match="not both 0"):
        MMPoseTask(HRNET, loss_weight=0.0)
    with pytest.raises(DataError, match="COCO's result format"):
        MMPoseTask(HRNET, boxes={"file": str(tmp_path / "none.json")})


def test_an_estimator_given_as_a_dict_needs_to_know_its_pairs():
    model = load_config("configs/mini/tasks/hrnet.py").model
    with pytest.raises(ConfigError, match="pairs of joints"):
        MMPoseTask(ConfigDict(model))
    model.test_cfg.flip_test = False
    assert MMPoseTask(ConfigDict(model)).joints == 13


def test_without_mmpose_one_line_tells_what_to_install(monkeypatch):
    monkeypatch.setattr(mmpose_import, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install --no-deps mmpose==1.3.2 munkres"):
        MMPoseTask(HRNET)


def test_the_small_estimator_is_trained_as_mmpose_trains_it(figures, tmp_path):
    config = load_config("configs/mini/tasks/hrnet.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = f"{figures}/"
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
    config.val_evaluator.ann_file = f"{figures}/annotations/val.json"
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.default_hooks.checkpoint.interval = 2
    train(config, tmp_path)
    (log,) = tmp_path.glob("*/*.log")
    assert "keypoints_mAP" in log.read_text()
    weights = read_state_dict(str(tmp_path / "iter_2.pth"))  # whose record has arrays of NumPy's
    assert "head.final_layer.weight" in weights


def as_cocos(sample):
    """A sample whose objects have COCO's 17 joints, all at one place."""
    count = len(sample.gt_instances)
    for name, size in (("keypoints", (count, 17, 2)), ("keypoints_visible", (count, 17))):
        sample.gt_instances.pop(name)
        sample.gt_instances.set_field(torch.full(size, 100.0), name)
    return sample


@pytest.mark.parametrize(
    "config",
    [
        "rtmpose/coco/rtmpose-s_8xb256-420e_coco-256x192.py",  # classifies coordinates
        "topdown_regression/coco/td-reg_res50_rle-8xb64-210e_coco-256x192.py",  # regresses them
        "topdown_heatmap/coco/td-hm_2xmspn50_8xb32-210e_coco-256x192.py",  # several stages
    ],
)
def test_other_families_of_estimators(dataset, config):
    task = MMPoseTask(f"{COCOS}/{config}")
    task.freeze()
    x, (sample,) = batch_of(dataset, 0)
    sample = as_cocos(sample)
    x.requires_grad_()
    sum(task.loss(x, x.detach(), [sample]).values()).backward()
    assert x.grad.isfinite().all() and x.grad.any()
    (found,) = task.predict(x.detach(), [sample])
    assert found.keypoints.shape[1:] == (17, 2)


@pytest.mark.slow
def test_hrnet_w32_trains_through_and_estimates(dataset):
    """Its real size; with 13 joints annotated it is told that it has 17."""
    task = MMPoseTask(W32, feature_weight=1.0)
    task.freeze()
    assert task.joints == 17 and task.estimator.test_cfg.flip_test
    x, (sample,) = batch_of(dataset, 0)
    with pytest.raises(DataError, match="finds 17"):
        task.loss(x, x, [sample])
    sample = as_cocos(sample)
    decoded = (x + 0.05 * torch.randn_like(x)).requires_grad_()
    sum(task.loss(decoded, x, [sample]).values()).backward()
    assert decoded.grad.isfinite().all() and decoded.grad.any()
    (found,) = task.predict(x, [sample])
    assert found.keypoints.shape[1:] == (17, 2)
