"""MPEG's data sets, read from samples in their exact forms; each fault of a kind is told."""

import json
import shutil

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as rle

from tests import mpeg_samples as samples
from vcm_mt.anchors.yuv import Colours
from vcm_mt.cli.main import main
from vcm_mt.datasets.annotations import Annotations
from vcm_mt.datasets.mpeg.classes import ACTIONS, COCO, OPENIMAGES
from vcm_mt.datasets.mpeg.flir import prepare_flir
from vcm_mt.datasets.mpeg.hieve import prepare_hieve
from vcm_mt.datasets.mpeg.openimages import prepare_openimages
from vcm_mt.datasets.mpeg.sequences import SFU, TVD
from vcm_mt.datasets.mpeg.sfu import prepare_sfu
from vcm_mt.datasets.mpeg.tvd import prepare_tvd
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS

PREPARE = {
    "openimages": prepare_openimages,
    "openimages_coco": prepare_openimages,
    "flir": prepare_flir,
    "sfu_text": prepare_sfu,
    "sfu_json": prepare_sfu,
    "tvd": prepare_tvd,
    "hieve": prepare_hieve,
}


def told(root, name):
    return json.loads((root / "prepared" / f"{name}.json").read_text())


@pytest.mark.parametrize("form", ["openimages", "openimages_coco"])
def test_openimages(form, tmp_path):
    root = getattr(samples, form)(tmp_path)
    written = prepare_openimages(root)
    assert list(written.values()) == [3, 3]
    found = told(root, "detection")
    assert [one["name"] for one in found["categories"]] == list(COCO)
    assert len(OPENIMAGES) == 47 and set(OPENIMAGES) <= set(COCO)
    numbers = {one["name"]: one["id"] for one in found["categories"]}
    images = {one["file_name"]: one for one in found["images"]}
    verified = {
        name.removeprefix("images/").removesuffix(".jpg"): {COCO[n - 1] for n in one["verified"]}
        for name, one in images.items()
    }
    assert verified == {
        "0001eeaf4aed83f9": {"airplane", "cell phone"},
        "000a1249af2bc5f0": {"person", "car"},
        "001083f05db4352b": {"person"},
    }
    first, group, person = found["annotations"]
    assert first["category_id"] == numbers["airplane"] and not first["group_of"]
    assert first["bbox"] == pytest.approx([6.4, 9.6, 25.6, 19.2])
    assert group["category_id"] == numbers["cell phone"] and group["group_of"] == 1
    assert person["bbox"] == pytest.approx([16, 12, 32, 36])
    masks = told(root, "segmentation")["annotations"]
    assert ["segmentation" in one for one in masks] == [True, False, True]
    drawn = rle.decode(masks[0]["segmentation"])
    assert drawn.shape == (48, 64)
    x, y, wide, tall = rle.toBbox(masks[0]["segmentation"])
    assert (x, y, wide, tall) == pytest.approx(first["bbox"], abs=1)


def test_openimages_masks_of_png_files(tmp_path):
    root = samples.openimages(tmp_path)
    table = root / "segmentation_validation_masks_5k.csv"
    lines = table.read_text().splitlines()
    cells = lines[1].split(",")
    cells[9] = ""
    table.write_text("\n".join([lines[0], ",".join(cells), *lines[2:]]) + "\n")
    drawn = np.zeros((24, 32), np.uint8)
    drawn[5:10, 4:12] = 255
    samples.save(root / "masks" / cells[10], drawn)
    prepare_openimages(root)
    found = told(root, "segmentation")["annotations"][0]["segmentation"]
    assert rle.toBbox(found).tolist() == [8, 10, 16, 10]  # scaled to the picture's size


def test_flir_keeps_three_classes_and_a_list(tmp_path):
    root = samples.flir(tmp_path)
    assert list(prepare_flir(root).values()) == [2]
    found = told(root, "flir")
    assert [one["name"] for one in found["categories"]] == ["person", "bicycle", "car"]
    assert [one["category_id"] for one in found["annotations"]] == [1, 3]
    (root / "flir_input.lst").write_text("FLIR_08864.png\n")
    assert list(prepare_flir(root).values()) == [1]
    assert [one["category_id"] for one in told(root, "flir")["annotations"]] == [3]
    (root / "flir_input.lst").write_text("FLIR_08864.png\nFLIR_1.png\n")
    with pytest.raises(DataError, match=r"lacks 1 pictures of flir_input.lst: FLIR_1.png"):
        prepare_flir(root)


def test_sfu_from_text_files_and_a_raw_sequence(tmp_path):
    root = samples.sfu_text(tmp_path)
    assert list(prepare_sfu(root).values()) == [3]
    found = told(root, "sfu")
    assert [(v["name"], v["group"], v["fps"]) for v in found["videos"]] == [("Sample", "X", 30)]
    assert [one["frame_id"] for one in found["images"]] == [0, 1, 2]
    assert [one["image_id"] for one in found["annotations"]] == [1, 1, 2]
    assert found["annotations"][0]["bbox"] == [24, 12, 16, 24]
    assert COCO[found["annotations"][1]["category_id"] - 1] == "chair"
    for number, one in enumerate(found["images"]):
        frame = np.asarray(Image.open(root / one["file_name"])).astype(int)
        drawn = samples.picture(number, *samples.SIZE)
        assert np.abs(frame - drawn).mean() < 4  # half the colour, limited range
    read_as_a_data_set(root, "sfu", COCO, 3)


@pytest.mark.parametrize("raw", [False, True])
def test_sfu_from_json_whose_ids_are_floats(raw, tmp_path):
    root = samples.sfu_json(tmp_path, raw)
    assert list(prepare_sfu(root).values()) == [3]
    found = told(root, "sfu")
    assert all(isinstance(one["id"], int) for one in found["images"])
    assert [(one["image_id"], COCO[one["category_id"] - 1]) for one in found["annotations"]] == [
        (1, "person"), (3, "cup"),
    ]  # fmt: skip
    assert found["videos"][0]["fps"] == 24
    frame = np.asarray(Image.open(root / found["images"][2]["file_name"])).astype(int)
    assert np.abs(frame - samples.picture(12, *samples.SIZE)).mean() < 4
    read_as_a_data_set(root, "sfu", COCO, 3)


def test_sfu_takes_the_frames_that_mpeg_codes(tmp_path, monkeypatch):
    root = samples.sfu_text(tmp_path)
    own = SFU["BQSquare"]._replace(width=64, height=48, fps=30, skip=1, frames=2)
    monkeypatch.setitem(SFU, "Sample", own)
    assert list(prepare_sfu(root).values()) == [2]
    found = told(root, "sfu")
    assert found["videos"][0]["qps"] == [22, 26, 30, 34, 38, 42]
    assert found["images"][0]["file_name"].endswith("000001.png")
    assert list(prepare_sfu(root, every=True).values()) == [3]
    monkeypatch.setitem(SFU, "Sample", own._replace(frames=4))
    with pytest.raises(DataError, match=r"lacks 2 files: .*_003.txt, .*_004.txt"):
        prepare_sfu(root)


def test_tvd(tmp_path, monkeypatch):
    root = samples.tvd(tmp_path)
    assert list(prepare_tvd(root).values()) == [4, 1, 1]
    found = told(root, "tracking")
    assert [one["name"] for one in found["videos"]] == ["TVD-01", "TVD-02"]
    seen = [(one["image_id"], one["instance_id"], one["iscrowd"]) for one in found["annotations"]]
    assert seen == [(1, 1, 0), (2, 1, 0), (2, 7, 1), (3, 1, 0), (4, 1, 0)]
    assert found["annotations"][0]["bbox"] == [4, 5, 20, 30]
    assert found["images"][2]["file_name"] == "prepared/frames/TVD-02/000000.png"
    read_as_a_data_set(root, "tracking", ("person",), 4)
    pictures = told(root, "segmentation")
    assert COCO[pictures["annotations"][0]["category_id"] - 1] == "car"
    assert not Annotations(root / "prepared" / "segmentation.json").without_mask()
    monkeypatch.setitem(TVD, "TVD-01_2", TVD["TVD-01_1"]._replace(skip=1, frames=1))
    prepare_tvd(root)
    parts = told(root, "tracking")
    assert [one["name"] for one in parts["videos"]] == ["TVD-01_2", "TVD-02"]
    assert parts["images"][0]["file_name"] == "TVD-01/img1/000002.png"


@pytest.mark.parametrize("xml", [False, True])
def test_hieve(xml, tmp_path):
    root = samples.hieve(tmp_path, xml)
    assert list(prepare_hieve(root).values()) == [4, 4, 4]
    found = told(root, "tracking")
    assert [(one["name"], one["group"]) for one in found["videos"]] == [
        ("2", "HIEVE-720P"), ("13", "HIEVE-1080P"),
    ]  # fmt: skip
    assert [(one["image_id"], one["instance_id"]) for one in found["annotations"]] == [
        (1, 1), (2, 1), (3, 1), (4, 1),
    ]  # fmt: skip
    poses = told(root, "poses")
    assert len(poses["categories"][0]["keypoints"]) == 14
    joints = poses["annotations"][1]["keypoints"]
    assert joints[:9] == [10, 13, 2, 11, 13, 1, 0, 0, 0]
    assert poses["annotations"][1]["num_keypoints"] == 10
    actions = told(root, "actions")
    assert [ACTIONS[one["category_id"] - 1] for one in actions["annotations"]] == [
        "fighting", "fighting", "walking-alone", "walking-alone",
    ]  # fmt: skip
    read_as_a_data_set(root, "tracking", ("person",), 4)


def read_as_a_data_set(root, name, classes, count):
    """As a config of configs/mpeg has it."""
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        dataset = DATASETS.build({
            "type": "vcm_mt.VideoDataset", "data_root": str(root), "test_mode": True,
            "ann_file": f"prepared/{name}.json", "data_prefix": {"img": ""},
            "metainfo": {"classes": classes},
            "pipeline": [{"type": "vcm_mt.LoadPicture"}, {"type": "vcm_mt.PackFrame"}],
        })  # fmt: skip
    assert len(dataset) == count
    assert dataset[0]["inputs"].shape == (3, *samples.SIZE[::-1])


@pytest.mark.parametrize("form", PREPARE)
def test_the_command_tells_what_it_wrote(form, tmp_path, capsys):
    getattr(samples, form)(tmp_path)
    name = form.partition("_")[0]
    assert main(["prepare", name, "--root", str(tmp_path)]) == 0
    assert f"{tmp_path}/prepared/" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["openimages", "flir", "sfu", "tvd", "hieve"])
def test_an_empty_folder_is_told_in_one_line(name, tmp_path, capsys):
    assert main(["prepare", name, "--root", str(tmp_path / "none")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("DataError: ") and said.count("\n") == 1
    assert "docs/mpeg.md" in said and str(tmp_path / "none") in said


#: Form, file to change, old and new text (or ``None`` to remove it), what is said.
FAULTS = [
    ("openimages", "detection_validation_labels_5k.csv", None, r"lacks 1 files: .*labels_5k.csv"),
    ("openimages", "images/0001eeaf4aed83f9.jpg", None, r"lacks 1 files: .*0001eeaf4aed83f9.jpg"),
    ("openimages", "images", None, r"lacks 1 files: \S*/images\. "),
    ("openimages", "detection_validation_5k_bbox.csv", ("XMin", "Left"), "has no column XMin"),
    ("openimages", "detection_validation_5k_bbox.csv", (",0.1,", ",x,"), "line 2: XMin is 'x'"),
    ("openimages", "detection_validation_5k_bbox.csv", (",0.1,", ",1.1,"), "not lie in the pict"),
    ("openimages", "detection_validation_5k_bbox.csv", (",0.1,", ","), "another number of columns"),
    ("openimages", "detection_validation_5k_bbox.csv", ("airplane", "ufo"), "unknown class 'ufo'"),
    ("openimages", "detection_validation_labels_5k.csv", ("car", "ufo"), "unknown class 'ufo'"),
    ("openimages", "segmentation_validation_masks_5k.csv", (",64,48,", ",48,64,"), "of 48x64, and"),
    ("openimages", "segmentation_validation_masks_5k.csv", (",64,48,", ",64.5,48,"), "whole num"),
    ("openimages", "segmentation_validation_masks_5k.csv", (",eJ", ",eK"), "mask is damaged"),
    ("openimages_coco", "annotations/mpeg-oiv6-detection-coco.json", ('"oic_labelmap"', '"map"'),
     "has no list of oic_labelmap"),
    ("openimages_coco", "annotations/mpeg-oiv6-detection-coco.json", ('"cls": [1, 15]',
     '"cls": [1, 99]'), "unknown class 99"),
    ("openimages_coco", "annotations/mpeg-oiv6-detection-coco.json", ('"cls": [1, 15]',
     '"cls": [1, 15.5]'), "cls is 15.5, and must be a whole number"),
    ("openimages_coco", "annotations/mpeg-oiv6-detection-coco.json", ("{", "["), "is not JSON"),
    ("flir", "thermal_8_bit/FLIR_08864.png", None, "lacks 1 files"),
    ("flir", "thermal_annotations.json", None, "lacks 1 files: .*thermal_annotations.json"),
    ("flir", "thermal_annotations.json", ('"width": 64', '"width": 65'), "says 65x48"),
    ("flir", "thermal_annotations.json", ('"name": "dog"', '"name": "ufo"'), "unknown class 'ufo'"),
    ("flir", "thermal_annotations.json", ('"category_id": 3', '"category_id": 4'), "class 4"),
    ("flir", "thermal_annotations.json", ('"id": 8864', '"id": 8864.5'), "must be a whole number"),
    ("flir", "thermal_annotations.json", ('"bbox": [5, 6, 20, 30]', '"bbox": [5, 6]'), "2 numbers"),
    ("flir", "thermal_annotations.json", ('"bbox"', '"box"'), "an entry has no bbox"),
    ("sfu_text", "ClassX/Sample_64x48_30_8bit.yuv", None, "Sample_WxH_FPS.yuv"),
    ("sfu_text", "ClassX/Annotations", None, "lacks 1 files: .*Annotations/Sample"),
    ("sfu_text", "ClassX/Annotations/Sample/Sample_64x48_001.txt", None, "files: .*_001.txt"),
    ("sfu_text", "ClassX/Annotations/Sample/Sample_64x48_000.txt", ("0.25 0.5\n", "0.25\n"),
     "line 1: 4 columns, and this format has 5"),
    ("sfu_text", "ClassX/Annotations/Sample/Sample_64x48_000.txt", ("56 ", "80 "), "class 80"),
    ("sfu_text", "ClassX/Annotations/Sample/Sample_64x48_000.txt", ("56 ", "5.5 "), "class 5.5"),
    ("sfu_text", "ClassX/Annotations/Sample/Sample_64x48_000.txt", ("0.25 0.75", "0.01 0.75"),
     "does not lie in the picture"),
    ("sfu_json", "Other_64x48_24_val/images/001.png", None, "lacks 1 files: .*001.png"),
    ("sfu_json", "Other_64x48_24_val/annotations/Other_64x48_24_val.json",
     ('"image_id": 2.0', '"image_id": 2.5'), "an image_id is 2.5, and must be a whole number"),
    ("sfu_json", "Other_64x48_24_val/annotations/Other_64x48_24_val.json",
     ('"image_id": 2.0', '"image_id": 9.0'), r"annotations of the pictures \[9\]"),
    ("sfu_json", "Other_64x48_24_val/annotations/Other_64x48_24_val.json",
     ('"category_id": 41.0', '"category_id": 80.0'), "unknown class 80"),
    ("sfu_json", "Other_64x48_24_val/annotations/Other_64x48_24_val.json",
     ('"width": 64', '"width": 32'), "is 32x48, and the sequence 64x48"),
    ("tvd", "TVD-01/gt/gt.txt", None, "lacks 1 files: .*gt.txt"),
    ("tvd", "TVD-01/img1/000002.png", None, "lacks 1 files: .*000002.png"),
    ("tvd", "TVD-02_64x48_50_8bit.yuv", None, "lacks 1 files: .*TVD-02/img1"),
    ("tvd", "TVD-01/gt/gt.txt", (",1,1,1\n", ",1,1\n"), "8 columns, and this format has 9"),
    ("tvd", "TVD-01/gt/gt.txt", ("1,1,5,", "1,1.5,5,"), "the id is 1.5, and must be a whole"),
    ("tvd", "TVD-01/gt/gt.txt", ("1,1,5,", "7,1,5,"), "frame 7 of a sequence of 2"),
    ("tvd", "TVD-01/seqinfo.ini", ("imWidth=64", "imWidth=65"), "says 65x48"),
    ("tvd", "TVD-01/seqinfo.ini", ("seqLength", "length"), "seqinfo.ini is damaged"),
    ("tvd", "TVD-02/seqinfo.ini", ("imWidth=64", "imWidth=62"), "is 64x48, and its annotations"),
    ("tvd", "annotations/tvd_detection.json", ('"name": "car"', '"name": "ufo"'), "class 'ufo'"),
    ("tvd", "annotations/tvd_detection.json", ('"width": 64', '"width": 65'), "says 65x48"),
    ("tvd", "annotations/tvd_segmentation.json", ('"segmentation"', '"mask"'), "no segmentation"),
    ("hieve", "13/labels/000001.json", None, "lacks 1 files: .*000001.json"),
    ("hieve", "13/gt/gt.txt", (",-1,-1,-1\n", ",-1,-1\n"), "9 columns, and this format has 10"),
    ("hieve", "13/labels/000000.json", ("walking-alone", "flying"), "unknown class 'flying'"),
    ("hieve", "13/labels/000000.json", ("10,12,0", "10,12"), "must be x,y,flag"),
    ("hieve", "13/labels/000000.json", ("10,12,0", "10,12,2"), "flag of Nose is 2"),
    ("hieve", "13/labels/000000.json", ('"Chest"', '"Torso"'), "an entry has no Chest"),
    ("hieve", "13/labels/000000.json", ("P-1", "one"), "called P-1, P-2"),
    ("hieve", "13/img1/000001.png", None, "lacks 1 files"),
]  # fmt: skip


@pytest.mark.parametrize(("form", "file", "change", "what"), FAULTS)
def test_a_fault_is_told_in_one_line(form, file, change, what, tmp_path):
    root = getattr(samples, form)(tmp_path)
    path = root / file
    if change is None:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    else:
        text = path.read_text()
        assert change[0] in text
        path.write_text(text.replace(*change, 1))
    with pytest.raises(DataError, match=what) as told_:
        PREPARE[form](root)
    assert "\n" not in str(told_.value)


def test_every_missing_picture_is_named(tmp_path):
    root = samples.openimages(tmp_path)
    names = [path.name for path in (root / "images").iterdir()]
    for name in names[1:]:
        (root / "images" / name).unlink()
    with pytest.raises(DataError) as missing:
        prepare_openimages(root)
    assert all(name in str(missing.value) for name in names[1:])


def test_a_raw_sequence_that_is_too_short(tmp_path):
    root = samples.sfu_text(tmp_path)
    path = root / "ClassX" / "Sample_64x48_30_8bit.yuv"
    frames = [samples.picture(n, *samples.SIZE) for n in range(2)]
    samples.write_yuv(path, frames, Colours(8, "bt601", False))
    with pytest.raises(DataError, match=r"has 2 frames, and frame 2 is wanted"):
        prepare_sfu(root)
    path.write_bytes(path.read_bytes()[:-5])
    shutil.rmtree(root / "prepared")
    with pytest.raises(DataError, match="no whole frames of 64x48"):
        prepare_sfu(root)
