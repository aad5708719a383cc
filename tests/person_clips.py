"""The embedded motions labelled person by person, and a small network that looks at persons."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from PIL import Image

from vcm_mt.datasets.ava import convert_ava
from vcm_mt.datasets.mini.motion_writer import prepare_motions
from vcm_mt.datasets.mini.motions import MOTIONS

#: Frames of a clip, and from one to the next.
FRAMES, STEP = 8, 2


def network(size: int = 96, actions: int = len(MOTIONS)) -> dict:
    """SlowFast of two ResNet-18 under FastRCNN and AVARoIHead, as mmaction2's for AVA."""
    pathway = {"type": "resnet3d", "depth": 18, "pretrained": None, "conv1_stride_t": 1,
               "pool1_stride_t": 1, "dilations": (1, 1, 1, 1),
               "spatial_strides": (1, 2, 2, 1)}  # fmt: skip
    slow = {"base_channels": 8, "lateral": True, "conv1_kernel": (1, 5, 5),
            "inflate": (0, 0, 1, 1), **pathway}  # fmt: skip
    fast = {"base_channels": 2, "lateral": False, "conv1_kernel": (5, 5, 5), **pathway}
    model = {
        "type": "FastRCNN",
        "_scope_": "mmdet",
        "backbone": {
            "type": "mmaction.ResNet3dSlowFast", "pretrained": None, "resample_rate": 4,
            "speed_ratio": 4, "channel_ratio": 4, "slow_pathway": slow, "fast_pathway": fast,
        },
        "roi_head": {
            "type": "AVARoIHead",
            "bbox_roi_extractor": {"type": "SingleRoIExtractor3D", "roi_layer_type": "RoIAlign",
                                   "output_size": 4, "with_temporal_pool": True},
            "bbox_head": {"type": "BBoxHeadAVA", "background_class": True, "in_channels": 80,
                          "num_classes": actions + 1, "multilabel": True, "dropout_ratio": 0.5},
        },
        "data_preprocessor": {
            "type": "mmaction.ActionDataPreprocessor", "format_shape": "NCTHW",
            "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375],
        },
        "train_cfg": {"rcnn": {
            "assigner": {"type": "MaxIoUAssignerAVA", "pos_iou_thr": 0.9, "neg_iou_thr": 0.9,
                         "min_pos_iou": 0.9},
            "sampler": {"type": "RandomSampler", "num": 32, "pos_fraction": 1, "neg_pos_ub": -1,
                        "add_gt_as_proposals": True},
            "pos_weight": 1.0,
        }},
        "test_cfg": {"rcnn": None},
    }  # fmt: skip
    pipeline = [
        {"type": "SampleAVAFrames", "clip_len": FRAMES, "frame_interval": STEP, "test_mode": True},
        {"type": "RawFrameDecode"},
        {"type": "Resize", "scale": (-1, size)},
        {"type": "FormatShape", "input_format": "NCTHW", "collapse": True},
        {"type": "PackActionInputs"},
    ]
    return {"model": model, "test_pipeline": pipeline}


def prepare_persons(folder: Path, sizes: dict[str, tuple[int, int]]) -> None:
    """Write the motions, and ``annotations/persons_SPLIT.json``: an object a person and action.

    The figure does its motion, in even frames another thing as well; from frame 2 on there is a
    second person beside it, who does one thing.
    """
    prepare_motions(folder, sizes=sizes)
    for split in sizes:
        told = json.loads((folder / "annotations" / f"{split}.json").read_text())
        motions = {one["id"]: one["action_id"] for one in told["videos"]}
        frames = {one["id"]: one["frame_id"] for one in told["images"]}
        objects = []
        for one in told["annotations"]:
            motion, frame = motions[one["video_id"]], frames[one["image_id"]]
            plain = {k: v for k, v in one.items() if k != "segmentation"}
            objects.append({**plain, "category_id": motion})
            if frame % 2 == 0:
                objects.append({**plain, "category_id": motion % len(MOTIONS) + 1})
            if frame > 1:
                second = {**plain, "bbox": [4.5, 3.0, 40.0, 70.5], "instance_id": 2}
                objects.append({**second, "category_id": 8})
        told["annotations"] = [{**one, "id": n} for n, one in enumerate(objects, start=1)]
        told["categories"] = [{"id": n, "name": name} for n, name in enumerate(MOTIONS, start=1)]
        del told["actions"]
        for video in told["videos"]:
            del video["action_id"]
        (folder / "annotations" / f"persons_{split}.json").write_text(json.dumps(told))


#: Rows of a table in AVA's form: video, second, box, action, person.
AVA_ROWS = (
    "a,0902,0.100,0.200,0.400,0.900,12,0", "a,0902,0.100,0.200,0.400,0.900,79,0",
    "a,0902,0.500,0.100,0.950,0.800,16,1", "a,0903,0.110,0.200,0.410,0.900,12,0",
    "a,0906,0.500,0.100,0.950,0.800,11,1", "b,0902,0.000,0.000,0.300,1.000,80,4",
)  # fmt: skip


def prepare_ava(folder: Path, rows: tuple[str, ...] = AVA_ROWS) -> Path:
    """Frames and tables in AVA's form: two videos, of 7.5 and 3 seconds, from second 900 on."""
    for video, count in (("a", 225), ("b", 94)):
        place = folder / "rawframes" / video
        place.mkdir(parents=True, exist_ok=True)
        small = np.random.default_rng(count).integers(0, 256, (5, 7, 3), np.uint8)
        scene = np.asarray(Image.fromarray(small).resize((96, 64)))
        for number in range(1, count + 1):
            Image.fromarray(np.roll(scene, number, 1)).save(place / f"img_{number:05}.jpg")
    (folder / "annotations").mkdir(exist_ok=True)
    for split in ("train", "val"):
        table = folder / "annotations" / f"ava_{split}_v2.1.csv"
        table.write_text("".join(f"{row}\n" for row in rows))
    return folder


def converted_ava(folder: Path) -> Path:
    """The same, and its annotations in COCO-VID's form."""
    prepare_ava(folder)
    for split in ("train", "val"):
        table = folder / "annotations" / f"ava_{split}_v2.1.csv"
        convert_ava(table, folder / "rawframes", table.with_suffix(".json"))
    return folder
