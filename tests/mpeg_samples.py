"""Tiny data sets in the exact forms of MPEG's, drawn or made of given pictures."""

from __future__ import annotations

import base64
import csv
import json
import zlib
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle

from vcm_mt.anchors.yuv import Colours, rgb_to_yuv420
from vcm_mt.datasets.mpeg.classes import COCO, JOINTS, OPENIMAGES

#: What the embedded set's classes are called in samples that are made of it.
ALIASES = OPENIMAGES[:12]


def picture(seed: int, width: int, height: int) -> np.ndarray:
    """A smooth picture, uint8 [height, width, 3]."""
    small = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, pixels: np.ndarray) -> None:
    """Write a picture; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write(path: Path, text: str) -> None:
    """Write a text; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_table(path: Path, columns: tuple[str, ...], rows: list) -> None:
    """Write a CSV table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(columns)
        table.writerows(rows)


def packed_mask(mask: np.ndarray) -> str:
    """A mask as MPEG's table has it: COCO's run-length code, zlib, Base64."""
    code = rle.encode(np.asfortranarray(mask, dtype=np.uint8))["counts"]
    return base64.b64encode(zlib.compress(code)).decode()


#: Pictures, and by picture: class, relative left, top, right, bottom, group-of.
OBJECTS = {
    "0001eeaf4aed83f9": [("airplane", 0.1, 0.2, 0.5, 0.6, 0), ("cell_phone", 0, 0, 1, 1, 1)],
    "000a1249af2bc5f0": [("person", 0.25, 0.25, 0.75, 1.0, 0)],
    "001083f05db4352b": [],
}
LABELS = [
    ("0001eeaf4aed83f9", "airplane", 1), ("0001eeaf4aed83f9", "cell_phone", 1),
    ("000a1249af2bc5f0", "person", 1), ("000a1249af2bc5f0", "car", 0),
    ("001083f05db4352b", "person", 0),
]  # fmt: skip
SIZE = (64, 48)
BOX_COLUMNS = ("ImageID", "LabelName", "XMin", "XMax", "YMin", "YMax", "IsGroupOf")
MASK_COLUMNS = (
    *("ImageID", "LabelName", "ImageWidth", "ImageHeight", "XMin", "YMin", "XMax", "YMax"),
    *("IsGroupOf", "Mask", "MaskPath"),
)


def openimages(
    root: Path, objects: dict = OBJECTS, labels: list = LABELS, pictures: dict | None = None
) -> Path:
    """OpenImages v6 as CSV tables, for boxes and masks; a box of a group has no mask.

    ``pictures`` are pixels by name; by default drawn.
    """
    for number, name in enumerate(objects):
        pixels = pictures[name] if pictures else picture(number, *SIZE)
        save(root / "images" / f"{name}.{'png' if pictures else 'jpg'}", pixels)
    boxes = [
        (name, label, left, right, top, bottom, group)
        for name, own in objects.items()
        for label, left, top, right, bottom, group, *_ in own
    ]
    for task, middle in (("detection", "5k_bbox"), ("segmentation", "bbox_5k")):
        write_table(root / f"{task}_validation_{middle}.csv", BOX_COLUMNS, boxes)
        path = root / f"{task}_validation_labels_5k.csv"
        write_table(path, ("ImageID", "LabelName", "Confidence"), labels)
    rows = []
    for name, own in objects.items():
        with Image.open(next((root / "images").glob(f"{name}.*"))) as one:
            width, height = one.size
        for label, left, top, right, bottom, group, *mask in own:
            if not group:
                drawn = mask[0] if mask else _ellipse(width, height, left, top, right, bottom)
                rows.append((name, label, width, height, left, top, right, bottom, group,
                             packed_mask(drawn), f"{name}_m.png"))  # fmt: skip
    write_table(root / "segmentation_validation_masks_5k.csv", MASK_COLUMNS, rows)
    return root


def _ellipse(width: int, height: int, *box: float) -> np.ndarray:
    left, top, right, bottom = box
    y, x = np.mgrid[:height, :width] + 0.5
    across = (x / width - (left + right) / 2) / ((right - left) / 2)
    down = (y / height - (top + bottom) / 2) / ((bottom - top) / 2)
    return across**2 + down**2 <= 1


def openimages_coco(root: Path) -> Path:
    """The same as COCO JSON with ``oic_labelmap`` and ``oic_annotations``."""
    labelmap = [{"id": n + 1, "name": name} for n, name in enumerate(OPENIMAGES)]
    numbers = {one["name"]: one["id"] for one in labelmap}
    images, truth = [], []
    for number, (name, own) in enumerate(OBJECTS.items()):
        save(root / "images" / f"{name}.jpg", picture(number, *SIZE))
        images.append({"id": name, "file_name": f"{name}.jpg",
                       "width": SIZE[0], "height": SIZE[1]})  # fmt: skip
        masks = [
            "nan" if group else packed_mask(_ellipse(*SIZE, left, top, right, bottom))
            for _, left, top, right, bottom, group in own
        ]
        truth.append({"image_id": name, "annotations": {
            "bbox": [[top, left, bottom, right] for _, left, top, right, bottom, _ in own],
            "cls": [numbers[label.replace("_", " ")] for label, *_ in own],
            "group_of": [group for *_, group in own],
            "img_cls": [label for picture_name, label, _ in LABELS if picture_name == name],
            "mask": masks,
            "img_size": [{"img_width": SIZE[0], "img_height": SIZE[1]} for _ in own],
        }})  # fmt: skip
    told = {"images": images, "annotations": [{"id": 1}], "categories": labelmap,
            "oic_labelmap": labelmap, "oic_annotations": truth}  # fmt: skip
    for task in ("detection", "segmentation"):
        write(root / "annotations" / f"mpeg-oiv6-{task}-coco.json", json.dumps(told))
    return root


#: Picture, category, box.
FLIR_BOXES = [(8863, 1, [5, 6, 20, 30]), (8863, 17, [1, 1, 9, 9]), (8864, 3, [9, 9, 30, 20])]


def flir(root: Path, pictures: dict | None = None, boxes: list | None = None) -> Path:
    """FLIR's thermal pictures: COCO JSON, names with their folder, a class that is not judged.

    ``boxes`` are rows of picture's number, category, box; ``pictures`` pixels by number.
    """
    names = {1: "person", 2: "bicycle", 3: "car", 17: "dog"}
    pictures = pictures or {n: picture(n, *SIZE) for n in (8863, 8864)}
    boxes = boxes or FLIR_BOXES
    images = []
    for number, pixels in pictures.items():
        name = f"thermal_8_bit/FLIR_{number:05}.png"
        save(root / name, pixels)
        images.append({"id": number, "file_name": name,
                       "width": pixels.shape[1], "height": pixels.shape[0]})  # fmt: skip
    told = {
        "images": images,
        "annotations": [
            {"id": n, "image_id": image, "category_id": kind, "bbox": box, "iscrowd": 0}
            for n, (image, kind, box) in enumerate(boxes)
        ],
        "categories": [{"id": n, "name": name} for n, name in names.items()],
    }
    write(root / "thermal_annotations.json", json.dumps(told))
    return root


def write_yuv(path: Path, frames: list[np.ndarray], colours: Colours) -> None:
    """A raw sequence."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(rgb_to_yuv420(frame, colours) for frame in frames))


#: Frames of a sample sequence, and their boxes: class, centre, size, relative.
SFU_ROWS = [["0 0.5 0.5 0.25 0.5", "56 0.25 0.75 0.1 0.2"], ["0 0.52 0.5 0.25 0.5"], []]


def sfu_text(root: Path, frames: list | None = None, rows: list | None = None) -> Path:
    """SFU-HW-Objects-v1: a raw sequence of 8 bits and a text file a frame."""
    frames = frames or [picture(n, *SIZE) for n in range(3)]
    height, width = frames[0].shape[:2]
    write_yuv(
        root / "ClassX" / f"Sample_{width}x{height}_30_8bit.yuv", frames, Colours(8, "bt601", False)
    )
    for number, own in enumerate(rows or SFU_ROWS):
        name = f"Sample_{width}x{height}_{number:03}.txt"
        write(
            root / "ClassX" / "Annotations" / "Sample" / name, "".join(f"{line}\n" for line in own)
        )
    return root


def sfu_json(root: Path, raw: bool = False) -> Path:
    """The same as COCO JSON a sequence, with ids that are floats, and frames or a raw sequence."""
    name = f"Other_{SIZE[0]}x{SIZE[1]}_24_val"
    folder = root / name
    frames = [picture(10 + n, *SIZE) for n in range(3)]
    if raw:
        path = folder / f"{name}_10bit.yuv"
        write_yuv(path, frames, Colours(10, "bt601", False))
    else:
        for number, pixels in enumerate(frames):
            save(folder / "images" / f"{number:03}.png", pixels)
    told = {
        "images": [
            {"id": float(n), "file_name": f"{n:03}.png", "width": SIZE[0], "height": SIZE[1]}
            for n in range(3)
        ],
        "annotations": [
            {"id": 1.0, "image_id": 0.0, "category_id": 0.0, "bbox": [4.0, 5.0, 20.0, 30.0]},
            {"id": 2.0, "image_id": 2.0, "category_id": 41.0, "bbox": [8.5, 5.0, 20.0, 30.0]},
        ],
        "categories": [{"id": float(n), "name": name} for n, name in enumerate(COCO)],
    }
    write(folder / "annotations" / f"{name}.json", json.dumps(told))
    return root


def clip(
    folder: Path, frames: list[np.ndarray], lines: list[str], fps: int = 50, video: bool = False
) -> None:
    """A clip in MOTChallenge's form, its frames as pictures or as a raw sequence beside it."""
    height, width = frames[0].shape[:2]
    write(folder / "seqinfo.ini", f"[Sequence]\nname={folder.name}\nimDir=img1\nframeRate={fps}\n"
          f"seqLength={len(frames)}\nimWidth={width}\nimHeight={height}\nimExt=.png\n")  # fmt: skip
    write(folder / "gt" / "gt.txt", "".join(f"{line}\n" for line in lines))
    if video:
        path = folder.parent / f"{folder.name}_{width}x{height}_{fps}_8bit.yuv"
        write_yuv(path, frames, Colours(8, "bt601", False))
        return
    for number, pixels in enumerate(frames, start=1):
        save(folder / "img1" / f"{number:06}.png", pixels)


#: Nine columns: a person, one that is not counted, and what is no mistake to find (class 8).
TVD_LINES = [
    "1,1,5,6,20,30,1,1,1", "2,1,6,6,20,30,1,1,1", "1,2,30,6,20,30,0,1,1", "2,7,40,6,20,30,0,8,1",
]  # fmt: skip


def tvd(root: Path) -> Path:
    """TVD: two clips, one of them with a raw sequence in place of pictures; and pictures."""
    clip(root / "TVD-01", [picture(n, *SIZE) for n in range(2)], TVD_LINES)
    clip(root / "TVD-02", [picture(5 + n, *SIZE) for n in range(2)], TVD_LINES[:2], video=True)
    return tvd_pictures(root)


def tvd_pictures(root: Path) -> Path:
    """TVD's pictures, with boxes and masks in COCO's form."""
    save(root / "images" / "a.png", picture(20, *SIZE))
    told = {
        "images": [{"id": 1, "file_name": "a.png", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 3, "bbox": [4, 4, 20, 20],
                         "segmentation": [[4, 4, 24, 4, 24, 24]], "area": 200}],
        "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
    }  # fmt: skip
    for task in ("detection", "segmentation"):
        write(root / "annotations" / f"tvd_{task}.json", json.dumps(told))
    return root


#: Ten columns; the second object's flag is 0: it does not count.
HIEVE_LINES = ["0,1,5,6,20,30,1,-1,-1,-1", "1,1,6,6,20,30,1,-1,-1,-1", "0,2,9,9,9,9,0,-1,-1,-1"]


def hieve(root: Path, xml: bool = False) -> Path:
    """HiEve: two sequences with tracks, poses and actions a frame."""
    for name in ("13", "2"):
        folder = root / name
        clip(folder, [picture(int(name) + n, *SIZE) for n in range(2)], HIEVE_LINES, fps=25)
        for number in range(2):
            box = {"xmin": "5", "ymin": "6", "xmax": "25", "ymax": "36"}
            joints = {
                joint: f"{10 + n},{12 + number},{(0, 1, -1)[n % 3]}"
                for n, joint in enumerate(JOINTS)
            }
            person = {"name": "P-1", "action": "walking-alone" if name == "13" else "fighting",
                      "pose": "unspecified", "bndbox": box | joints}  # fmt: skip
            told = {"annotation": {"filename": f"{number}.jpg", "object": [person]}}
            write(folder / "labels" / f"{number:06}.{'xml' if xml else 'json'}",
                  _as_xml(told) if xml else json.dumps(told))  # fmt: skip
    return root


def _as_xml(told: dict) -> str:
    text = ""
    for key, value in told.items():
        for one in value if isinstance(value, list) else [value]:
            text += f"<{key}>{_as_xml(one) if isinstance(one, dict) else one}</{key}>"
    return text
