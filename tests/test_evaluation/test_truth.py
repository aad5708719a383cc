"""One rule of what is judged, by each way to an mAP: the config's classes, in what was shown."""

import json
import shutil

import pytest
from PIL import Image
from torch import nn

from vcm_mt.anchors import make_sweep
from vcm_mt.apis.system import build_system
from vcm_mt.errors import ConfigError, DataError
from vcm_mt.evaluation.codecs import AnchorCodec, Originals
from vcm_mt.evaluation.experiment import Experiment, untrained
from vcm_mt.evaluation.measure import measure
from vcm_mt.evaluation.samples import Samples
from vcm_mt.evaluation.test_set import TestSet
from vcm_mt.training.config import load_config


class OwnSet:
    """A copy of the very small set that a test may change, and the two configs that judge it."""

    def __init__(self, mini, folder):
        self.folder = shutil.copytree(mini, folder)
        self.path = self.folder / "annotations" / "val.json"
        self.told = json.loads(self.path.read_text())
        self.config = load_config("configs/mini/stage2_segm.py")
        self.config.test_dataloader.dataset.data_root = str(self.folder)
        for evaluator in self.config.evaluators.values():
            evaluator.ann_file = str(self.path)
        self.codec = load_config("configs/mini/stage1_det.py")
        self.codec.model.codec.checkpoint = "zoo://mse_3"
        self.codec.model.lmbda = 0.5
        self.codec.test_dataloader = self.config.test_dataloader
        self.codec.test_evaluator[1].ann_file = str(self.path)

    def save(self):
        self.path.write_text(json.dumps(self.told))

    def scores(self, tmp_path):
        """Of both ways, on the same decoded pictures."""
        point = Experiment(self.config, tmp_path, ["det"]).points(untrained(self.codec, "mse", 1))
        metrics = measure(build_system(self.codec), self.codec, "mse").metrics
        return point["shared"].metrics["det_mAP"], 100 * metrics["det/bbox_mAP"]


@pytest.fixture
def own(mini, tmp_path):
    return OwnSet(mini, tmp_path / "own")


@pytest.fixture(scope="module")
def right(mini, tmp_path_factory):
    """The scores of the set as it is."""
    folder = tmp_path_factory.mktemp("right")
    return OwnSet(mini, folder / "own").scores(folder)


def foreign(told):
    """A category that is no class of the config, with an object in every picture."""
    told["categories"].insert(0, {"id": 77, "name": "car"})
    told["annotations"] += [
        {"id": 9000 + n, "image_id": one["id"], "category_id": 77, "bbox": [5, 5, 30, 30],
         "area": 900, "iscrowd": 0, "segmentation": [[5, 5, 35, 5, 35, 35, 5, 35]]}
        for n, one in enumerate(told["images"])
    ]  # fmt: skip


def unknown(told):
    foreign(told)
    told["categories"].pop(0)


def other_numbers(told):
    """Categories in another order, under other numbers."""
    told["categories"].reverse()
    numbers = {one["id"]: 100 - 3 * one["id"] for one in told["categories"]}
    for one in told["categories"]:
        one["id"] = numbers[one["id"]]
    for one in told["annotations"]:
        one["category_id"] = numbers[one["category_id"]]


def nothing_optional(told):
    for one in told["annotations"]:
        for key in ("iscrowd", "area", "id"):
            one.pop(key)
    told.pop("info", None)


@pytest.mark.parametrize("change", [foreign, unknown, other_numbers, nothing_optional])
def test_the_same_objects_give_the_same_score(own, right, tmp_path, change):
    change(own.told)
    own.save()
    assert own.scores(tmp_path) == pytest.approx(right, abs=1e-9)
    assert right[0] > 20
    assert right[0] == pytest.approx(right[1], abs=1e-9)


def test_only_the_pictures_shown_count(own, tmp_path):
    own.config.test_dataloader.dataset.indices = 2
    shown, other = own.scores(tmp_path)
    assert shown == pytest.approx(other, abs=1e-9)
    own.told["images"] = own.told["images"][:2]  # a file of these two alone
    own.save()
    assert own.scores(tmp_path / "two")[0] == shown


def test_crowds_alone_are_nothing_to_be_found(own, tmp_path):
    for one in own.told["annotations"]:
        one["iscrowd"] = 1
    own.save()
    point = Experiment(own.config, tmp_path, ["det"]).points(Originals())["shared"]
    assert point.to_dict()["metrics"]["det_mAP"] is None
    with pytest.raises(DataError, match="hold no object of its classes, crowds apart"):
        measure(build_system(own.codec), own.codec, "mse")


def test_pictures_shown_without_an_object_have_no_score(own, tmp_path):
    first = own.told["images"][0]["id"]
    for one in own.told["annotations"]:
        one["iscrowd"] = int(one["image_id"] == first)
    own.save()
    own.config.test_dataloader.dataset.indices = 1
    found = measure(build_system(own.codec), own.codec, "mse").metrics
    assert found["bpp"] > 0 and found["det/bbox_mAP"] != found["det/bbox_mAP"]
    assert -1 not in found.values()


@pytest.fixture
def untouched(monkeypatch):
    """Fails where a picture is loaded."""
    monkeypatch.setattr(TestSet, "batches", None)


@pytest.mark.parametrize("some", [slice(None), slice(1)])
@pytest.mark.parametrize("mask", [None, [], [[3, 3, 9, 9]], {"size": [1, 1], "counts": [1]}])
def test_truth_without_masks_is_told_before_anything_is_coded(own, untouched, some, mask):
    changed = own.told["annotations"][some]
    for one in changed:
        one["segmentation"] = mask
    own.save()
    TestSet(own.config, ["det"])
    count = f"no mask for {len(changed)} of its {len(own.told['annotations'])} objects"
    with pytest.raises(DataError, match=count) as error:
        TestSet(own.config, ["segm"])
    assert str(own.path) in str(error.value)


def test_masks_of_a_network_that_finds_none(own, tmp_path):
    own.config.evaluators.det.metric = "segm"
    with pytest.raises(ConfigError, match="det finds boxes without masks"):
        Experiment(own.config, tmp_path, ["det"]).points(Originals())


def test_more_classes_than_the_config_names(own, tmp_path):
    own.config.test_dataloader.dataset.metainfo.classes = ("digit_0", "digit_1")
    with pytest.raises(ConfigError, match="finds things of class number .* names 2"):
        Experiment(own.config, tmp_path, ["det"]).points(Originals())


def test_annotations_of_other_pictures_are_told_at_once(own, untouched):
    own.told["images"][3]["file_name"] = "another.bmp"
    other = own.folder / "other.json"
    other.write_text(json.dumps(own.told))
    own.config.evaluators.det.ann_file = own.codec.test_evaluator[1].ann_file = str(other)
    for judge in (
        lambda: TestSet(own.config, ["det"]),
        lambda: measure(nn.Identity(), own.codec, "mse"),  # is not asked
    ):
        with pytest.raises(DataError, match="set the evaluator's ann_file"):
            judge()


def turn(own, orientation):
    """JPEGs whose boxes are of the pixels before EXIF turns them; wider than high."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    for one in own.told["images"]:
        path = own.folder / "val" / one["file_name"]
        one |= {"file_name": f"{path.stem}.jpg", "height": 192}
        picture = Image.open(path).crop((0, 0, 256, 192))
        picture.save(path.with_suffix(".jpg"), exif=exif)
    own.save()


def test_pictures_of_another_size_than_annotated_are_told(own, tmp_path):
    turn(own, 6)
    told = "000000.jpg is 192x256 by its EXIF orientation 6, its annotation 256x192"
    experiment = Experiment(own.config, tmp_path, ["det"])
    with pytest.raises(DataError, match=told):
        experiment.points(Originals())
    with pytest.raises(DataError, match=told):
        measure(build_system(own.codec), own.codec, "mse")


@pytest.mark.parametrize("kind", ["turned", "grey", "palette", "deep"])
def test_what_is_coded_ahead_is_what_is_sent(own, tmp_path, kind):
    """Each picture has one stream: there is one reader."""
    if kind == "turned":
        turn(own, 6)
        for one in own.told["images"]:
            one |= {"width": 192, "height": 256}
    else:
        for one in own.told["images"]:
            path = own.folder / "val" / one["file_name"]
            one["file_name"] = f"{path.stem}.png"
            picture = Image.open(path).convert("P" if kind == "palette" else "L")
            if kind == "deep":
                picture = picture.convert("I").point(lambda value: value * 256 + 77)
                picture = picture.convert("I;16")
            picture.save(path.with_suffix(".png"))
    own.save()
    _, anchor, _ = make_sweep("jpeg@90")
    codec = AnchorCodec(anchor, 90, tmp_path / "streams")
    Experiment(own.config, tmp_path, ["det"]).points(codec)
    assert len(list((tmp_path / "streams").rglob("*.bin"))) == 4


class Fails(Originals):
    """Cannot send one of the pictures."""

    def __init__(self, error):
        self.error, self.sent = error, 0

    def send(self, picture):
        self.sent += 1
        if self.sent == 3:
            raise self.error
        return super().send(picture)


@pytest.mark.parametrize("error", [RuntimeError("of size\n 1"), DataError("of size 1")])
def test_a_picture_that_fails_is_named_and_the_others_kept(own, tmp_path, error):
    experiment = Experiment(own.config, tmp_path, ["det"])
    with pytest.raises(DataError, match=r"000002.bmp.* of size 1") as told:
        experiment.points(Fails(error))
    assert len(str(told.value).splitlines()) == 1
    again = Fails(error)
    again.sent = 3  # none fails
    experiment.points(again)
    assert again.sent == 3 + 2  # the first two are kept


def test_a_full_disk_is_no_fault_of_a_picture(own, tmp_path):
    with pytest.raises(OSError, match="full"):
        Experiment(own.config, tmp_path, ["det"]).points(Fails(OSError("full")))


def test_a_system_that_fails_names_the_picture(own):
    system = build_system(own.codec)
    system.val_step = lambda batch: [][1]
    with pytest.raises(DataError, match="000000.bmp cannot be used: IndexError"):
        measure(system, own.codec, "mse")


def test_a_transform_that_fails_names_the_picture(own, tmp_path):
    own.config.test_dataloader.dataset.pipeline.insert(1, {"type": "mmdet.Resize", "scale": "x"})
    with pytest.raises(DataError, match=r"000000.bmp cannot be used"):
        Experiment(own.config, tmp_path, ["det"]).points(Originals())


def test_polygons_are_judged_and_kept_for_the_report(own, tmp_path):
    """pycocotools writes what JSON cannot hold over the polygons that it judges by."""
    for one in own.told["annotations"]:
        x, y, width, height = one["bbox"]
        right, low = x + width, y + height
        one["segmentation"] = [[x, y, right, y, right, low, x, low]]
    own.save()
    experiment = Experiment(own.config, tmp_path, ["segm"])
    experiment.points(Originals())
    Samples(tmp_path / "samples", experiment.data, 1).keep(Originals(), {"shared": "originals"})
    (truth,) = (tmp_path / "samples").rglob("truth.json")
    objects = json.loads(truth.read_text())["objects"]["segm"]
    assert all(len(one["segmentation"][0]) == 8 for one in objects)


def test_two_pictures_of_one_number(own):
    own.told["images"][1]["id"] = own.told["images"][0]["id"]
    own.save()
    with pytest.raises(DataError, match="have the same id"):
        TestSet(own.config, ["det"])


def test_absolute_names(own, tmp_path, right):
    for one in own.told["images"]:
        one["file_name"] = str(own.folder / "val" / one["file_name"])
    own.save()
    assert own.scores(tmp_path) == pytest.approx(right, abs=1e-9)
