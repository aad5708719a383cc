"""Any detector of mmdet's, frozen, and exactly mmdet's own path on a picture."""

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from vcm_mt.errors import ConfigError, DataError
from vcm_mt.models.tasks import MMDetTask
from vcm_mt.models.tasks.feature_cache import FeatureCache
from vcm_mt.models.tasks.geometry import target_size
from vcm_mt.models.tasks.seeded_sampling import DRAW_SEED, drawing_by_picture
from vcm_mt.registry import DATASETS

MINI = "configs/mini/tasks/faster_rcnn.py"
RETINANET = "mmdet::retinanet/retinanet_r18_fpn_1x_coco.py"


@pytest.fixture
def batch(stage1_config):
    """Two pictures, float [2, 3, 256, 256], and their data samples."""
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        loader = Runner.build_dataloader(stage1_config.train_dataloader, seed=0)
        data = next(iter(loader))
    pictures = torch.stack([picture.flip(0).float() / 255 for picture in data["inputs"]])
    return pictures, data["data_samples"]


@pytest.mark.parametrize(
    "resize", [None, {"scale": (256, 256)}, {"scale": (400, 320)}, {"scale": (200, 130)}]
)
def test_predictions_are_mmdets_own(batch, resize):
    """The reference: cv2's resize of the 8-bit picture, mmdet's preprocessor and model."""
    from mmcv.transforms import Resize
    from mmdet.structures import DetDataSample

    torch.manual_seed(0)
    task = MMDetTask(MINI, checkpoint=None, resize=resize)
    task.freeze()
    x, samples = batch
    actual = task.predict(x[:1], samples[:1])[0]

    picture = (255 * x[0]).round().byte().flip(0).permute(1, 2, 0).numpy()
    results = {"img": np.ascontiguousarray(picture)}
    scale = resize["scale"] if resize else (256, 256)
    results = Resize(scale=scale, keep_ratio=True)(results)
    sample = DetDataSample(
        metainfo={
            "ori_shape": (256, 256),
            "img_shape": results["img"].shape[:2],
            "scale_factor": results.get("scale_factor", (1.0, 1.0)),
        }
    )
    inputs = torch.from_numpy(results["img"]).permute(2, 0, 1)
    with torch.no_grad():
        expected = task.detector.test_step({"inputs": [inputs], "data_samples": [sample]})[0]
    expected = expected.pred_instances
    count = min(len(actual), len(expected), 20)
    assert count > 0
    # cv2 resizes in 8 bits, we in floats: boxes agree to a fraction of a pixel.
    tolerance = 1e-3 if resize in (None, {"scale": (256, 256)}) else 2.0
    gap = torch.cdist(actual.bboxes[:count], expected.bboxes).min(1).values
    assert gap.median() < tolerance


def test_target_size_is_mmdets():
    from mmcv.image import rescale_size

    for size in [(480, 640), (427, 640), (640, 361), (33, 1000)]:
        (width, height), _ = rescale_size((size[1], size[0]), (1333, 800), return_scale=True)
        resize = {"scale": (1333, 800), "keep_ratio": True}
        assert target_size(torch.Size(size), resize) == (height, width)
    # Here mmcv leaves no row or column, and fails.
    for size in [(1, 5000), (5000, 1), (2, 20000)]:
        long = target_size(torch.Size(size), {"scale": (256, 256), "keep_ratio": True})
        assert sorted(long) == [1, 256]


def test_a_detector_that_no_config_names_trains_by_config_alone(stage1_config):
    """RetinaNet from mmdet, its 80 classes and all, behind the decoder."""
    from vcm_mt.apis.system import build_system
    from vcm_mt.engine.optim import CodecOptimWrapperConstructor

    stage1_config.model.tasks.det = {
        "type": "MMDetTask",
        "detector": RETINANET,
        "resize": {"scale": (256, 256), "keep_ratio": True},
    }
    system = build_system(stage1_config)
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        batch = next(iter(Runner.build_dataloader(stage1_config.train_dataloader, seed=0)))
    wrapper = {"optimizer": {"type": "Adam", "lr": 1e-3}}
    optimizers = CodecOptimWrapperConstructor({"main": wrapper, "aux": wrapper})(system)
    before = system.transmitter.g_a[0].weight.clone()
    log = system.train().train_step(batch, optimizers)
    assert min(log["det/cls"], log["det/bbox"]) > 0
    assert not torch.equal(before, system.transmitter.g_a[0].weight)


def test_the_configs_own_resize_and_weights_are_found():
    task = MMDetTask(RETINANET)
    assert task.geometry.resize == {"scale": (1333, 800), "keep_ratio": True}
    assert "Pretrained" not in str(task.detector.backbone.init_cfg)  # no backbone is downloaded


def test_memory_format_of_the_decoder_does_not_reach_the_detector(batch):
    """Mmcv's RoIAlign on the CPU returns garbage for channels_last input."""
    task = MMDetTask(MINI)
    task.freeze()
    x, samples = batch
    torch.manual_seed(0)
    plain = task.loss(x, x, samples)
    torch.manual_seed(0)
    other = task.loss(x.contiguous(memory_format=torch.channels_last), x, samples)
    for name, value in plain.items():
        assert torch.allclose(value, other[name], rtol=1e-5)


def test_ground_truth_follows_the_resize(batch):
    task = MMDetTask("configs/mini/tasks/mask_rcnn.py", resize={"scale": (512, 512)})
    x, given = batch
    inputs, samples = task.geometry.prepare(x, given, with_truth=True)
    assert inputs.shape[-2:] == (512, 512)
    boxes = samples[0].gt_instances.bboxes
    assert torch.allclose(boxes, 2 * given[0].gt_instances.bboxes.tensor)
    assert samples[0].gt_instances.masks.masks.shape[1:] == (512, 512)
    assert given[0].gt_instances.masks.masks.shape[1:] == (256, 256)  # untouched


def test_the_gradient_passes_resize_and_normalisation(batch):
    task = MMDetTask(MINI, resize={"scale": (320, 320)})
    task.freeze()
    x, samples = batch
    x = x.requires_grad_()
    sum(task.loss(x, x, samples).values()).backward()
    assert (x.grad.abs().sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("background", [0.0, 0.5])
def test_maps_of_originals_are_computed_once(batch, background):
    task = MMDetTask(MINI, loss_weight=0.0, feature_weight=2.0, feature_background=background)
    remembering = MMDetTask(
        MINI, loss_weight=0.0, feature_weight=2.0, feature_background=background, remember=64
    )
    remembering.load_state_dict(task.state_dict())
    task.freeze()
    remembering.freeze()
    x, samples = batch
    decoded = (x + 0.1 * torch.randn_like(x)).clamp(0, 1).requires_grad_()
    for _ in range(2):
        losses = [one.loss(decoded, x, samples)["loss_feature"] for one in (task, remembering)]
        slopes = [torch.autograd.grad(loss, decoded)[0] for loss in losses]
        assert torch.allclose(*losses)
        assert torch.allclose(*slopes, atol=1e-9)
    assert torch.allclose(remembering.loss(decoded, None, samples)["loss_feature"], losses[0])
    first = remembering.loss(decoded[:1], None, samples[:1])["loss_feature"]
    assert torch.allclose(first, task.loss(decoded[:1], x[:1], samples[:1])["loss_feature"])
    mirrored = samples[0].clone()
    mirrored.set_metainfo({"flip": True})  # other pixels than those that are known
    with pytest.raises(ConfigError, match="there are none"):
        remembering.loss(decoded[:1], None, [mirrored])


def test_maps_are_kept_as_long_as_there_is_room():
    maps, everywhere = [torch.rand(2, 3, 4, 4)], torch.ones(2, 1, 8, 8)
    kept = FeatureCache(size=3 * 4 * 16 + 16)  # one picture's
    kept.keep(["a", "b"], maps, everywhere)
    assert torch.equal(kept.recall(["a"])[0], maps[0][:1])
    assert kept.recall(["a", "b"]) is None
    corner = torch.zeros(1, 1, 8, 8)
    corner[..., :2, :4] = 1
    kept = FeatureCache(size=1 << 20)
    kept.keep(["c"], [maps[0][:1]], corner)
    (actual,) = kept.recall(["c"])
    assert torch.equal(actual[..., :1, :2], maps[0][:1, :, :1, :2])
    assert actual.count_nonzero() == 3 * 2


def test_the_feature_distance_is_none_on_the_original_and_grows_with_the_error(batch):
    task = MMDetTask(MINI, feature_weight=2.0)
    task.freeze()
    x, samples = batch
    same = task.loss(x, x, samples)["loss_feature"]
    near = task.loss((x + 0.02 * torch.randn_like(x)).clamp(0, 1), x, samples)["loss_feature"]
    far = task.loss((x + 0.2 * torch.randn_like(x)).clamp(0, 1), x, samples)["loss_feature"]
    assert same.item() == pytest.approx(0, abs=1e-6)
    assert 0 < near < far
    assert "loss_feature" not in MMDetTask(MINI).loss(x, x, samples)


def test_weights_of_another_detector_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"state_dict": {"backbone.conv1.weight": torch.zeros(3)}}, path)
    with pytest.raises(ConfigError, match="another architecture.*missing"):
        MMDetTask(MINI, checkpoint=str(path))


def test_a_pickle_that_runs_code_is_refused(tmp_path):
    path = tmp_path / "evil.pth"
    torch.save({"state_dict": {"x": _Touch(tmp_path / "touched")}}, path)
    with pytest.raises(ConfigError, match="not a readable file of weights"):
        MMDetTask(MINI, checkpoint=str(path))
    assert not (tmp_path / "touched").exists()


class _Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_bare_pickle_runs_nothing(tmp_path):
    """Not what torch.save writes, so that torch falls back to its oldest reader."""
    path = tmp_path / "evil.pth"
    path.write_bytes(pickle.dumps(_Touch(tmp_path / "touched")))
    with pytest.raises(ConfigError, match="may run code|not a readable file of weights"):
        MMDetTask(MINI, checkpoint=str(path))
    assert not (tmp_path / "touched").exists()


def test_objects_without_masks_are_boxes(batch, stage1_config):
    """A detector of boxes trains on them; one of masks says what it needs."""
    x, samples = batch
    for sample in samples:
        del sample.gt_instances.masks
    assert MMDetTask(MINI, checkpoint=None).loss(x, x, samples)
    with pytest.raises(DataError, match="objects without a mask"):
        MMDetTask("configs/mini/tasks/mask_rcnn.py", checkpoint=None).loss(x, x, samples)
    dataset = {**stage1_config.train_dataloader.dataset}
    annotations = Path(dataset["data_root"]) / "annotations" / "train.json"
    listing = json.loads(annotations.read_text())
    for one in listing["annotations"]:
        one.pop("segmentation")
    bare = annotations.with_name("boxes.json")
    bare.write_text(json.dumps(listing))
    dataset["ann_file"] = "annotations/boxes.json"
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        instances = DATASETS.build(dataset)[0]["data_samples"].gt_instances
        assert "masks" not in instances
        assert len(instances.bboxes)
        listing["categories"].reverse()  # labels go by names
        bare.write_text(json.dumps(listing))
        reversed_ = DATASETS.build(dataset)[0]["data_samples"].gt_instances
        assert torch.equal(reversed_.labels, instances.labels)
    bare.unlink()


def test_samplers_may_be_asked_by_name():
    """As GFL and Mask2Former do."""
    seen = []

    class _Sampler:
        def sample(self, **kwargs):
            seen.append((kwargs, torch.rand(1)))

    truth = InstanceData(metainfo={DRAW_SEED: 5})
    with drawing_by_picture([sampler := _Sampler()]):
        for _ in range(2):
            sampler.sample(assign_result=1, pred_instances=2, gt_instances=truth)
    assert seen[0][0] == {"assign_result": 1, "pred_instances": 2, "gt_instances": truth}
    assert seen[0][1] == seen[1][1]


def test_no_such_detector():
    with pytest.raises(ConfigError, match="detectors come from mmdet::"):
        MMDetTask("mmseg::pspnet/x.py")
    with pytest.raises(ConfigError, match="no detector config"):
        MMDetTask("configs/nowhere.py")
    with pytest.raises(ConfigError, match="type"):
        MMDetTask({"backbone": {}})


def test_a_picture_without_annotations_says_so(batch):
    task = MMDetTask(MINI)
    x, samples = batch
    samples[0].gt_instances = InstanceData()
    with pytest.raises(DataError, match="LoadAnnotations"):
        task.loss(x, x, samples)


@pytest.mark.slow
def test_the_papers_detector_takes_a_step_and_predicts():
    """Faster R-CNN X101-32x8d-FPN, random weights, 480x640, through mbt2018-mean."""
    from vcm_mt.apis.system import build_system

    config = Config.fromfile("configs/stage1_det.py")
    config.model.codec.pretrained = False
    config.model.codec.quality = 1
    config.model.tasks.det.checkpoint = None
    config.model.lmbda = 0.5
    system = build_system(config)
    system.train()
    picture = torch.randint(0, 256, (3, 480, 640), dtype=torch.uint8)
    sample = _sample((480, 640))
    wrapper = {"optimizer": {"type": "Adam", "lr": 1e-4}}
    from vcm_mt.engine.optim import CodecOptimWrapperConstructor

    optimizers = CodecOptimWrapperConstructor({"main": wrapper, "aux": wrapper})(system)
    log = system.train_step({"inputs": [picture], "data_samples": [sample]}, optimizers)
    assert torch.isfinite(log["loss"])
    system.eval().transmitter.update_tables()
    done = system.val_step({"inputs": [picture], "data_samples": [sample]})[0]
    assert done.coding["num_bytes"] > 0
    assert done.pred_det.bboxes.shape[1] == 4


def _sample(size):
    from mmdet.structures import DetDataSample

    sample = DetDataSample(metainfo={"img_id": 0, "ori_shape": size, "img_shape": size})
    sample.gt_instances = InstanceData(
        bboxes=torch.tensor([[50.0, 60.0, 200.0, 220.0], [300.0, 100.0, 420.0, 400.0]]),
        labels=torch.tensor([0, 7]),
    )
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4))
    return sample
