"""`vcm-mt experiment` on videos: it trains, measures, compares, and goes on where it stopped."""

import json
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tests.test_report.test_page import Parsed
from vcm_mt.curves.rp_file import RPFile
from vcm_mt.datasets.mini.video_writer import prepare_videos

ANCHOR = "hevc-ra-ultrafast"
SHORT = """
train_cfg = dict(max_iters=2)
default_hooks = dict(checkpoint=dict(interval=2))
"""
PARTS = {
    "stage1": """
_base_ = "{root}/configs/mini/stage1_track.py"
train_dataloader = dict(dataset=dict(dataset=dict(data_root="{data}/")))
val_dataloader = dict(dataset=dict(data_root="{data}/"))
test_dataloader = dict(dataset=dict(data_root="{data}/"))
val_evaluator = [dict(type="CodingMetric")]
test_evaluator = [dict(type="CodingMetric")]
""",
    "prior": """
_base_ = "{root}/configs/mini/stage1_track_video.py"
train_dataloader = dict(batch_size=1, dataset=dict(dataset=dict(data_root="{data}/")))
val_dataloader = dict(dataset=dict(data_root="{data}/"))
test_dataloader = dict(dataset=dict(data_root="{data}/"))
val_evaluator = [dict(type="CodingMetric")]
test_evaluator = [dict(type="CodingMetric")]
""",
    "stage2": """
_base_ = "{root}/configs/mini/stage2_track.py"
train_dataloader = dict(dataset=dict(dataset=dict(data_root="{data}/")))
val_dataloader = dict(dataset=dict(data_root="{data}/"))
test_dataloader = dict(dataset=dict(data_root="{data}/"))
evaluators = dict(
    track=dict(ann_file="{data}/annotations/val.json"),
    det=dict(ann_file="{data}/annotations/val.json"),
    byte=dict(ann_file="{data}/annotations/val.json"),
)
""",
}
PLAN = """
_base_ = "{folder}/stage1.py"
judge = "{folder}/stage2.py"
videos = dict(
    stage1="{folder}/stage1.py",
    prior="{folder}/prior.py",
    receivers=dict(track="{folder}/stage2.py"),
    levels=[2, 4],
    tasks=["track", "det"],
    key_interval=60,
    films=dict(videos=[0, 2], levels=[4], receiver="track", anchors=["hevc-ra:ultrafast"]),
)
anchors = ["vvc-intra:faster@47,37", "hevc-ra:ultrafast@47,37"]
samples = 0
resamples = 20
report = dict(title="a test")
"""


@pytest.mark.slow
def test_everything_of_an_experiment(tmp_path):
    data, out = tmp_path / "videos", tmp_path / "out"
    prepare_videos(data, sizes={"train": (3, 6), "val": (3, 4)})
    known = {"root": ROOT, "data": data, "folder": tmp_path}
    for name, text in PARTS.items():
        (tmp_path / f"{name}.py").write_text(text.format(**known) + SHORT)
    (tmp_path / "plan.py").write_text(PLAN.format(**known))
    command = [sys.executable, "-m", "vcm_mt", "experiment", str(tmp_path / "plan.py"), "-o"]
    old = out / "films" / "000001" / "truth.json"  # of a former run, with other videos
    old.parent.mkdir(parents=True)
    old.write_text("{}")
    for _ in range(2):
        done = subprocess.run(
            [*command, str(out)], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert "Iter(train)" not in done.stdout  # the second time all is there
    found = RPFile.load(out / "rp_points.json")
    ours = {"stage1_track", "stage1_track_track"}
    assert set(found.curves) == {
        *ours,
        *(f"stage1_track_predicted{end}" for end in ("", "_track")),
        "vvc-intra-faster",
        "hevc-ra-ultrafast",
    }
    for curve in found.curves.values():
        assert {"track_HOTA", "track_MOTA", "track_IDF1", "det_mAP"} <= set(curve.points[0].metrics)
    told = json.loads((out / "savings.json").read_text())
    assert set(told) == {"still", "pan", "shake", "all"} and set(told["all"]) == {"2", "4"}
    # Never more than two bytes a picture longer, besides the header's mark.
    intra, predicted = (
        {p.quality: p.pictures.num_bytes for p in found.points(name)}
        for name in ("stage1_track", "stage1_track_predicted")
    )
    for level in (2, 4):
        assert (predicted[level] <= intra[level] + 2 * 4 + 16).all()
    assert (out / "bd_rate.json").is_file()
    check_films(out, found)


def check_films(out, found):
    """The page plays two of the videos: as they are, intra, predicted, and by the anchor."""
    parsed = Parsed((out / "report.html").read_text(encoding="utf-8"))
    (text,) = [text for text in parsed.texts["script"] if text.startswith("{")]
    films = json.loads(text)["player"]["films"]
    assert [film["name"] for film in films] == ["0000_still", "0002_shake"]
    titles = [found.curves[name].title for name in found.curves]
    for video, film in zip((0, 2), films, strict=True):
        original, intra, predicted, anchor = film["versions"]
        assert original["title"] == "original" and len(film["truth"]) == film["frames"] == 4
        assert [one["title"] in titles for one in (intra, predicted, anchor)] == [True] * 3
        for name, one in (("stage1_track", intra), ("stage1_track_predicted", predicted)):
            (point,) = [p for p in found.points(name) if p.quality == 4]
            assert one["bytes"] == point.pictures.num_bytes[video]
            assert len(one["sizes"]) == 4 and 0 < one["bytes"] - sum(one["sizes"]) < 40
        assert all(intra["keys"]) and predicted["keys"][0]
        assert anchor["bytes"] in [p.pictures.num_bytes[video] for p in found.points(ANCHOR)]
        tracks = {one["track"] for frame in film["truth"] for one in frame}
        assert tracks and None not in tracks
        found_by = original["found"]["track"]
        assert any(one["track"] is not None for frame in found_by for one in frame)
