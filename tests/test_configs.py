"""Every config that can be run builds, trains a step and evaluates real bytes, random weights."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmdet.structures.mask import BitmapMasks
from mmengine.evaluator import Evaluator
from mmengine.registry import DefaultScope
from mmengine.structures import InstanceData
from PIL import Image

from tests.conftest import ROOT
from tests.person_clips import converted_ava
from vcm_mt.apis.system import build_system
from vcm_mt.checkpoint import read_state_dict
from vcm_mt.datasets.mini.figure_writer import prepare_figures
from vcm_mt.datasets.mini.motion_writer import prepare_motions
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.engine.hooks import EntropyTablesHook
from vcm_mt.errors import ConfigError
from vcm_mt.models.tasks.mmpose_import import INSTALL
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import at_level, load_config, qualities
from vcm_mt.training.dry_run import dry_run
from vcm_mt.training.finetune import for_tasks
from vcm_mt.training.run import train

LEAVES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.py", "mini/**/*.py", "photos/*.py")
    for path in (ROOT / "configs").glob(pattern)
)
#: With the networks of the paper: Faster R-CNN X101, Mask R-CNN R50.
PAPERS = {f"configs/{stage}.py" for stage in (
    "stage1_det", "stage1_segm", "stage1_det_segm", "stage1_track",
    "stage2_det", "stage2_segm", "stage2_track",
    "stage1_pose", "stage2_pose", "stage1_sem", "stage2_sem", "stage1_action", "stage2_action",
    "stage1_persons", "stage2_persons",
)}  # fmt: skip
#: Trained as mmdet, mmpose, mmsegmentation and mmaction2 train them, which a dry run does not know;
#: and on several data sets, which has a test of its own.
NOT_DRY = {
    *(f"configs/mini/tasks/{name}.py" for name in ("qdtrack", "hrnet", "sem_fpn", "slowfast")),
    "configs/mini/stage1_all.py",
}
DRY = [path for path in LEAVES if path not in NOT_DRY]
_UNUSED = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
CATEGORY_IDS = [number for number in range(1, 91) if number not in _UNUSED]


def _marks(path):
    """Of a config: slow with the networks of the paper, skipped without what is optional."""
    marks = [pytest.mark.slow] if path in PAPERS else []
    if path.endswith(("_sem.py", "_action.py", "_persons.py")):
        there = find_spec("mmseg") and find_spec("mmaction")
        marks.append(pytest.mark.skipif(not there, reason="see docs/setup.md"))
    if path.endswith("_pose.py"):
        marks.append(pytest.mark.skipif(find_spec("mmpose") is None, reason=INSTALL))
    return marks


@pytest.fixture(scope="session")
def coco(mini, tmp_path_factory) -> Path:
    """COCO 2017 in small: its folders, its 80 categories, pictures of the embedded set.

    And the photographs, whose splits have other names.
    """
    from mmdet.datasets import CocoDataset

    folder = tmp_path_factory.mktemp("coco")
    (folder / "annotations").mkdir()
    names = CocoDataset.METAINFO["classes"]
    categories = [{"id": i, "name": n} for i, n in zip(CATEGORY_IDS, names, strict=True)]
    for split, count in (("train", 3), ("val", 2)):
        listing = json.loads((mini / "annotations" / f"{split}.json").read_text())
        pictures = listing["images"][:count]
        kept = {picture["id"] for picture in pictures}
        objects = [one for one in listing["annotations"] if one["image_id"] in kept]
        for one in objects:
            one["category_id"] = CATEGORY_IDS[7 * (one["category_id"] - 1) % 80]
        (folder / f"{split}2017").mkdir()
        for picture in pictures:
            shutil.copy(mini / split / picture["file_name"], folder / f"{split}2017")
        written = {"images": pictures, "annotations": objects, "categories": categories}
        path = folder / "annotations" / f"instances_{split}2017.json"
        path.write_text(json.dumps(written))
        for photos in {"train": ["train"], "val": ["tune", "val"]}[split]:
            (folder / photos).symlink_to(f"{split}2017")
            (folder / "annotations" / f"{photos}.json").symlink_to(path.name)
        poses = folder / "annotations" / f"person_keypoints_{split}2017.json"
        poses.write_text(json.dumps(_persons(pictures)))
    return folder


def _persons(pictures):
    """A person of COCO's 17 joints in each picture."""
    joints = [value for n in range(17) for value in (60 + 4 * n, 40 + 9 * n, n % 3)]
    person = {"category_id": 1, "bbox": [50, 30, 100, 180], "area": 9000, "iscrowd": 0}
    person |= {"keypoints": joints, "num_keypoints": 11}
    people = [{**person, "id": 1 + n, "image_id": one["id"]} for n, one in enumerate(pictures)]
    category = {"id": 1, "name": "person", "keypoints": [f"joint_{n}" for n in range(17)]}
    return {"images": pictures, "annotations": people, "categories": [category]}


def _small(path, coco, mini):
    """A config on a few pictures, with random weights and a small picture for its detectors."""
    config = load_config(path)
    root = config.val_dataloader.dataset.data_root
    if root == "data/mini_videos/":
        data = mini.parent / "videos"
        prepare_videos(data, sizes={"train": (1, 8), "val": (1, 2)})
    elif root == "data/mini_figures/":
        data = mini.parent / "figures"
        prepare_figures(data, sizes={"train": 4, "val": 2})
    elif root == "data/mini_motions/":
        data = mini.parent / "motions"
        prepare_motions(data, sizes={"train": (2, 16), "val": (1, 16)})
    elif root == "data/kinetics400/val/":
        data = _kinetics(mini.parent / "kinetics")
    elif root == "data/ava/":
        data = converted_ava(mini.parent / "ava")
    elif root == "data/cityscapes/":
        data = _cityscapes(mini, mini.parent / "cityscapes")
    elif root == "data/MOT17/":
        data = _mot17(mini.parent / "mot17")
    else:
        data = mini if root == "data/mini/" else coco
    for split in ("train", "val", "test"):
        loader = config[f"{split}_dataloader"]
        loader.dataset.get("dataset", loader.dataset).data_root = str(data)
        loader.update(num_workers=0, persistent_workers=False, timeout=0)
    config.train_dataloader.batch_size = 2
    _reduce(config, root, f"{data}/")
    return config


def _mot17(folder):
    """MOT17 in small: the embedded videos, whose objects are all pedestrians."""
    prepare_videos(folder, sizes={"train": (1, 8), "val": (1, 2)})
    for split, half in (("train", "first_half"), ("val", "second_half")):
        told = json.loads((folder / "annotations" / f"{split}.json").read_text())
        for picture in told["images"]:
            picture["file_name"] = f"../{split}/{picture['file_name']}"
        for one in told["annotations"]:
            one["category_id"] = 1
        told["categories"] = [{"id": 1, "name": "pedestrian"}]
        (folder / "annotations" / f"{half}.json").write_text(json.dumps(told))
    return folder


def _kinetics(folder):
    """Kinetics-400 in small: embedded clips, as long as SlowFast samples them."""
    prepare_motions(folder, sizes={"train": (2, 64), "val": (1, 64)})
    for split in ("train", "val"):
        told = json.loads((folder / "annotations" / f"{split}.json").read_text())
        for picture in told["images"]:
            picture["file_name"] = f"{split}/{picture['file_name']}"
        told |= {"annotations": [], "categories": []}
        file = folder / "annotations" / f"kinetics400_{split}_list_videos.json"
        file.write_text(json.dumps(told))
    return folder


def _cityscapes(mini, folder):
    """Cityscapes in small: pictures of the embedded set, and maps of one class."""
    for split, count in (("train", 3), ("val", 2)):
        for kind in ("leftImg8bit", "gtFine"):
            (folder / kind / split / "ulm").mkdir(parents=True, exist_ok=True)
        for number, path in enumerate(sorted((mini / split).glob("*.bmp"))[:count]):
            with Image.open(path) as picture:
                picture.save(folder / f"leftImg8bit/{split}/ulm/{number}_leftImg8bit.png")
                labels = Image.new("L", picture.size, number)
            labels.save(folder / f"gtFine/{split}/ulm/{number}_gtFine_labelTrainIds.png")
    return folder


def _reduce(part, old_root, new_root):
    for key, value in part.items():
        if key == "ann_file":
            part[key] = value.replace(old_root, new_root)
        elif key == "checkpoint" and isinstance(value, str):
            part[key] = None
        elif key == "pretrained":
            part[key] = False
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                _reduce(one, old_root, new_root)
    if part.get("type") in ("MMDetTask", "MMTrackTask"):
        part["resize"] = {"scale": (192, 160), "keep_ratio": True}


@pytest.fixture
def stage1(tmp_path):
    """Writes the checkpoint of an untrained stage 1 with a config's codec."""

    def write(codec, quality=0, gains=()):
        config = load_config("configs/stage1_det.py")
        people = {"people": {"type": "HumanTask"}}
        config.model = {"type": "VCMSystem", "codec": codec, "lmbda": 0.5, "tasks": people}
        config.model.quality = quality
        if gains:
            config.model.update(gains=list(gains), lmbda=[0.5] * len(gains), quality=0)
        system = build_system(config)
        checkpoint = {"meta": {}, "message_hub": {"log_scalars": {}, "runtime_info": {}}}
        EntropyTablesHook().before_save_checkpoint(SimpleNamespace(model=system), checkpoint)
        torch.save(checkpoint, tmp_path / "stage1.pth")
        return str(tmp_path / "stage1.pth")

    return write


@pytest.mark.parametrize(
    "path",
    [pytest.param(p, marks=_marks(p)) for p in DRY],
)
def test_a_config_trains_a_step_and_evaluates(path, coco, mini, stage1, tmp_path):
    torch.manual_seed(0)
    config = _small(path, coco, mini)
    if qualities(config):
        config = at_level(config, qualities(config)[0])
    if "stage1" in config:
        config = for_tasks(config, config.task)
        mini_codec = {"arch": "MeanScaleHyperprior", "N": 48, "M": 96}
        small = "mini" in path or "photos" in path
        codec = mini_codec if small else {"arch": "mbt2018-mean", "quality": 1}
        config.model.stage1 = stage1(codec)
        config.model.start = "shared"  # that one has no other decoder
    elif "stage1" in config.model:
        mini_codec = {"arch": "MeanScaleHyperprior", "N": 48, "M": 96}
        rates = config.model.lmbda if isinstance(config.model.lmbda, list) else []
        gains = [1 + n / 10 for n in range(len(rates))]
        config.model.stage1 = stage1(mini_codec, config.model.get("quality", 0), gains)
        for task in config.model.tasks.values():
            task.pop("receiver", None)  # that one has the shared decoder alone
    found = dry_run(config, tmp_path / "work")
    assert not found.problems
    assert found.step.pictures == 2
    if "tasks" in Path(path).parts:
        return  # a task network trains by itself, without a codec
    assert found.evaluation.metrics["bpp"] > 0
    detectors = {name for name, task in config.model.tasks.items() if task.type != "HumanTask"}
    if not detectors & {"action", "persons"}:  # which are told with a later frame of a video
        assert set(found.evaluation.found) == detectors
    judged = {metric.task for metric in config.val_evaluator if "task" in metric}
    assert judged == detectors


@pytest.mark.parametrize(("task", "metric"), [("det", "bbox"), ("segm", "segm")])
def test_cocos_evaluators_know_its_classes(task, metric, coco, mini):
    """The annotations themselves, taken for a network's answers, reach an mAP of 1."""
    config = _small("configs/stage1_det_segm.py", coco, mini)
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        given = config.val_dataloader.dataset
        given.pipeline = [config.load_picture, config.load_annotations, config.pack]
        dataset = DATASETS.build(given)
        evaluator = Evaluator([m for m in config.val_evaluator if m.get("task") == task])
    evaluator.dataset_meta = dataset.metainfo
    samples = []
    for packed in dataset:
        sample = packed["data_samples"]
        truth = sample.gt_instances
        masks = truth.masks.to_tensor(torch.bool, "cpu")
        answer = InstanceData(bboxes=truth.bboxes.tensor, labels=truth.labels, masks=masks)
        answer.scores = torch.ones(len(answer))
        sample.set_field(answer, f"pred_{task}")
        samples.append(sample)
    assert isinstance(truth.masks, BitmapMasks)
    assert len({int(label) for s in samples for label in s.gt_instances.labels}) > 3
    evaluator.process(samples, None)
    found = evaluator.evaluate(len(samples))
    assert found[f"{task}/{metric}_mAP"] == pytest.approx(1.0, abs=0.01)


@pytest.mark.skipif(find_spec("mmpose") is None, reason=INSTALL)
def test_one_codec_through_tasks_on_different_pictures(mini, tmp_path):
    folders = {name: mini.parent / name for name in ("videos", "figures", "motions")}
    prepare_videos(folders["videos"], sizes={"train": (1, 8), "val": (1, 2)})
    prepare_figures(folders["figures"], sizes={"train": 4, "val": 2})
    prepare_motions(folders["motions"], sizes={"train": (2, 16), "val": (1, 16)})
    config = load_config("configs/mini/stage1_all.py")
    for name, source in config.train_dataloader.dataset.sources.items():
        own = source.dataset.get("dataset", source.dataset)
        own.data_root = f"{folders.get(name, mini)}/"
    for loader in (config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = f"{mini}/"
    for metric in config.val_evaluator + config.test_evaluator:
        if "ann_file" in metric:
            metric.ann_file = f"{mini}/annotations/val.json"
    config.train_cfg.update(max_iters=8, val_interval=8, val_begin=100)
    config.default_hooks.logger.interval = 1
    config.default_hooks.checkpoint.interval = 8
    train(config, tmp_path)
    (log,) = tmp_path.glob("*/*.log")
    told = log.read_text()
    assert all(f"loss_{task}: " in told for task in ("det", "sem", "track", "pose", "action"))


@pytest.mark.skipif(find_spec("mmseg") is None, reason="pip install 'vcm_mt[seg]'")
@pytest.mark.parametrize(("network", "figure"), [("sem_fpn", "mIoU"), ("slowfast", "acc/top1")])
def test_small_networks_are_trained_as_their_packages_train_them(network, figure, mini, tmp_path):
    data = mini
    if network == "slowfast":
        data = mini.parent / "motions"
        prepare_motions(data, sizes={"train": (2, 16), "val": (1, 16)})
    config = load_config(f"configs/mini/tasks/{network}.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = f"{data}/"
        loader.update(num_workers=0, persistent_workers=False)
    config.train_dataloader.batch_size = 2
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.param_scheduler = config.param_scheduler[:1]
    config.default_hooks.checkpoint.interval = 2
    train(config, tmp_path)
    (log,) = tmp_path.glob("*/*.log")
    assert f"{figure}: " in log.read_text() and (tmp_path / "iter_2.pth").is_file()


def test_the_tracker_is_trained_as_mmdet_trains_it(mini, tmp_path):
    data = mini.parent / "videos"
    prepare_videos(data, sizes={"train": (1, 8), "val": (1, 2)})
    config = load_config("configs/mini/tasks/qdtrack.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = str(data)
    for evaluator in (config.val_evaluator, config.test_evaluator):
        evaluator.ann_file = f"{data}/annotations/val.json"
    config.train_dataloader.batch_size = 2
    config.train_cfg.update(max_iters=2, val_interval=2)
    config.default_hooks.checkpoint.interval = 2
    train(config, tmp_path)
    start = read_state_dict("zoo://faster_rcnn")
    trained = read_state_dict(str(tmp_path / "iter_2.pth"))
    # mmdet freezes the detector's weights; its batch norms go on with their statistics.
    own = ("running_mean", "running_var", "num_batches_tracked")
    weights = {key: value for key, value in start.items() if not key.endswith(own)}
    assert [k for k, v in weights.items() if not torch.equal(trained[f"detector.{k}"], v)] == []
    assert any(key.startswith("track_head.") for key in trained)
    (log,) = tmp_path.glob("*/*.log")
    assert "HOTA" in log.read_text()
    with pytest.raises(ConfigError, match="whole videos"):
        dry_run(config, tmp_path / "work")
