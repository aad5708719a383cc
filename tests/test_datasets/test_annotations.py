"""Annotation files: what exporters leave out is filled in, what cannot be used is told."""

import json

import pytest

from vcm_mt.datasets.annotations import Annotations
from vcm_mt.errors import DataError

RING = [1, 1, 9, 1, 9, 9]


def content(**changes):
    told = {
        "images": [{"id": n, "file_name": f"{n}.png", "width": 65, "height": 33} for n in (1, 2)],
        "categories": [{"id": 7, "name": "cup"}, {"id": 3, "name": "car"}],
        "annotations": [
            {"id": 5, "image_id": 1, "category_id": 7, "bbox": [1, 1, 8, 4], "area": 30,
             "iscrowd": 0, "segmentation": [RING]},
            {"id": 6, "image_id": 2, "category_id": 3, "bbox": [1, 1, 8, 8], "area": 60,
             "iscrowd": 1},
        ],
    }  # fmt: skip
    return told | changes


@pytest.fixture
def write(tmp_path):
    def _write(told):
        path = tmp_path / "truth.json"
        path.write_bytes(told if isinstance(told, bytes) else json.dumps(told).encode())
        return path

    return _write


def test_a_whole_file_is_left_as_it_is(write):
    assert Annotations(write(content())).dataset == content()


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_that_editors_put_first(write, encoding):
    path = write(json.dumps(content()).encode(encoding))
    assert Annotations(path).dataset == content()


@pytest.mark.parametrize("without", ["absent", None])
@pytest.mark.parametrize("key, value", [("iscrowd", 0), ("area", 32), ("id", 1)])
def test_what_is_left_out_is_filled_in(write, key, value, without):
    told = content()
    one = told["annotations"][0]
    one.pop(key)
    one |= {} if without else {key: None}
    assert Annotations(write(told)).dataset["annotations"][0][key] == value


@pytest.mark.parametrize("numbers", [(0, 1), (5, 5)])
def test_numbers_that_pycocotools_cannot_tell_apart(write, numbers):
    """It takes 0 for no match, and the last of several for each of them."""
    told = content()
    for one, number in zip(told["annotations"], numbers, strict=True):
        one["id"] = number
    assert sorted(Annotations(write(told)).anns) == [1, 2]


def test_only_the_classes_are_kept_and_in_their_order(write):
    truth = Annotations(write(content()), ["car"])
    assert list(truth.cats) == [3] and list(truth.anns) == [6]
    assert Annotations(write(content())).get_cat_ids(["car", "cup"]) == [3, 7]


def test_masks_that_are_none(write):
    told = content()
    rings = [None, [], [[1, 1, 9, 1]], [[1, 1, 9, 1], RING]]
    told["annotations"] = [
        {**told["annotations"][0], "id": n, "segmentation": ring}
        for n, ring in enumerate(rings, start=1)
    ]
    size = {"size": [33, 65], "counts": [0, 33 * 65]}
    for more in (size, {**size, "size": [65, 33]}, {"size": [33, 65]}):
        number = len(told["annotations"]) + 1
        told["annotations"].append({**told["annotations"][0], "id": number, "segmentation": more})
    truth = Annotations(write(told))
    assert truth.without_mask() == [1, 2, 3, 6, 7]
    assert truth.anns[4]["segmentation"] == [RING]  # the ring of two corners is left out


IMAGE, CUP = content()["images"][0], content()["categories"][0]
OBJECT = content()["annotations"][0]


@pytest.mark.parametrize(
    "told, words",
    [
        (b"\xff\xfe\x00", "not in COCO format"),
        (b"stra\xdfe", "not in COCO format"),
        (b"", "not in COCO format"),
        ([], "it is a list"),
        (content(images={}), "no list of images"),
        (content(categories=None), "no list of categories"),
        (content(annotations=[[]]), "annotations are no dictionaries"),
        (content(images=[IMAGE, {**IMAGE, "file_name": "b.png"}]), "1.png and b.png have the same"),
        (content(images=[{**IMAGE, "width": 0}]), "1.png has no width"),
        (content(images=[{"id": 1}]), "no file_name and id"),
        (content(categories=[CUP, {**CUP, "name": "car"}]), "cup and car have the same id 7"),
        (content(categories=[{"id": 1}]), "no name and id"),
        (content(annotations=[{**OBJECT, "bbox": [1, 2, 3]}]), "annotation 5 has no bbox"),
        (content(annotations=[{**OBJECT, "bbox": [1, 2, 3, float("nan")]}]), "has no bbox"),
        (content(annotations=[{"id": 9, "bbox": [1, 2, 3, 4]}]), "no image_id and category_id"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_line(write, told, words):
    path = write(told)
    with pytest.raises(DataError, match=words) as error:
        Annotations(path)
    assert str(path) in str(error.value) and len(str(error.value).splitlines()) == 1


def test_classes_that_are_missing_or_there_twice(write):
    with pytest.raises(DataError, match="has only 1 of the classes cup, dog"):
        Annotations(write(content()), ["cup", "dog"])
    twice = content(categories=[CUP, {"id": 8, "name": "cup"}])
    with pytest.raises(DataError, match="several categories called cup"):
        Annotations(write(twice), ["cup"])


def test_a_file_that_is_none(tmp_path):
    for path in (tmp_path, tmp_path / "none.json"):
        with pytest.raises(DataError, match="cannot be read"):
            Annotations(path)
