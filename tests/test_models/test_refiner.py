"""Latents refined at the encoder: better by the objective, with nothing else changed."""

import copy

import pytest
import torch
from mmengine.structures import BaseDataElement

from vcm_mt.apis.codec import Transmitter
from vcm_mt.apis.pictures import read_picture
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import fingerprint
from vcm_mt.errors import ConfigError
from vcm_mt.models.objectives import FeatureObjective, LossObjective
from vcm_mt.models.refiner import Refiner
from vcm_mt.models.tasks import Task
from vcm_mt.models.tasks.features import feature_distance

ZOO = {"arch": "MeanScaleHyperprior", "N": 48, "M": 96, "checkpoint": "zoo://mse_1"}
PEOPLE = {"people": {"type": "HumanTask"}}
TWICE = {"twice": {"type": "HumanTask", "weight": 3.0}}


@pytest.fixture
def build(stage1_config, device):
    """A system with the zoo's codec and detector, after changes to the config's model."""

    def _build(**changes):
        config = copy.deepcopy(stage1_config)
        config.model.codec = changes.pop("codec", ZOO)
        config.model.tasks.det.checkpoint = "zoo://faster_rcnn"
        config.model.tasks = changes.pop("tasks", config.model.tasks)
        config.merge_from_dict({"model": {"lmbda": 0.04, **changes}})
        torch.manual_seed(0)
        return build_system(config, device=device)

    return _build


@pytest.fixture
def picture(mini, device):
    return read_picture(sorted((mini / "val").glob("*.bmp"))[0]).to(device)


def _received(system, picture, y, quality=None):
    """Real bits per pixel, and the picture that the shared receiver makes of them."""
    height, width = picture.shape[-2:]
    (data,) = system.transmitter.code(y, height, width, quality)
    y_hat, _ = system.transmitter.decode(data)
    decoded = system.receivers["shared"](y_hat)[..., :height, :width]
    return 8 * len(data) / (height * width), decoded


def _cost(system, picture, y, quality=None):
    """Equation (1) by real bytes, against what the task finds in the original."""
    height, width = picture.shape[-2:]
    rate, decoded = _received(system, picture, y, quality)
    ((_, task),) = system.tasks.items()
    plain = BaseDataElement(metainfo={"img_shape": (height, width), "ori_shape": (height, width)})
    with torch.no_grad():
        actual = task.loss(decoded, picture, [task.own_truth(picture, plain, 0.5)])
    (lmbda,) = system.lmbdas
    loss = sum(value.item() for value in actual.values())
    return (1 - lmbda) * rate + lmbda * loss


@pytest.mark.parametrize("tasks", [None, PEOPLE], ids=["detector", "people"])
def test_a_picture_costs_less_by_its_real_bytes(build, picture, tasks):
    system = build(**({"tasks": tasks, "lmbda": 0.01} if tasks else {}))
    networks = [system.transmitter, system.receivers, system.tasks]
    before = [fingerprint(network) for network in networks]
    start = system.transmitter.analyse(picture)
    refined = Refiner(system, steps=5, rate=0.08, objective="loss", amp=False)(picture)
    assert [fingerprint(network) for network in networks] == before
    assert _cost(system, picture, refined) < 0.97 * _cost(system, picture, start)


def test_losses_count_above_those_of_the_original(build, picture):
    objective = LossObjective(build().eval(), score=0.5)
    targets = objective.targets(picture)
    assert sum(targets["det"].floor.values()) > 0.1
    assert objective.terms({"shared": picture}, picture, targets) == 0
    assert objective.terms({"shared": 0.5 * picture}, picture, targets) > 0.1


def _features(system, picture, decoded):
    """The distance of the tasks' feature maps, and its value by hand."""
    ((_, task),) = system.tasks.items()
    with torch.no_grad():
        pairs = zip(task.features(decoded), task.features(picture), strict=True)
        return torch.stack([(a - b).square().sum() / b.square().sum() for a, b in pairs]).mean()


@pytest.mark.parametrize("network", ["faster_rcnn", "retinanet", "mask_rcnn"])
def test_features_of_any_network_come_nearer_at_the_same_bits(build, picture, network):
    task = {
        "type": "MMDetTask",
        "detector": f"configs/mini/tasks/{network}.py",
        "checkpoint": f"zoo://{network}",
    }
    system = build(tasks={"det": task})
    start = system.transmitter.analyse(picture)
    with torch.no_grad():
        rate, before = _received(system, picture, start)
        refined = Refiner(system, amp=False)(picture)
        after_rate, after = _received(system, picture, refined)
    assert after_rate < 1.03 * rate
    assert _features(system, picture, after) < 0.85 * _features(system, picture, before)


def test_rate_weighs_as_asked(build, picture):
    system = build()
    rates = []
    with torch.no_grad():
        for rate_weight in (0.0, 1.0, 4.0):
            y = Refiner(system, steps=4, rate_weight=rate_weight, amp=False)(picture)
            rates.append(_received(system, picture, y)[0])
    assert rates[0] > rates[1] > rates[2]


def test_the_background_counts_as_asked(build, picture):
    """Less of it leaves more of the distance where nothing was found, and less on the finds."""
    system = build()
    (task,) = system.tasks.values()
    with torch.no_grad():
        found, maps = task.foreground(picture, 0.5), task.features(picture)
    assert 0 < found.mean() < 1
    assert task.foreground(picture, 1.0).sum() == 0
    shares = []
    for background in (1.0, 0.05):
        y = Refiner(system, steps=6, background=background, amp=False)(picture)
        decoded = task.features(_received(system, picture, y)[1])
        inside = feature_distance(decoded, maps, found, 0.0)
        shares.append(float(inside / feature_distance(decoded, maps, found, 1.0)))
    assert shares[1] < shares[0]


def test_tasks_count_by_their_weights(build, picture):
    objective = FeatureObjective(build(tasks={**PEOPLE, **TWICE}).eval(), rate_weight=0.5)
    terms = picture.new_tensor([0.1, 0.4])
    rate, factors = objective.weights(picture.new_tensor(2.0), terms, quality=1)
    assert rate == 0.25
    assert torch.allclose(factors * terms, picture.new_tensor([0.25, 0.75]))


def test_a_task_without_maps_says_what_to_do(build, picture):
    system = build(tasks=PEOPLE)
    system.tasks["people"].features = lambda x: Task.features(system.tasks["people"], x)
    with pytest.raises(ConfigError, match=r'HumanTask has no feature maps.*objective="loss"'):
        Refiner(system)(picture)


def test_the_same_picture_is_refined_alike(build, picture):
    refine = Refiner(build(), steps=2)
    assert torch.equal(refine(picture), refine(picture))
    assert refine.record == Refiner(build(), steps=2).record
    assert refine.record != Refiner(build(), steps=2, rate_weight=3.0).record
    by_loss = Refiner(build(lmbda=0.04), steps=2, objective="loss").record
    assert by_loss != Refiner(build(lmbda=0.05), steps=2, objective="loss").record
    assert by_loss != refine.record


def test_what_is_in_an_original_is_found_once_for_all_levels(build, picture):
    known = {}
    alone = Refiner(build(lmbda=0.2), steps=2)(picture)
    Refiner(build(lmbda=0.02), steps=2, known=known)(picture)
    Refiner(build(lmbda=0.02), steps=1, known=known)(1 - picture)
    assert len(known) == 2
    next_quality = Refiner(build(lmbda=0.2), steps=2, known=known)
    next_quality.objective.targets = None  # it is not asked again
    assert torch.equal(next_quality(picture), alone)


@pytest.mark.parametrize("size", [(1, 1), (70, 131)])
def test_any_size_and_a_picture_without_objects(build, size):
    system = build()
    grey = torch.full((3, *size), 0.5)
    transmitter = Transmitter(system.transmitter, Refiner(system, steps=1))
    data = transmitter.encode(grey)
    assert system.transmitter.decode(data)[1] == size
    assert transmitter.fingerprint == Transmitter(system.transmitter).fingerprint


def test_a_level_of_several(build, picture):
    system = build(lmbda=[0.01, 0.2], gains=[0.5, 1.0])
    refine = Refiner(system, steps=2, objective="loss")
    sizes = []
    for quality in (1, 2):
        y = refine(picture, quality)
        assert not torch.equal(y, system.transmitter.analyse(picture))
        (data,) = system.transmitter.code(y, *picture.shape[-2:], quality)
        sizes.append(len(data))
    assert sizes[0] < sizes[1]


def test_a_codec_with_context(build, device):
    small = {"arch": "JointAutoregressiveHierarchicalPriors", "N": 8, "M": 12}
    system = build(codec=small, tasks=PEOPLE, lmbda=1e-4)
    with torch.no_grad():  # so that the latent is not all zeros
        system.transmitter.g_a[-1].weight.mul_(40)
    noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    noise = noise.to(device)
    start = system.transmitter.analyse(noise)
    refined = Refiner(system, steps=6, rate=0.2, objective="loss", amp=False)(noise)
    assert not torch.equal(refined, start)
    assert _cost(system, noise, refined) < _cost(system, noise, start)


def test_a_segmenters_masks_are_truth_too(build, picture):
    mask_rcnn = {
        "type": "MMDetTask",
        "detector": "configs/mini/tasks/mask_rcnn.py",
        "checkpoint": "zoo://mask_rcnn",
    }
    system = build(tasks={"segm": mask_rcnn})
    height, width = picture.shape[-2:]
    plain = BaseDataElement(metainfo={"img_shape": (height, width), "ori_shape": (height, width)})
    truth = system.tasks["segm"].own_truth(picture, plain, 0.5).gt_instances
    assert len(truth) >= 1
    assert truth.masks.masks.shape == (len(truth), height, width)
    start = system.transmitter.analyse(picture)
    refined = Refiner(system, steps=3, rate=0.08, objective="loss", amp=False)(picture)
    assert _cost(system, picture, refined) < _cost(system, picture, start)


def test_no_step_is_refused(build):
    with pytest.raises(ConfigError, match="1 step or more"):
        Refiner(build(tasks=PEOPLE), steps=0)


def test_other_objectives_are_refused(build):
    with pytest.raises(ConfigError, match='"features" or "loss"'):
        Refiner(build(tasks=PEOPLE), objective="mse")
    with pytest.raises(ConfigError, match="background must lie in"):
        Refiner(build(tasks=PEOPLE), background=1.5)
    with pytest.raises(ConfigError, match="rate_weight must be 0 or more"):
        Refiner(build(tasks=PEOPLE), rate_weight=-1)
