"""Where figures go is looked at before the work for them; they are written, then told."""

import io
import json
import sys

import pytest

from tests.conftest import run_tool, small_options
from vcm_mt.cli import bd_rate, report
from vcm_mt.cli import curve as curve_command
from vcm_mt.curves.rp import RPPoint
from vcm_mt.curves.rp_file import RPCurve, RPFile
from vcm_mt.report import bd_rates, results


def curve(factor, role="ours"):
    points = [
        RPPoint(n, bpp * factor, None, {"det_mAP": score})
        for n, (bpp, score) in enumerate(((0.1, 20), (0.2, 30), (0.4, 40), (0.8, 45)), start=1)
    ]
    return RPCurve(points, "", {"role": role, "name": role})


@pytest.fixture
def folder(tmp_path):
    """An experiment's folder."""
    place = tmp_path / "rp"
    RPFile({"vvc": curve(1, "anchor"), "ours": curve(0.8)}).save(place / "rp_points.json")
    return place


@pytest.fixture
def run(capsys):
    """Runs a command's main in this process: its status, what it printed, and its errors."""

    def _run(tool, *arguments):
        status = tool.main(list(map(str, arguments)))
        told = capsys.readouterr()
        return status, told.out, told.err

    return _run


def refused(done, *words):
    """One line, and nothing else."""
    status, out, err = done
    assert status == 1 and not out
    assert len(err.splitlines()) == 1, err
    for word in words:
        assert word in err


@pytest.fixture
def places(tmp_path):
    """What cannot be written to."""
    (tmp_path / "a file").write_text("kept")
    (tmp_path / "a folder").mkdir()
    (tmp_path / "a link").symlink_to(tmp_path / "a folder")
    return {
        "a folder": tmp_path / "a folder",
        "a link": tmp_path / "a link",
        "below a file": tmp_path / "a file" / "x.json",
        "a device": "/dev/full",
        "too long a name": tmp_path / ("x" * 300),
    }


PLACES = ["a folder", "a link", "below a file", "a device", "too long a name"]


@pytest.mark.parametrize("place", PLACES)
def test_figures_of_bd_rate(run, folder, places, place, monkeypatch):
    monkeypatch.setattr(bd_rates, "rates_of_files", None)  # not before it is known
    points = folder / "rp_points.json"
    given = ("--anchor", f"{points}:vvc", "--test", points, "--out", places[place])
    refused(run(bd_rate, *given), "ConfigError", str(places[place]))


def test_what_cannot_be_written_in_the_end_is_printed_all_the_same(run, folder, monkeypatch):
    def fails(path, parts):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(bd_rate, "write_atomically", fails)
    points, out = folder / "rp_points.json", folder / "x.json"
    given = ("--anchor", f"{points}:vvc", "--test", points, "--out", out)
    status, printed, err = run(bd_rate, *given)
    assert status == 1 and "-20.00 %" in printed
    assert "No space left" in err and not out.exists()


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_a_terminal_without_the_tables_signs(folder, encoding, monkeypatch):
    points, out = folder / "rp_points.json", folder / "x.json"
    given = ["--anchor", f"{points}:vvc", "--test", points, "--out", out]
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding=encoding))
    assert bd_rate.main(list(map(str, given))) == 0
    assert b"-20.00 %" in printed.getvalue()
    assert json.loads(out.read_text())["ours"]["det_mAP"]["value"] == pytest.approx(-20)


@pytest.mark.parametrize("name", ["run_12:30", "a,b=c", "C:"])
def test_a_folder_with_signs_that_separate(run, tmp_path, name):
    points = tmp_path / name / "rp_points.json"
    RPFile({"vvc": curve(1), "a:b": curve(0.8)}).save(points)
    status, out, err = run(bd_rate, "--anchor", f"{points}:vvc", "--test", f"{points}:a:b")
    assert status == 0 and "-20.00 %" in out, err
    status, out, err = run(bd_rate, "--anchor", f"{points}:vvc", "--test", points)
    assert status == 0 and "| a:b" in out, err
    place = tmp_path / name
    assert curve_command.named(f"x={place},{place},none,{tmp_path}") == (
        "x", [str(place), str(place), "none", str(tmp_path)]
    )  # fmt: skip


@pytest.mark.parametrize("content", ["Stra\xdfe".encode("latin-1"), b"\xff\xfe\x00\x00", None])
def test_notes_that_cannot_be_read(run, folder, tmp_path, content):
    notes = tmp_path / "notes.txt"
    notes.mkdir() if content is None else notes.write_bytes(content)
    refused(run(report, folder, "--resamples", 0, "--notes", notes), "notes.txt")


@pytest.mark.parametrize("place", ["report.html", "report", "figures", "figures/rp_det_mAP.pdf"])
def test_a_page_that_cannot_be_written(run, folder, place, monkeypatch):
    monkeypatch.setattr(results, "compared", None)  # not before it is known
    path = folder / place
    if path.suffix:
        path.mkdir(parents=True)
    else:
        path.write_text("a file where a folder is to be")
    refused(run(report, folder, "--resamples", 0, "--figures", "pdf"), place)


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", b'{"size"'])
@pytest.mark.parametrize("name", ["truth.json", "ours-1.json"])
def test_kept_pictures_that_are_damaged(run, folder, name, content):
    place = folder / "samples" / "000000"
    place.mkdir(parents=True)
    (place / "truth.json").write_text('{"classes": {}, "objects": {}}')
    (place / name).write_bytes(content)
    refused(run(report, folder, "--resamples", 0), name, "run `vcm-mt curve` again")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[]", None])
def test_points_that_cannot_be_read(run, folder, content):
    path = folder / "rp_points.json"
    path.unlink()
    path.mkdir() if content is None else path.write_bytes(content)
    refused(run(report, folder), "rp_points.json")
    refused(run(bd_rate, "--anchor", f"{path}:vvc", "--test", path), "rp_points.json")


@pytest.mark.parametrize("place", PLACES[::2])
def test_figures_of_a_codec(mini, places, place, tmp_path):
    """There is not even a checkpoint: nothing was done before."""
    options = [f"{key}={value}" for key, value in small_options(mini).items()]
    done = run_tool("test", "configs/mini/stage1_det.py", str(tmp_path / "none.pth"),
                    "--out", str(places[place]), "--cfg-options", *options)  # fmt: skip
    refused((done.returncode, done.stdout, done.stderr), "ConfigError", str(places[place]))


@pytest.mark.parametrize("place", ["a file", "rp_table.md"])
def test_an_experiments_folder(mini, places, place, tmp_path):
    out = {"a file": tmp_path / "a file"}.get(place) or places.get(place, tmp_path / "rp")
    if place == "rp_table.md":
        (out / place).mkdir(parents=True)
    done = run_tool("rp_curve", "configs/mini/stage2_segm.py", "--anchor", "jpeg@10",
                    "--out", str(out), "--cfg-options",
                    f"test_dataloader.dataset.data_root={mini}",
                    *(f"evaluators.{task}.ann_file={mini}/annotations/val.json"
                      for task in ("det", "segm", "retina")))  # fmt: skip
    refused((done.returncode, done.stdout, done.stderr), "ConfigError", str(out))
    assert (tmp_path / "a file").read_text() == "kept"
