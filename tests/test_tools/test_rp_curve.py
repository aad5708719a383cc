"""`vcm-mt curve`, `bd-rate` and `report`, as a user runs them, also by their names in tools/."""

import csv
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

from tests.conftest import ROOT, Tool, run_tool
from vcm_mt.curves.rp import Pictures, RPPoint
from vcm_mt.curves.rp_file import RPCurve, RPFile
from vcm_mt.evaluation.journal import Journal

CONFIG = "configs/mini/stage2_segm.py"


def options(mini):
    annotations = f"{mini}/annotations/val.json"
    return [
        *("--codec", "mse=zoo://mse_1,zoo://mse_3", "--codec-config", "configs/mini/stage1_det.py"),
        *("--anchor", "jpeg@10,40", "--task", "det"),
        *("--samples", "1", "--resamples", "20"),
        *("--cfg-options", f"test_dataloader.dataset.data_root={mini}"),
        *(f"evaluators.{task}.ann_file={annotations}" for task in ("det", "segm", "retina")),
    ]


@pytest.fixture(scope="module")
def measured(mini, tmp_path_factory):
    """A finished experiment."""
    folder = tmp_path_factory.mktemp("rp")
    done = run_tool("rp_curve", CONFIG, "--out", str(folder), *options(mini))
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def passes(folder):
    """The journals' lines by pass."""
    return {
        path.parent.name: sorted(
            line
            for file in path.parent.glob("pictures-*")
            for line in file.read_text().splitlines()
        )
        for path in folder.glob("points/*/points.json")
    }


def figures(folder):
    """All that was measured, without how and when."""
    told = json.loads((folder / "rp_points.json").read_text())
    return {name: told[name] for name in ("data", "originals", "curves")}


def test_points_hold_real_bytes_per_picture(measured):
    folder, text = measured
    found = RPFile.load(folder / "rp_points.json")
    assert list(found.curves) == ["mse", "jpeg"]
    for curve in found.curves.values():
        for point in curve.points:
            pictures = point.pictures
            assert len(pictures.num_bytes) == 4
            assert point.bpp == pytest.approx((8 * pictures.num_bytes / pictures.num_pixels).mean())
            assert (pictures.header_bytes > 0).all()
            assert (pictures.header_bytes < pictures.num_bytes).all()
            for metric, value in point.metrics.items():
                assert not pictures.knows(metric) or pictures.score(metric)[0] == value
            assert {"det_mAP", "psnr", "ms_ssim"} <= set(filter(pictures.knows, point.metrics))
            assert point.metrics["det_AP50"] > point.metrics["det_mAP"]
    assert {"det_mAP", "det_AP50"} <= set(found.originals)
    assert found.originals["det_mAP"] > 20
    assert {"torch", "vcm_mt", "command"} <= set(found.made_with)
    assert "detection mAP" in text


def test_results_in_short(measured):
    folder, _ = measured
    found = RPFile.load(folder / "rp_points.json").curves["mse"].points
    short = json.loads((folder / "results.json").read_text())
    assert [point["bpp"] for point in short["points"]["mse"]] == [point.bpp for point in found]
    assert short["points"]["jpeg"][0].keys() == {"quality", "bpp", "bpp_estimated", "metrics"}
    for task, curves in json.loads((folder / "bd_rate.json").read_text()).items():
        for curve, anchors in curves.items():
            for anchor, rate in anchors.items():
                assert short["bd_rate"][task][curve][anchor] == rate["value"]
                assert short["bd_rate_details"][task][curve][anchor] == rate
    assert (folder / "rp_curve.png").is_file()


def test_streams_on_disk_are_what_was_counted(measured):
    folder, _ = measured
    found = RPFile.load(folder / "rp_points.json").curves["jpeg"]
    for point in found.points:
        streams = folder.glob(f"streams/*/qp{point.quality}/*.bin")
        digest = 32
        assert sum(f.stat().st_size - digest for f in streams) == point.pictures.num_bytes.sum()


def test_table_has_the_points(measured):
    folder, _ = measured
    with (folder / "rp_points.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["curve"] for row in rows] == ["mse", "mse", "jpeg", "jpeg"]
    again = RPFile.load(folder / "rp_points.csv")
    whole = RPFile.load(folder / "rp_points.json")
    assert again.points("mse")[0].bpp == whole.points("mse")[0].bpp


def test_a_second_run_measures_nothing(measured, mini):
    folder, text = measured
    before = passes(folder)
    stamps = {path: path.stat().st_mtime_ns for path in folder.glob("points/*/*")}
    done = run_tool("rp_curve", CONFIG, "--out", str(folder), *options(mini))
    assert done.stdout == text
    assert passes(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.glob("points/*/*")} == stamps


@pytest.mark.parametrize("moment", [pytest.param("streams", marks=pytest.mark.slow), "mse"])
def test_a_killed_run_goes_on_where_it_was(measured, mini, tmp_path, moment):
    folder, _ = measured
    running = Tool("rp_curve", CONFIG, "--out", str(tmp_path), *options(mini))
    wanted = "streams/*/*/*.bin" if moment == "streams" else "points/*/pictures-0.jsonl"
    while not any(path.stat().st_size for path in tmp_path.glob(wanted)):
        assert running.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    running.kill()
    for path in tmp_path.glob("points/*/pictures-0.jsonl"):
        if not (path.parent / "points.json").is_file():
            path.write_bytes(path.read_bytes() + b'{"index": 3, "num_by')  # a torn line
    kept = {
        path: line
        for path in tmp_path.glob("points/*/pictures-0.jsonl")
        for line in path.read_bytes().splitlines()[:1]
        if line.endswith(b"}")
    }
    streams = {path: path.stat().st_mtime_ns for path in tmp_path.glob("streams/*/*/*.bin")}
    done = run_tool("rp_curve", CONFIG, "--out", str(tmp_path), *options(mini))
    assert done.returncode == 0, done.stderr
    assert figures(tmp_path) == figures(folder)
    for path, line in kept.items():
        assert path.read_bytes().startswith(line)
    assert {path: path.stat().st_mtime_ns for path in streams} == streams
    for path in tmp_path.glob("points/*"):
        entries = (path / "pictures-0.jsonl").read_text().splitlines()
        indexes = [json.loads(entry)["index"] for entry in entries]
        assert sorted(indexes) == [0, 1, 2, 3], "a picture was measured twice or never"


def test_two_processes_measure_the_same(measured, mini, tmp_path):
    folder, _ = measured
    done = subprocess.run(
        [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"),
            *("-m", "vcm_mt", "curve", CONFIG, "--launcher", "pytorch"),
            *("--out", str(tmp_path), *options(mini)),
        ],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert figures(tmp_path) == figures(folder)
    for place in tmp_path.glob("points/*"):
        for rank in (0, 1):
            entries = (place / f"pictures-{rank}.jsonl").read_text().splitlines()
            assert len(entries) == 2


def test_journal_forgets_only_the_torn_line(tmp_path):
    with Journal(tmp_path) as journal:
        journal.add({"index": 0, "x": 1})
        journal.add({"index": 1, "x": 2})
    path = tmp_path / "pictures-0.jsonl"
    path.write_bytes(path.read_bytes()[:-3])
    with Journal(tmp_path) as journal:
        assert journal.entries() == {0: {"index": 0, "x": 1}}
        journal.add({"index": 1, "x": 3})
    assert Journal(tmp_path).entries()[1] == {"index": 1, "x": 3}
    path.write_bytes(path.read_bytes().replace(b'{"index": 0', b'{"ind\xff\xff'))
    before = path.stat().st_ino, path.read_bytes()
    with Journal(tmp_path) as journal:
        assert journal.entries() == {1: {"index": 1, "x": 3}}
    assert (path.stat().st_ino, path.read_bytes()) == before  # what is whole is left alone


def test_bd_rate_of_files(measured, tmp_path):
    folder, _ = measured
    points = f"{folder}/rp_points.json"
    out = tmp_path / "bd.json"
    arguments = ("--metric", "psnr", "--resamples", "50", "--out", str(out))
    done = run_tool("bd_rate", "--anchor", f"{points}:jpeg", "--test", points, *arguments)
    assert done.returncode == 0, done.stderr
    figure = json.loads(out.read_text())["mse"]["psnr"]
    low, high = figure["bootstrap"]
    assert low < figure["value"] < high
    assert figure["without_headers"] != figure["value"]
    assert "2 points" in done.stderr  # a curve of two points is warned of
    assert f"{figure['value']:+.2f} %" in done.stdout


def test_bd_rate_without_pictures_and_of_what_is_no_figure(measured, tmp_path):
    folder, _ = measured
    told = json.loads((folder / "rp_points.json").read_text())
    for point in told["curves"]["mse"]["points"]:
        point["pictures"] = None
    (tmp_path / "bare.json").write_text(json.dumps(told))
    done = run_tool("bd_rate", "--anchor", f"{folder}/rp_points.json:jpeg",
                    "--test", f"{tmp_path}/bare.json:mse", "--metric", "psnr")  # fmt: skip
    assert done.returncode == 0, done.stderr
    for point in told["curves"]["mse"]["points"]:
        point["bpp"] = "much"
    (tmp_path / "bad.json").write_text(json.dumps(told))
    done = run_tool("bd_rate", "--anchor", f"{folder}/rp_points.json:jpeg",
                    "--test", f"{tmp_path}/bad.json:mse")  # fmt: skip
    assert done.returncode == 1
    assert "a figure that is none" in done.stderr


def test_damaged_entries_are_measured_again(measured, mini, tmp_path):
    folder, text = measured
    shutil.copytree(folder, tmp_path / "rp")
    for path in [*tmp_path.glob("rp/points/*/points.json"), *tmp_path.glob("rp/samples/*/*.json")]:
        path.write_bytes(path.read_bytes()[:50])
    done = run_tool("rp_curve", CONFIG, "--out", str(tmp_path / "rp"), *options(mini))
    assert done.returncode == 0, done.stderr
    assert done.stdout.replace(str(tmp_path / "rp"), str(folder)) == text
    assert figures(tmp_path / "rp") == figures(folder)


def test_pictures_that_cannot_be_judged_are_told(mini, tmp_path):
    own = shutil.copytree(mini, tmp_path / "set")
    picture = sorted((own / "val").iterdir())[1]
    whole = picture.read_bytes()
    picture.write_bytes(whole[:40])
    rest = options(own)[options(own).index("--cfg-options") :]
    given = ("--anchor", "jpeg@10", "--task", "det", "--out", str(tmp_path / "rp"))
    done = run_tool("rp_curve", CONFIG, *given, *rest)
    assert done.returncode == 1
    assert f"{picture} is not a readable picture" in done.stderr
    assert "Traceback" not in done.stderr
    picture.write_bytes(whole)
    truth = (own / "annotations" / "val.json").read_text().replace("000001", "another")
    (own / "other.json").write_text(truth)
    others = (f"evaluators.det.ann_file={own / 'other.json'}",)
    done = run_tool("rp_curve", CONFIG, *given, *rest, *others)
    assert done.returncode == 1
    assert "set the evaluator's ann_file" in done.stderr


def test_bd_rate_of_the_papers_tables():
    done = run_tool("bd_rate", "--anchor", "paper:vvc", "--test", "paper:trained")
    assert "-61.23 %" in done.stdout and "-58.53 %" in done.stdout


def test_curves_of_other_pictures_have_no_interval(tmp_path):
    def curve(factor, pictures):
        kept = [np.full(pictures, value) for value in (80_000, 900, 10)]
        return RPCurve(
            [
                RPPoint(q, factor * q, None, {"psnr": 20.0 + q}, Pictures(*kept))
                for q in (1, 2, 3, 4)
            ]
        )

    RPFile({"vvc": curve(2, 3), "ours": curve(1, 4)}).save(tmp_path / "rp.json")
    given = ("--anchor", f"{tmp_path}/rp.json:vvc", "--test", f"{tmp_path}/rp.json:ours")
    out = tmp_path / "rates.json"
    done = run_tool("bd_rate", *given, "--monotone", "front", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "were measured on [3, 4] pictures: there is no interval" in done.stderr
    rate = json.loads(out.read_text())["ours"]["psnr"]
    assert rate["value"] == pytest.approx(-50) and rate["bootstrap"] is None
    assert rate["monotone"] == "front"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--anchor", "paper", "--test", "paper:trained"), "name one of its curves"),
        (("--anchor", "paper:x", "--test", "paper:trained"), "no curve 'x'"),
        (("--anchor", "paper:vvc", "--test", "none.json"), "no R-P points at none.json"),
        (("--anchor", "paper:vvc", "--test", "setup.cfg"), "setup.cfg is not JSON"),
        (("--anchor", "paper:vvc", "--test", "paper", "--metric", "psnr"), "has no 'psnr'"),
    ],
)
def test_bd_rate_says_what_is_wrong(arguments, message):
    done = run_tool("bd_rate", *arguments)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments, message",
    [
        (("--anchor", "h261"), "vvc"),
        (("--anchor", "jpeg@10", "--task", "pose"), "no task 'pose'"),
        (("--curve", "ours=work_dirs/none"), "no stage 1 at work_dirs/none"),
        (
            (
                "--codec",
                "jpeg=zoo://mse_1",
                "--anchor",
                "jpeg@10",
                "--codec-config",
                "configs/mini/stage1_det.py",
                "--task",
                "det",
            ),
            "two codecs would share the curve jpeg",
        ),
    ],
)
def test_rp_curve_says_what_is_wrong(mini, tmp_path, arguments, message):
    data = options(mini)
    rest = data[data.index("--cfg-options") :]
    done = run_tool("rp_curve", CONFIG, "--out", str(tmp_path), *arguments, *rest)
    assert done.returncode == 1
    assert message in done.stderr and "Traceback" not in done.stderr


def test_report_is_one_page_with_the_pictures(measured):
    folder, _ = measured
    done = run_tool(
        "report", str(folder), "--resamples", "20", "--target", "det_mAP=-99", "--figures", "pdf"
    )
    assert done.returncode == 0, done.stderr
    page = (folder / "report.html").read_text()
    assert "mse" in page and "jpeg" in page
    assert "not measured against an anchor" in page  # the target is no curve's of ours
    assert page.count("data:image/webp") >= 5  # the original and four versions
    assert (folder / "figures" / "rp_det_mAP.pdf").read_bytes().startswith(b"%PDF")
    assert list((folder / "report").glob("events.*"))
