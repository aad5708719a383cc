"""MOTChallenge's form as COCO-VID's."""

import json

import numpy as np
import pytest
from mmengine.registry import DefaultScope
from PIL import Image

from vcm_mt.cli.main import main
from vcm_mt.curves.tracks import by_video, count_tracks
from vcm_mt.datasets.mot import convert_mot
from vcm_mt.errors import DataError
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config

ROWS = """\
1,1,11,21,30,40,1,1,0.9
2,1,13,21,30,40,1,1,0.9
3,1,15,21,30,40,1,1,0.9
4,1,17,21,30,40,1,1,0.9
1,2,50,60,20,20,0,1,1
3,2,52,60,20,20,1,1,1
2,3,70,10,10,10,1,8,1
2,4,30,10,10,10,1,3,1
"""


@pytest.fixture
def root(tmp_path):
    for scene in ("MOT17-02-FRCNN", "MOT17-02-DPM"):
        folder = tmp_path / "train" / scene
        (folder / "img1").mkdir(parents=True)
        (folder / "gt").mkdir()
        (folder / "seqinfo.ini").write_text(
            f"[Sequence]\nname={scene}\nimDir=img1\nframeRate=30\nseqLength=4\nimWidth=96\n"
            "imHeight=80\nimExt=.jpg\n"
        )
        (folder / "gt" / "gt.txt").write_text(ROWS)
        for frame in range(1, 5):
            Image.fromarray(np.full((80, 96, 3), 40 * frame, np.uint8)).save(
                folder / "img1" / f"{frame:06d}.jpg"
            )
    return tmp_path / "train"


def test_objects_frames_and_halves(root, tmp_path):
    assert convert_mot(root, tmp_path / "all.json", only="-FRCNN") == 4
    told = json.loads((tmp_path / "all.json").read_text())
    assert [one["name"] for one in told["videos"]] == ["MOT17-02-FRCNN"]
    assert [one["frame_id"] for one in told["images"]] == [0, 1, 2, 3]
    assert told["images"][2]["file_name"] == "MOT17-02-FRCNN/img1/000003.jpg"
    seen = [(one["image_id"], one["instance_id"], one["iscrowd"]) for one in told["annotations"]]
    # Flag 0 and other classes are left out; a distractor is a crowd.
    assert seen == [(0, 1, 0), (1, 1, 0), (2, 1, 0), (3, 1, 0), (2, 2, 0), (1, 3, 1)]
    assert told["annotations"][0]["bbox"] == [10, 20, 30, 40]
    assert convert_mot(root, tmp_path / "second.json", "second", "-FRCNN") == 2
    told = json.loads((tmp_path / "second.json").read_text())
    assert [(one["frame_id"], one["file_name"][-10:]) for one in told["images"]] == [
        (0, "000003.jpg"),
        (1, "000004.jpg"),
    ]
    assert convert_mot(root, tmp_path / "both.json") == 8


def test_the_command_writes_what_the_configs_read(root, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["vcm-mt", "prepare", "mot", "--mot", str(root)])
    main()
    assert "second_half.json: 2 frames" in capsys.readouterr().out
    config = load_config("configs/stage2_track.py")
    dataset = config.train_dataloader.dataset
    dataset.update(step=1)
    dataset.dataset.update(data_root=f"{root.parent}/")
    with DefaultScope.overwrite_default_scope("vcm_mt"):
        (first, second) = DATASETS.build(dataset)[0]
    assert first["inputs"].shape == (3, 80, 96)
    assert first["data_samples"].gt_instances.instances_ids.tolist() == [1]
    assert len(second["data_samples"].ignored_instances) == 1


def test_a_crowd_is_neither_an_object_nor_a_mistake(root, tmp_path):
    convert_mot(root, tmp_path / "all.json", only="-FRCNN")
    told = json.loads((tmp_path / "all.json").read_text())
    frames = [[one["id"] for one in told["images"]]]
    truth = by_video(told["annotations"], frames)
    found = [one for one in told["annotations"]]  # all are found, the distractor as well
    counts = count_tracks(truth, by_video(found, frames))
    assert counts["MOTA"].score()[0] == counts["HOTA"].score()[0] == 100
    assert counts["MOTA"].counts[0].tolist() == [5, 0, 0, 0]


@pytest.mark.parametrize(
    ("file", "text", "what"),
    [
        ("seqinfo.ini", "[Sequence]\nseqLength=x\n", "seqinfo.ini is damaged"),
        ("seqinfo.ini", "", "seqinfo.ini is damaged"),
        ("gt/gt.txt", "1,1,a,b,c,d\n", "line 1: not an object"),
        ("gt/gt.txt", "1,1\n", "line 1: not an object"),
    ],
)
def test_damage_is_told(root, tmp_path, file, text, what):
    (root / "MOT17-02-FRCNN" / file).write_text(text)
    with pytest.raises(DataError, match=what):
        convert_mot(root, tmp_path / "all.json", only="-FRCNN")


def test_a_folder_without_sequences(tmp_path):
    with pytest.raises(DataError, match="has no sequence"):
        convert_mot(tmp_path, tmp_path / "all.json")
