"""The photographs are picked out of COCO by their ids."""

import json

import numpy as np
import pytest
from PIL import Image

from vcm_mt.cli.prepare import main
from vcm_mt.datasets.coco import CheckedCocoDataset
from vcm_mt.datasets.photos import SPLITS, photo_ids


@pytest.fixture
def coco(tmp_path):
    """A folder like COCO's, with the photographs and one picture more, each of a few pixels."""
    ids = photo_ids()
    rng = np.random.default_rng(0)
    for origin in set(SPLITS.values()):
        (tmp_path / origin).mkdir()
        numbers = [1, *(n for split in ids for n in ids[split] if SPLITS[split] == origin)]
        images = [{"id": n, "file_name": f"{n:012}.jpg", "width": 9, "height": 7} for n in numbers]
        for image in images:
            pixels = rng.integers(0, 256, (7, 9, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / origin / image["file_name"])
        boxes = [
            {"id": k + 1, "image_id": n, "category_id": 3, "bbox": [1, 1, 4, 5]}
            for k, n in enumerate(numbers)
        ]
        content = {
            "images": images,
            "annotations": boxes,
            "categories": [{"id": 1, "name": "person"}, {"id": 3, "name": "car"}],
        }
        (tmp_path / "annotations").mkdir(exist_ok=True)
        path = tmp_path / "annotations" / f"instances_{origin}.json"
        path.write_text(json.dumps(content))
    return tmp_path


def _run(coco, out):
    return main(["photos", "--coco", str(coco), "--out", str(out)])


def test_splits_share_no_picture():
    ids = photo_ids()
    assert {split: len(numbers) for split, numbers in ids.items()} == {
        "train": 277, "tune": 60, "val": 328,
    }  # fmt: skip
    assert len({n for numbers in ids.values() for n in numbers}) == 665


def test_they_are_picked_and_read(coco, tmp_path, capsys):
    out = tmp_path / "photos"
    assert _run(coco, out) == 0
    told = capsys.readouterr().out
    for split, numbers in photo_ids().items():
        content = CheckedCocoDataset(
            data_root=str(out),
            ann_file=f"annotations/{split}.json",
            data_prefix={"img": split},
            metainfo={"classes": ("person", "car")},
        )
        assert [one["img_id"] for one in content.load_data_list()] == numbers
        assert len(list((out / split).iterdir())) == len(numbers)
    assert _run(coco, out) == 0
    assert capsys.readouterr().out == told  # the same fingerprint


def test_what_is_missing_is_named(coco, tmp_path, capsys):
    (coco / "val2017" / f"{photo_ids()['val'][0]:012}.jpg").unlink()
    assert _run(coco, tmp_path / "photos") == 1
    assert "000000000139.jpg is missing: fetch COCO 2017" in capsys.readouterr().err
    path = coco / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    content["images"] = content["images"][:5]
    path.write_text(json.dumps(content))
    assert _run(coco, tmp_path / "photos") == 1
    assert "lacks 273 of the 277 photographs" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--coco", "data"], ["photos", "--seed", "1"], ["paintings"]]
)
def test_arguments_that_do_not_fit(arguments):
    with pytest.raises(SystemExit):
        main(arguments)
