"""Tables in AVA's form: frames around key frames, who does what, and mmaction2's clips."""

import json
from importlib.util import find_spec

import numpy as np
import pytest
from mmengine.registry import DefaultScope

from tests.person_clips import AVA_ROWS, prepare_ava
from vcm_mt.cli.main import main
from vcm_mt.datasets.ava import ACTIONS, convert_ava
from vcm_mt.errors import DataError
from vcm_mt.metrics.judges import make_judge
from vcm_mt.registry import DATASETS
from vcm_mt.training.config import load_config


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return prepare_ava(tmp_path_factory.mktemp("ava"))


def read(root, *more):
    given = ["--clips", str(root / "rawframes"), "--list",
             str(root / "annotations" / "ava_val_v2.1.csv"), *more]  # fmt: skip
    assert main(["prepare", "ava", *given]) == 0
    return json.loads((root / "annotations" / "ava_val_v2.1.json").read_text())


def test_frames_around_key_frames(root, capsys):
    told = read(root)
    assert "frames" in capsys.readouterr().out
    # Second 902 is frame 62, as in mmaction2. Of 32 before it and 31 after it, two overlap.
    names = {video["id"]: video["name"] for video in told["videos"]}
    assert list(names.values()) == ["a, 30", "a, 150", "b, 30"]
    by_video = {name: [one["file_name"] for one in told["images"]
                       if names[one["video_id"]] == name] for name in names.values()}  # fmt: skip
    assert by_video["a, 30"] == [f"a/img_{n:05}.jpg" for n in range(30, 124)]
    assert by_video["a, 150"] == [f"a/img_{n:05}.jpg" for n in range(150, 214)]
    assert by_video["b, 30"] == [f"b/img_{n:05}.jpg" for n in range(30, 94)]
    keys = [one["file_name"] for one in told["images"] if one["key_frame"]]
    assert keys == [f"a/img_{n:05}.jpg" for n in (62, 92, 182)] + ["b/img_00062.jpg"]
    first = [one for one in told["annotations"] if one["image_id"] == 33]
    assert [one["category_id"] for one in first] == [12, 79, 16]
    assert first[0]["bbox"] == pytest.approx([9.6, 12.8, 28.8, 44.8])
    assert [one["instance_id"] for one in first] == [1, 1, 2]
    assert [one["name"] for one in told["categories"]] == list(ACTIONS) and len(ACTIONS) == 80
    assert (ACTIONS[11], ACTIONS[63], ACTIONS[79]) == (
        "stand", "fight/hit (a person)", "watch (a person)"
    )  # fmt: skip


def test_what_does_not_count_is_left_out(root, tmp_path):
    listed = tmp_path / "list.pbtxt"
    listed.write_text('label {\n  name: "stand"\n  label_id: 12\n  label_type: PERSON_MOVEMENT\n}\n'
                      'item {\n  name: "watch (a person)"\n  id: 80\n}\n')  # fmt: skip
    (tmp_path / "excluded.csv").write_text("a,0903\n")
    told = read(root, "--actions", str(listed), "--exclude", str(tmp_path / "excluded.csv"))
    assert [one["category_id"] for one in told["annotations"]] == [12, 80]
    assert len(told["categories"]) == 80
    # Classes without an object to find are left out of the mean.
    judge = make_judge(
        "persons",
        {"type": "TaskFrameActionMetric",
         "ann_file": str(root / "annotations" / "ava_val_v2.1.json")},
        ACTIONS,
    )  # fmt: skip
    entries = [
        {"image_id": one["image_id"], "category_id": kind, "bbox": one["bbox"], "score": 0.5}
        for one in told["annotations"] for kind in (one["category_id"], 1, 79)
    ]  # fmt: skip
    assert judge.scores(entries, [[n] for n in judge.truth.imgs])["persons_fmAP"].score()[0] == 100
    told = read(root, "--frames", "1")
    keys = [one["file_name"] for one in told["images"] if one["key_frame"]]
    assert keys == ["a/img_00092.jpg", "b/img_00062.jpg"]


@pytest.mark.skipif(find_spec("mmaction") is None, reason="see docs/setup.md")
def test_clips_are_mmaction2s(root):
    from vcm_mt.models.tasks.mmaction_import import import_mmaction

    import_mmaction()
    from mmaction.datasets import AVADataset

    read(root)
    DefaultScope.get_instance("test_ava", scope_name="vcm_mt")
    config = load_config("configs/stage1_persons.py").train_dataloader.dataset
    config.dataset.update(data_root=f"{root}/", ann_file="annotations/ava_val_v2.1.json")
    own = DATASETS.build(config)
    with DefaultScope.overwrite_default_scope("mmaction"):
        sampling = {"type": "SampleAVAFrames", "clip_len": 32, "frame_interval": 2}
        other = AVADataset(
            str(root / "annotations" / "ava_val_v2.1.csv"), [{**sampling, "test_mode": True}],
            data_prefix={"img": str(root / "rawframes")},
        )  # fmt: skip
    theirs = [other[number] for number in range(len(other))]
    assert len(own) == len(theirs) == 4
    for number, one in enumerate(theirs):
        clip = own[number]
        assert [frame["data_samples"].img_path for frame in clip] == [
            f"{one['frame_dir']}/img_{place:05}.jpg" for place in one["frame_inds"]
        ]
        truth = clip[16]["data_samples"].gt_instances
        hot = np.zeros_like(one["gt_labels"])
        boxes = (truth.bboxes.tensor.numpy() / [96, 64, 96, 64]).round(3)
        for box, label in zip(boxes, truth.labels.tolist(), strict=True):
            (person,) = np.flatnonzero((np.abs(one["gt_bboxes"] - box) < 2e-3).all(axis=1))
            hot[person, label + 1] = 1
        assert np.array_equal(hot, one["gt_labels"])


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,0902,0.1,0.2,0.4,0.9,12", "line 1: 7 columns, and AVA has video_id,timestamp,x1"),
        ("a,0902,0.1,0.2,0.4,1.9,12,0", "line 1: no box between 0 and 1"),
        ("a,0902,0.4,0.2,0.1,0.9,12,0", "line 1: no box between 0 and 1"),
        ("a,0902,0.1,0.2,0.4,0.9,81,0", "AVA's actions are 1 to 80, not 81"),
        ("a,now,0.1,0.2,0.4,0.9,1,0", "timestamp is 'now', and must be a number"),
        ("c,0902,0.1,0.2,0.4,0.9,1,0", "1 of the 1 videos of .* have no folder of frames"),
        ("b,0910,0.1,0.2,0.4,0.9,1,0", "has no frame number 302: it needs those of the seconds"),
    ],
)
def test_tables_that_are_refused(root, tmp_path, row, told):
    table = tmp_path / "t.csv"
    table.write_text(f"{row}\n")
    with pytest.raises(DataError, match=told):
        convert_ava(table, root / "rawframes", tmp_path / "t.json")
    assert not (tmp_path / "t.json").exists()


def test_folders_and_lists_that_are_refused(tmp_path, capsys):
    root = prepare_ava(tmp_path, AVA_ROWS[:1])
    table, out = root / "annotations" / "ava_val_v2.1.csv", tmp_path / "t.json"
    (root / "rawframes" / "a" / "img_00040.jpg").unlink()
    with pytest.raises(DataError, match="lacks img_00040.jpg, and has frames after it"):
        convert_ava(table, root / "rawframes", out)
    bare = tmp_path / "names.pbtxt"
    bare.write_text("stand\n")
    with pytest.raises(DataError, match="is no list of actions"):
        convert_ava(table, root / "rawframes", out, bare)
    bare.write_text("id: 13\n")
    with pytest.raises(DataError, match="has no action that counts"):
        convert_ava(table, root / "rawframes", out, bare)
    with pytest.raises(DataError, match="cannot be read"):
        convert_ava(tmp_path / "none.csv", root / "rawframes", out)
    for given, what in (
        (["ava"], "ava needs --clips DIR and --list FILE"),
        (["mini", "--list", "x"], "are for clips and ava"),
        (["clips", "--clips", "x", "--list", "x", "--out", "x", "--exclude", "x"], "is for ava"),
    ):
        with pytest.raises(SystemExit):
            main(["prepare", *given])
        assert what in capsys.readouterr().err
