"""The faster twin of a frozen detector gives the same losses and gradients."""

import copy

import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from tests.elsewhere import Elsewhere
from vcm_mt.engine.hooks import frozen_digest
from vcm_mt.engine.optim import CodecOptimWrapperConstructor
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks import MMDetTask
from vcm_mt.models.tasks.fast_detector import _memory_order, _require_equal
from vcm_mt.models.tasks.seeded_sampling import DRAW_SEED

MINI = "configs/mini/tasks/faster_rcnn.py"


@pytest.fixture
def batch(stage1_config):
    """Two pictures, float [2, 3, 256, 256], and their data samples."""
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        data = next(iter(Runner.build_dataloader(stage1_config.train_dataloader, seed=0)))
    pictures = torch.stack([picture.flip(0).float() / 255 for picture in data["inputs"]])
    return pictures, data["data_samples"]


def _task(detector=MINI, checkpoint="zoo://faster_rcnn", **switches):
    torch.manual_seed(0)
    task = MMDetTask(detector, checkpoint, **switches)
    task.freeze()
    return task


def _run(task, batch, noise=0.0, parts=("",)):
    """The losses whose names contain one of ``parts``, and the gradient of their sum."""
    x, samples = batch
    torch.manual_seed(1)
    x_hat = (x + noise * torch.randn_like(x)).clamp(0, 1).requires_grad_()
    losses = task.loss(x_hat, x, samples)
    losses = {name: v for name, v in losses.items() if any(part in name for part in parts)}
    sum(losses.values()).backward()
    return {name: value.item() for name, value in losses.items()}, x_hat.grad


#: Losses that depend on all places of the maps. The heads' depend on the proposals that are drawn,
#: which may change with the last bit of a score.
DENSE = {"noise": 0.05, "parts": ("rpn", "feature")}


def _apart(gradient, other):
    """The norm of the difference of two gradients, relative to the first."""
    return ((other - gradient).norm() / gradient.norm()).item()


EXACT = [{"fold": True}, {"fast_roi_align": True}, {"checkpoint_activations": True}]


@pytest.mark.parametrize(
    "switches", [*EXACT, EXACT[0] | EXACT[1] | EXACT[2]], ids=lambda s: "+".join(s)
)
@pytest.mark.parametrize("kind", ["faster_rcnn", "mask_rcnn"])
def test_what_changes_no_precision_changes_no_loss_and_no_gradient(batch, switches, kind):
    given = {"detector": f"configs/mini/tasks/{kind}.py", "checkpoint": f"zoo://{kind}"}
    plain, fast = (_task(**given, feature_weight=1.0, **more) for more in ({}, switches))
    for settings, gap in (({}, 1e-2), (DENSE, 1e-4)):
        expected, gradient = _run(plain, batch, **settings)
        losses, other = _run(fast, batch, **settings)
        assert losses == pytest.approx(expected, rel=1e-3, abs=1e-6)
        assert _apart(gradient, other) < gap


def test_bfloat16_stays_near_and_its_heads_get_float32(batch):
    """The gradient passes a dozen convolutions, each rounded to 8 bits."""
    plain, task = (_task(feature_weight=1.0, **more) for more in ({}, {"amp": True, "fold": True}))
    inputs = []
    for layer in task.detector.roi_head.bbox_roi_extractor.roi_layers:
        layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    expected, gradient = _run(plain, batch, **DENSE)
    losses, other = _run(task, batch, **DENSE)
    assert losses == pytest.approx(expected, rel=0.01)
    assert 1e-3 < _apart(gradient, other) < 0.2
    assert inputs
    assert all(m.dtype == torch.float32 and m.is_contiguous() for m in inputs)


def test_the_former_name_of_a_switch_still_works():
    with pytest.warns(FutureWarning, match="fast_roi_align"):
        task = _task(quick_roi_align=True)
    assert task.fast.switches.fast_roi_align


def test_the_detector_itself_stays_as_it_is(batch):
    plain, task = _task(), _task(amp=True, fold=True, fast_roi_align=True)
    before = frozen_digest(task)
    _run(task, batch)
    assert frozen_digest(task) == before == frozen_digest(plain)
    assert task.state_dict().keys() == plain.state_dict().keys()
    expected, boxes = (t.predict(*batch)[0].bboxes for t in (plain, task))
    assert torch.equal(expected, boxes)


def test_new_weights_are_seen(batch):
    task = _task(fold=True)
    before, _ = _run(task, batch)
    other = _task(checkpoint=None)
    task.load_state_dict(other.state_dict())
    after, _ = _run(task, batch)
    assert after != before
    assert after == pytest.approx(_run(other, batch)[0], rel=1e-3)


def test_checkpointing_keeps_less(batch):
    kept = []
    for switch in (False, True):
        task, total = _task(checkpoint_activations=switch), 0
        sizes = {}

        def pack(x, sizes=sizes):
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            x, samples = batch
            task.loss(x.clone().requires_grad_(), None, samples)
        total = sum(sizes.values())
        kept.append(total)
    assert kept[1] < 0.7 * kept[0]


def test_with_seeds_a_pictures_loss_does_not_depend_on_its_batch(batch):
    """RPN's and the heads' samplers are full here, so that a batch's loss is its pictures' mean."""
    task, (x, samples) = _task(), batch
    for seed, sample in enumerate(samples):
        sample.set_metainfo({DRAW_SEED: seed})
    torch.manual_seed(0)
    together, _ = _run(task, batch)
    torch.manual_seed(1)
    alone = [_run(task, (x[i : i + 1], samples[i : i + 1]))[0] for i in range(2)]
    for name, value in together.items():
        assert value == pytest.approx(sum(one[name] for one in alone) / 2, rel=1e-4), name
    samples[0].set_metainfo({DRAW_SEED: 9})
    assert _run(task, batch)[0] != together


@pytest.mark.slow
def test_compiled_it_gives_the_same_loss(batch):
    expected, gradient = _run(_task(), batch)
    task = _task()
    task.compile()
    losses, other = _run(task, batch)
    assert losses == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert _apart(gradient, other) < 1e-2


class _Crossed(nn.Module):
    """Batch norms that stand behind their convolutions but are called in front of them."""

    def __init__(self):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        nn.init.uniform_(self.bn.running_var, 1, 4)

    def forward(self, x):
        return (self.conv(self.bn(x)),)


class _Detector(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone = _Crossed()

    def extract_feat(self, x):
        return self.backbone(x)


def test_a_backbone_that_cannot_be_folded_is_told():
    from mmcv.cnn.utils import fuse_conv_bn

    detector = _Detector().eval()
    _require_equal(detector, {"backbone": copy.deepcopy(detector.backbone)})
    with pytest.raises(ConfigError, match="fold=False"):
        _require_equal(detector, {"backbone": fuse_conv_bn(copy.deepcopy(detector.backbone))})


def test_float16_is_for_gpus_and_needs_a_loss_scale(batch):
    with pytest.raises(ConfigError, match='set amp="auto" on a CPU'):
        _run(_task(amp="fp16"), batch)
    with pytest.raises(ConfigError, match="must be"):
        _run(_task(amp="half"), batch)
    wrapper = {"optimizer": {"type": "Adam", "lr": 1e-3}}
    constructor = CodecOptimWrapperConstructor({"main": wrapper, "aux": wrapper})
    task = _task(amp="fp16")
    task.learned = nn.Parameter(torch.zeros(1))
    with pytest.raises(ConfigError, match="loss scale"):
        constructor(task)


def _order(groups=1, device="cpu", dtype=None):
    parts = [nn.Sequential(nn.Conv2d(8, 8, 3, groups=groups), nn.Conv2d(8, 8, 1, groups=8))]
    return _memory_order(parts, torch.device(device), dtype)


def test_channels_last_where_it_is_fast():
    """Depthwise convolutions are no grouped ones in this."""
    assert _order() == _order(groups=4) == torch.channels_last
    half = torch.bfloat16
    assert _order(device="cuda", dtype=half) == torch.channels_last
    for settings in ({}, {"groups": 4}, {"groups": 4, "dtype": half}):
        assert _order(device="cuda", **settings) == torch.contiguous_format


def test_a_twin_on_a_gpu_is_the_same_network(batch):
    settings = {"fold": True, "feature_weight": 1.0}
    expected, gradient = _run(_task(**settings), batch)
    with Elsewhere():
        task = _task(**settings).to("cuda")
        x, samples = batch
        for sample in samples:
            sample.gt_instances = sample.gt_instances.to("cuda")
        losses, other = _run(task, (x.to("cuda"), samples))
    assert losses == pytest.approx(expected, rel=1e-3, abs=1e-6)
    assert _apart(gradient, other.cpu()) < 1e-2


def test_folding_is_checked_in_float32_proper():
    """Where TF32 is allowed, as cuDNN does by default, its rounding is no sign of a bad fold."""
    backends = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [one.allow_tf32 for one in backends]
    seen = []

    class _Watching(_Detector):
        def extract_feat(self, x):
            seen.append([one.allow_tf32 for one in backends])
            return super().extract_feat(x)

    detector = _Watching().eval()
    for allowed in ([True, True], before):
        for one, value in zip(backends, allowed, strict=True):
            one.allow_tf32 = value
        _require_equal(detector, {"backbone": detector.backbone})
        assert [one.allow_tf32 for one in backends] == allowed
    assert seen == 4 * [[False, False]]
