"""``vcm-mt ctc``: MPEG's conditions on samples in their exact forms, from bytes to tables."""

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image
from pycocotools import mask as rle

from tests import mpeg_samples as samples
from tests.conftest import ROOT
from tests.test_anchors.conftest import vtm_files  # noqa: F401
from tests.test_anchors.vtm import VTM_SEQUENCES, VTM_VARIABLES
from tests.two_processes import on_two
from vcm_mt.cli.main import main
from vcm_mt.curves.csv_file import read_csv
from vcm_mt.curves.rp_file import RPFile
from vcm_mt.datasets.mini.video_writer import prepare_videos
from vcm_mt.datasets.mpeg.classes import COCO
from vcm_mt.registry import MODELS
from vcm_mt.training.config import load_config
from vcm_mt.training.weights import named_weights

ZOO = {
    "det": 'dict(type="MMDetTask", detector="vcm_mt::mini/tasks/faster_rcnn.py", '
    'checkpoint="zoo://faster_rcnn")',
    "segm": 'dict(type="MMDetTask", detector="vcm_mt::mini/tasks/mask_rcnn.py", '
    'checkpoint="zoo://mask_rcnn")',
    "track": 'dict(type="MMTrackTask", tracker="vcm_mt::mini/tasks/qdtrack.py", '
    'checkpoint="zoo://qdtrack")',
}
CONFIGS = sorted((ROOT / "configs" / "mpeg").glob("*.py"))
#: Configs of networks that are fine-tuned to the data by MPEG or by oneself.
UNPUBLISHED = ("flir_det", "hieve_action")


@pytest.fixture(scope="session")
def shown(mini):
    """Pictures of the embedded set by name, and their objects as samples have them."""
    told = json.loads((mini / "annotations" / "val.json").read_text())
    pictures, objects = {}, {}
    for image in told["images"]:
        name = Path(image["file_name"]).stem
        pixels = np.asarray(Image.open(mini / "val" / image["file_name"]).convert("RGB"))
        height, width = pixels.shape[:2]
        pictures[name] = pixels
        objects[name] = [
            (samples.ALIASES[one["category_id"] - 1], one["bbox"][0] / width,
             one["bbox"][1] / height, min(1, (one["bbox"][0] + one["bbox"][2]) / width),
             min(1, (one["bbox"][1] + one["bbox"][3]) / height), 0, drawn(one, width, height))
            for one in told["annotations"] if one["image_id"] == image["id"]
        ]  # fmt: skip
    return pictures, objects


def drawn(one, width, height):
    code = one["segmentation"]
    if isinstance(code, list):
        code = rle.merge(rle.frPyObjects(code, height, width))
    elif isinstance(code["counts"], list):
        code = rle.frPyObjects(code, height, width)
    return rle.decode(code)


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    """Frames of two embedded videos, and their objects by frame: class, track, box."""
    folder = tmp_path_factory.mktemp("films")
    prepare_videos(folder, sizes={"train": (1, 2), "val": (2, 4)})
    told = json.loads((folder / "annotations" / "val.json").read_text())
    frames, objects = {}, {}
    for image in told["images"]:
        pixels = np.asarray(Image.open(folder / "val" / image["file_name"]).convert("RGB"))
        frames.setdefault(image["video_id"], []).append(pixels)
        objects.setdefault(image["video_id"], []).append([
            (one["category_id"], one["instance_id"], one["bbox"])
            for one in told["annotations"] if one["image_id"] == image["id"]
        ])  # fmt: skip
    return list(frames.values()), list(objects.values())


def configured(name, root, folder, task, classes=None, anchor=None):
    """The config of configs/mpeg on a sample, with a network of the zoo."""
    base = ROOT / "configs" / "mpeg" / f"{name}.py"
    plain = load_config(base)
    metric = dict(plain.test_evaluator[0])
    metric["ann_file"] = str(root / "prepared" / Path(metric["ann_file"]).name)
    ctc = dict(plain.ctc) | ({"anchor": anchor} if anchor else {})
    metainfo = f", metainfo=dict(classes={classes!r})" if classes else ""
    path = folder / f"{name}.py"
    path.write_text(
        f"_base_ = {str(base)!r}\n"
        f"test_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(data_root={str(root)!r}{metainfo}))\n"
        f"model = dict(_delete_=True, tasks=dict({task}={ZOO[task]}))\n"
        f"test_evaluator = [{metric!r}]\n"
        f"ctc = {ctc!r}\n"
    )
    return path


def run(config, out, *more):
    return main(["ctc", str(config), "--out", str(out), *more])


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_configs_name_their_data_weights_and_scores(path, tmp_path, capsys):
    config = load_config(path)
    (metric,) = config.test_evaluator
    assert list(config.model.tasks) == [metric.task]
    assert all(score.startswith(f"{metric.task}_") for score in config.ctc.scores)
    assert config.test_dataloader.dataset.data_root + config.test_dataloader.dataset.ann_file == (
        metric.ann_file
    )
    weights = named_weights(config)
    assert len(weights) == (0 if path.stem in UNPUBLISHED else 1)
    # Nothing is there: all that is missing is named before anything runs.
    assert run(path, tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert metric.ann_file in said and "weights" in said and "vcm-mt prepare" in said
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="session")
def pictures_config(shown, tmp_path_factory):
    folder = tmp_path_factory.mktemp("openimages")
    pictures, objects = shown
    labels = [(name, one[0], 1) for name, own in objects.items() for one in own]
    root = samples.openimages(folder / "data", objects, labels, pictures)
    assert main(["prepare", "openimages", "--root", str(root)]) == 0
    return configured("openimages_det", root, folder, "det", samples.ALIASES, "jpeg")


def test_a_dry_run_tells_the_time_and_writes_nothing(pictures_config, tmp_path, capsys):
    out = tmp_path / "out"
    checkpoint = ("--checkpoint", "zoo://photos_det", "--qp", "10", "40")
    assert run(pictures_config, out, "--dry-run", *checkpoint) == 0
    told = capsys.readouterr().out
    assert "anchor: 2 points of 4 pictures" in told and "test: 6 points" in told
    assert "all: about" in told
    assert not out.exists() or not list(out.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_networks_of_the_configs_are_built(path):
    """With random weights; their classes are those of the data."""
    config = load_config(path)
    ((name, task),) = config.model.tasks.items()
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        built = MODELS.build({**task, "checkpoint": None})
    if name == "pose":
        return
    if name == "action":
        assert built.actions == len(config.test_dataloader.dataset.metainfo.classes) == 14
        return
    network = getattr(built, "detector", None) or built.tracker.detector
    classes = config.test_dataloader.dataset.get("metainfo", {}).get("classes", COCO)
    assert network.roi_head.bbox_head.num_classes == len(classes)
    assert (name == "segm") == bool(getattr(network.roi_head, "mask_head", None))


@pytest.mark.slow
def test_openimages_by_the_real_network_with_random_weights(tmp_path):
    """80 classes are judged by 47; what it finds by chance is dropped or wrong."""
    root = samples.openimages(tmp_path / "openimages")
    assert main(["prepare", "openimages", "--root", str(root)]) == 0
    config = tmp_path / "real.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/mpeg/openimages_det.py')!r}\n"
        f"test_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(data_root={str(root)!r}))\n"
        "model = dict(tasks=dict(det=dict(checkpoint=None,\n"
        "    resize=dict(scale=(192, 160), keep_ratio=True))))\n"
        f"test_evaluator = [dict(type='TaskOpenImagesMetric', task='det', metric='bbox',\n"
        f"    ann_file={str(root / 'prepared/detection.json')!r})]\n"
    )
    assert run(config, tmp_path / "out", "--anchor", "jpeg", "--qp", "50") == 0
    (row,) = table(tmp_path / "out" / "anchor_det_oiAP.csv")
    assert 0 <= float(row["end_accuracy"]) < 100
    told = json.loads((tmp_path / "out" / "ctc.json").read_text())
    assert told["anchor"].startswith("JPEG")


@pytest.mark.slow
def test_openimages_from_bytes_to_tables(pictures_config, tmp_path, capsys):
    out = tmp_path / "out"
    more = ("--checkpoint", "zoo://photos_det",
            "--qp", "80", "40", "20", "10", "5", "2")  # fmt: skip
    assert run(pictures_config, out, *more) == 0
    said = capsys.readouterr().out
    assert "det_oiAP, originals" in said and "BD-rate by MPEG" in said
    anchor, test = (table(out / f"{name}_det_oiAP.csv") for name in ("anchor", "test"))
    assert [row["qp"] for row in anchor] == ["80", "40", "20", "10", "5", "2"]
    assert list(anchor[0]) == ["", "Dataset", "qp", "avg_bpp", "end_accuracy"]
    told = json.loads((out / "ctc.json").read_text())
    points = RPFile.load(out / "rp_points.json")
    for name, rows in (("anchor", anchor), ("test", test)):
        known = {point.bpp: point.metrics["det_oiAP"] for point in points.points(name)}
        assert {float(row["avg_bpp"]): float(row["end_accuracy"]) for row in rows} == pytest.approx(
            known
        )
        # Real bytes.
        for point in points.points(name):
            own = point.pictures
            assert point.bpp == pytest.approx((8 * own.num_bytes / own.num_pixels).mean())
    assert told["originals"]["det_oiAP"] > 50
    report = told["scores"]["det_oiAP"]["bd_rate"]["test"]
    assert set(report["means"]) == {"OpenImages-v6 detection", "overall"}
    # The same command measures nothing anew.
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("points/*/*")}
    assert run(pictures_config, out, *more) == 0
    assert {path: path.stat().st_mtime_ns for path in out.glob("points/*/*")} == stamps
    assert read_csv(out / "test_det_oiAP.csv")


@pytest.mark.slow
def test_masks_judged_after_conversion_to_raw_pictures(pictures_config, tmp_path):
    root = pictures_config.parent / "data"
    config = configured("openimages_segm", root, tmp_path, "segm", samples.ALIASES, "jpeg")
    scores = {}
    for name, more in (("plain", ()), ("raw", ("--judge-through", "8", "--matrix", "bt709"))):
        out = tmp_path / name
        assert run(config, out, "--qp", "90", "30", *more) == 0
        points = RPFile.load(out / "rp_points.json").points("anchor")
        scores[name] = [(point.bpp, point.metrics["psnr"]) for point in points]
        assert json.loads((out / "ctc.json").read_text())["originals"]["segm_oiAP"] > 40
    assert [bpp for bpp, _ in scores["plain"]] == [bpp for bpp, _ in scores["raw"]]
    assert scores["raw"][1][1] < scores["plain"][1][1]  # half the colour is lost


@pytest.mark.slow
def test_flir(shown, tmp_path):
    pictures, objects = shown
    numbered = {n: pixels for n, pixels in enumerate(pictures.values(), start=1)}
    boxes = []
    for number, own in enumerate(objects.values(), start=1):
        height, width = numbered[number].shape[:2]
        for name, left, top, right, bottom, *_ in own:
            kind = samples.ALIASES.index(name)
            if kind < 3:
                box = [left * width, top * height, (right - left) * width, (bottom - top) * height]
                boxes.append((number, kind + 1, box))
    root = samples.flir(tmp_path / "data", numbered, boxes)
    assert main(["prepare", "flir", "--root", str(root)]) == 0
    # A network of 12 classes: the names of the other nine have no objects.
    file = root / "prepared" / "flir.json"
    told = json.loads(file.read_text())
    more = [f"other {n}" for n in range(9)]
    told["categories"] += [{"id": 4 + n, "name": name} for n, name in enumerate(more)]
    file.write_text(json.dumps(told))
    classes = ("person", "bicycle", "car", *more)
    config = configured("flir_det", root, tmp_path, "det", classes, "jpeg")
    assert run(config, tmp_path / "out", "--qp", "60", "10") == 0
    assert {row["qp"] for row in table(tmp_path / "out" / "anchor_det_AP50.csv")} == {"60", "10"}
    assert json.loads((tmp_path / "out" / "ctc.json").read_text())["originals"]["det_mAP"] > 0


@pytest.fixture(scope="session")
def sfu_config(films, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sfu")
    (first, second), (known, others) = films
    height, width = first[0].shape[:2]
    rows = [[label_line(kind, box, width, height) for kind, _, box in own] for own in known]
    root = samples.sfu_text(folder / "data", first, rows)
    name = f"Other_{width}x{height}_24_val"
    for number, pixels in enumerate(second):
        samples.save(root / name / "images" / f"{number:03}.png", pixels)
    told = {
        "images": [{"id": float(n), "file_name": f"{n:03}.png", "width": width, "height": height}
                   for n in range(len(second))],
        "annotations": [
            {"id": float(m), "image_id": float(n), "bbox": box,
             "category_id": float(COCO.index(samples.ALIASES[kind - 1]))}
            for n, own in enumerate(others) for m, (kind, _, box) in enumerate(own)
        ],
        "categories": [{"id": float(n), "name": label} for n, label in enumerate(COCO)],
    }  # fmt: skip
    samples.write(root / name / "annotations" / f"{name}.json", json.dumps(told))
    assert main(["prepare", "sfu", "--root", str(root)]) == 0
    return configured("sfu_det", root, folder, "det", samples.ALIASES, "vvc-ra:faster")


def label_line(kind, box, width, height):
    x, y, wide, tall = box
    label = COCO.index(samples.ALIASES[kind - 1])
    return (f"{label} {(x + wide / 2) / width:.6f} {(y + tall / 2) / height:.6f} "
            f"{wide / width:.6f} {tall / height:.6f}")  # fmt: skip


@pytest.mark.slow
def test_sequences_by_random_access_and_pooled(sfu_config, tmp_path, capsys):
    out = tmp_path / "out"
    more = ("--checkpoint", "zoo://photos_det")
    assert run(sfu_config, out, *more) == 0
    capsys.readouterr()
    rows = table(out / "anchor_det_mAP.csv")
    assert [row["Dataset"] for row in rows] == 6 * ["Sample"] + 6 * ["Other"]
    assert [row["qp"] for row in rows[:6]] == ["22", "27", "32", "37", "42", "47"]
    points = RPFile.load(out / "rp_points.json").points("anchor")
    sizes = {point.quality: point.pictures.num_bytes for point in points}
    rates = {row["qp"]: float(row["bitrate (kbps)"]) for row in rows if row["Dataset"] == "Sample"}
    # 4 frames at 30 per second; the first video of the two by class.
    assert rates["22"] == pytest.approx(8 * sizes[1][0] / (4 / 30) / 1000)
    told = json.loads((out / "ctc.json").read_text())
    assert set(told["scores"]) == {"det_mAP", "det_AP50"}
    assert set(told["scores"]["det_AP50"]["bd_rate"]["test"]["means"]) == {"other", "X", "overall"}
    for own in told["scores"]["det_mAP"]["curves"].values():
        assert set(own) == {"Other", "Sample"}
    # Classes in place of sequences: other tables, nothing is coded again.
    assert run(sfu_config, out, *more, "--pooled") == 0
    again = table(out / "anchor_det_mAP.csv")
    assert {row["Dataset"] for row in again} == {"other", "X"}


@pytest.mark.slow
def test_two_processes_measure_what_one_does(sfu_config, tmp_path):
    given = ["--qp", "37", "47", "--checkpoint", "zoo://photos_det", "--quality", "1", "6"]
    assert run(sfu_config, tmp_path / "one", *given) == 0
    launched = ["ctc", str(sfu_config), "--out", str(tmp_path / "two"), *given]
    assert on_two(main, tmp_path, [*launched, "--launcher", "pytorch"]) == [0, 0]
    for name in ("anchor_det_mAP.csv", "test_det_AP50.csv"):
        one, two = (table(tmp_path / folder / name) for folder in ("one", "two"))
        assert one == two and len(one) == 4
    lines = [
        path.read_text().count("\n") for path in tmp_path.glob("two/points/*/pictures-1.jsonl")
    ]
    assert len(lines) == 5 and set(lines) == {1}  # a video of the two each


@pytest.mark.slow
def test_vtm_takes_vvencs_role(sfu_config, tmp_path, monkeypatch, vtm_files):  # noqa: F811
    for variable, path in zip(VTM_VARIABLES[:2], vtm_files[:2], strict=True):
        monkeypatch.setenv(variable, str(path))
    cfg = tmp_path / "ra.cfg"
    cfg.write_text("# random access\nProfile : main_10\n")
    monkeypatch.setenv(VTM_SEQUENCES["ra"], str(cfg))
    out = tmp_path / "out"
    assert run(sfu_config, out, "--anchor", "vtm-ra", "--qp", "37", "47") == 0
    assert len(table(out / "anchor_det_mAP.csv")) == 4
    assert json.loads((out / "ctc.json").read_text())["anchor"] == "VVC (VTM), random access"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tvd", "hieve"])
def test_tracks(name, films, tmp_path):
    (first, second), known = films
    root = tmp_path / "data"
    for folder, frames, own in zip({"tvd": ("TVD-01", "TVD-02"), "hieve": ("13", "2")}[name],
                                   (first, second), known, strict=True):  # fmt: skip
        tail = "1,1,1" if name == "tvd" else "1,-1,-1,-1"
        lines = [
            f"{number + (name == 'tvd')},{track},{box[0] + 1},{box[1] + 1},{box[2]},{box[3]},{tail}"
            for number, objects in enumerate(own) for _, track, box in objects
        ]  # fmt: skip
        samples.clip(root / folder, frames, lines, video=name == "tvd")
    assert main(["prepare", name, "--root", str(root)]) == 0
    config = configured(f"{name}_track", root, tmp_path, "track", None, "vvc-ld:faster")
    out = tmp_path / "out"
    assert run(config, out, "--qp", "27", "42", "--checkpoint", "zoo://photos_det") == 0
    rows = table(out / "anchor_track_MOTA.csv")
    assert len(rows) == 4 and len({row["Dataset"] for row in rows}) == 2
    told = json.loads((out / "ctc.json").read_text())
    assert told["originals"]["track_MOTA"] > 0
    assert float(rows[0]["end_accuracy"]) > -100


@pytest.mark.slow
def test_poses_by_hrnet_with_random_weights(tmp_path):
    root = samples.hieve(tmp_path / "data")
    assert main(["prepare", "hieve", "--root", str(root)]) == 0
    config = tmp_path / "poses.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/mpeg/hieve_pose.py')!r}\n"
        f"test_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(data_root={str(root)!r}))\n"
        "model = dict(tasks=dict(pose=dict(checkpoint=None)))\n"
        f"test_evaluator = [dict(type='TaskJointsMetric', task='pose',\n"
        f"    ann_file={str(root / 'prepared/poses.json')!r})]\n"
    )
    out = tmp_path / "out"
    assert run(config, out, "--anchor", "vvc-ra:faster", "--qp", "32") == 0
    rows = table(out / "anchor_pose_mAP.csv")
    assert [row["Dataset"] for row in rows] == ["2", "13"]
    entries = [
        json.loads(line) for path in out.glob("points/*/pictures-0.jsonl")
        for line in path.read_text().splitlines()
    ]  # fmt: skip
    found = [one for entry in entries for one in entry["receivers"]["shared"]["found"]["pose"]]
    assert len(found) == 8 and {len(one["keypoints"]) for one in found} == {42}


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mmaction") is None, reason="see docs/setup.md")
def test_actions_by_slowfast_with_random_weights(tmp_path):
    root = samples.hieve(tmp_path / "data")
    assert main(["prepare", "hieve", "--root", str(root)]) == 0
    config = tmp_path / "actions.py"
    config.write_text(
        f"_base_ = {str(ROOT / 'configs/mpeg/hieve_action.py')!r}\n"
        f"test_dataloader = dict(num_workers=0, persistent_workers=False,\n"
        f"    dataset=dict(data_root={str(root)!r}))\n"
        "model = dict(tasks=dict(action=dict(checkpoint=None)))\n"
        f"test_evaluator = [dict(type='TaskFrameActionMetric', task='action',\n"
        f"    ann_file={str(root / 'prepared/actions.json')!r})]\n"
    )
    out = tmp_path / "out"
    assert run(config, out, "--anchor", "vvc-ra:faster", "--qp", "32") == 0
    rows = table(out / "anchor_action_fmAP.csv")
    assert [row["Dataset"] for row in rows] == ["2", "13"]
    entries = [
        json.loads(line) for path in out.glob("points/*/pictures-0.jsonl")
        for line in path.read_text().splitlines()
    ]  # fmt: skip
    found = [one for entry in entries for one in entry["receivers"]["shared"]["found"]["action"]]
    # One person in each of four frames, in originals and in what the anchor decodes.
    assert len(found) == 2 * 4 * 14 and {one["category_id"] for one in found} == set(range(1, 15))
    assert {one["image_id"] for one in found} == {1, 2, 3, 4}
    # Receivers are looked at one after another, a video as a whole.
    two = ("--checkpoint", "zoo://photos_det", "--receiver", "zoo://photos_human", "--quality", "3")
    assert run(config, tmp_path / "dry", "--anchor", "vvc-ra:faster", "--dry-run", *two) == 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["det", "segm"])
def test_tvds_pictures(task, shown, tmp_path):
    pictures, objects = shown
    root = tmp_path / "data"
    images, truth = [], []
    for number, (name, pixels) in enumerate(pictures.items(), start=1):
        samples.save(root / "images" / f"{name}.png", pixels)
        height, width = pixels.shape[:2]
        images.append({"id": number, "file_name": f"{name}.png", "width": width, "height": height})
        for label, left, top, right, bottom, _, mask in objects[name]:
            code = rle.encode(np.asfortranarray(mask))
            truth.append({"id": len(truth) + 1, "image_id": number,
                          "category_id": COCO.index(label.replace("_", " ")) + 1,
                          "bbox": [left * width, top * height, (right - left) * width,
                                   (bottom - top) * height],
                          "segmentation": {"size": code["size"],
                                           "counts": code["counts"].decode()}})  # fmt: skip
    names = [{"id": number, "name": name} for number, name in enumerate(COCO, start=1)]
    told = {"images": images, "annotations": truth, "categories": names}
    kind = {"det": "detection", "segm": "segmentation"}[task]
    samples.write(root / "annotations" / f"tvd_{kind}.json", json.dumps(told))
    assert main(["prepare", "tvd", "--root", str(root)]) == 0
    config = configured(f"tvd_{task}", root, tmp_path, task, samples.ALIASES, "vvc:faster")
    assert run(config, tmp_path / "out", "--qp", "32", "47") == 0
    rows = table(tmp_path / "out" / f"anchor_{task}_AP50.csv")
    assert float(rows[0]["end_accuracy"]) > float(rows[1]["end_accuracy"]) > 0


def test_what_is_refused(pictures_config, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["ctc", "configs/mini/stage1_det.py", "--out", str(out), "--cfg-options",
                 "test_dataloader.dataset.data_root=/nowhere"]) == 1  # fmt: skip
    assert run(pictures_config, out, "--anchor", "h264") == 1
    assert "unknown anchor 'h264'" in capsys.readouterr().err
    for more, what in (
        (["--receiver", "a"], "--receiver needs --checkpoint"),
        (["--judge-through", "7"], "8 to 16 bits"),
        (["--matrix", "bt709"], "go with --judge-through"),
    ):
        with pytest.raises(SystemExit):
            run(pictures_config, out, *more)
        assert what in capsys.readouterr().err
