"""Validations draw what tasks find in pictures, and leave alone those that look at videos."""

from importlib.util import find_spec

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.person_clips import FRAMES, STEP, network, prepare_persons
from vcm_mt.datasets.mini.motions import MOTIONS
from vcm_mt.training.config import load_config
from vcm_mt.training.run import train

pytestmark = pytest.mark.skipif(
    not (find_spec("mmaction") and find_spec("mmseg")), reason="see docs/setup.md"
)


def strips(folder):
    (events,) = folder.rglob("events.out.tfevents*")
    shown = EventAccumulator(str(events), size_guidance={"images": 0})
    shown.Reload()
    return shown.Tags()["images"]


def quick(config, folder):
    config.model.codec = {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}
    config.train_cfg.update(max_iters=1, val_interval=1)
    config.default_hooks.logger.interval = config.default_hooks.checkpoint.interval = 1
    train(config, folder)
    (log,) = folder.glob("*/*.log")
    return log.read_text()


@pytest.fixture(scope="module")
def motions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("motions")
    prepare_persons(folder, {"train": (1, 16), "val": (1, 8)})
    return folder


def motion_config(folder):
    config = load_config("configs/mini/stage1_action.py")
    config.train_dataloader.dataset.dataset.data_root = f"{folder}/"
    config.val_dataloader.dataset.data_root = config.test_dataloader.dataset.data_root = (
        f"{folder}/"
    )
    config.val_evaluator[1].ann_file = config.test_evaluator[1].ann_file = (
        f"{folder}/annotations/val.json"
    )
    config.model.tasks.action.checkpoint = None
    return config


def test_a_training_through_actions_is_validated(motions, tmp_path):
    assert "action/top1: " in quick(motion_config(motions), tmp_path)
    assert [f"val/{n}" for n in range(4)] == strips(tmp_path)


def test_a_training_through_persons_is_validated(motions, tmp_path):
    config = motion_config(motions)
    clips = config.train_dataloader.dataset
    clips.update(frames=FRAMES, step=STEP, around=True)
    load, pack = config.val_dataloader.dataset.pipeline
    labels = {"type": "vcm_mt.LoadAnnotations", "with_bbox": True}
    for split, frames in (
        ("train", clips.dataset),
        ("val", config.val_dataloader.dataset),
        ("val", config.test_dataloader.dataset),
    ):
        frames.update(ann_file=f"annotations/persons_{split}.json", pipeline=[load, labels, pack])
        frames.metainfo = {"classes": MOTIONS}
    config.model.tasks = {"persons": {"type": "MMActionPersonsTask", "recognizer": network()}}
    file = f"{motions}/annotations/persons_val.json"
    judge = {"type": "TaskFrameActionMetric", "task": "persons", "ann_file": file}
    config.val_evaluator[1] = config.test_evaluator[1] = judge
    told = quick(config, tmp_path)
    assert "loss_persons: " in told and "persons/fmAP: 0." in told


def test_a_training_through_maps_of_classes_is_validated(mini, tmp_path):
    config = load_config("configs/mini/stage1_sem.py")
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        loader.dataset.data_root = f"{mini}/"
        loader.update(num_workers=0, persistent_workers=False)
    for metric in config.val_evaluator + config.test_evaluator:
        if "ann_file" in metric:
            metric.ann_file = f"{mini}/annotations/val.json"
    config.model.tasks.sem.checkpoint = None
    assert "sem/mIoU: " in quick(config, tmp_path)
    assert [f"val/{n}" for n in range(4)] == strips(tmp_path)
