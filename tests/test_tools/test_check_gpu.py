"""make check-gpu: each part within its time, and what fails is told at the end."""

import sys
import time

import pytest

from tests.conftest import ROOT, run_tool
from tests.elsewhere import Elsewhere

SMALL = {"arch": "MeanScaleHyperprior", "N": 8, "M": 12}


@pytest.fixture
def tool(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "tools" / "benchmarks"))
    import check_gpu

    yield check_gpu
    for name in ("check_gpu", "train_sides", "bench_codec"):
        sys.modules.pop(name, None)


def _python(code):
    return (sys.executable, "-u", "-c", code)


def test_a_part_that_fails_or_hangs_keeps_no_other_away(tool, tmp_path):
    bench, out = tmp_path / "bench.json", tmp_path / "out"
    old = tmp_path / "old.json"
    old.write_text("of an earlier run")
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; "
    child += "time.sleep(100)'])"
    start = time.monotonic()
    outcomes = tool.run_all(
        {
            "bad": tool.Part(1, _python("print('x'); raise SystemExit('out of cheese')")),
            "long": tool.Part(0.02, _python(child)),
            "good": tool.Part(
                1, _python(f"open({str(bench)!r}, 'w').write('new')"), [bench, old, tmp_path / "no"]
            ),
        },
        out,
        tmp_path / "logs",
    )
    assert time.monotonic() - start < 60
    assert outcomes["bad"].why == "status 1: out of cheese"
    assert outcomes["long"].why == "took longer than its 0.02 minutes"
    assert outcomes["good"].why == ""
    assert sorted(path.name for path in out.iterdir()) == ["bench.json", "check.md"]
    told = (out / "check.md").read_text()
    assert "| bad |" in told and "out of cheese" in told and "| good |" in told
    assert "x" in (tmp_path / "logs" / "bad.log").read_text()


def test_the_parts_take_25_minutes_together(tool):
    known = tool.parts()
    assert sum(part.minutes for part in known.values()) <= 25
    for part in known.values():
        scripts = [word for word in part.command if word.endswith(".py")]
        assert all((ROOT / script).is_file() for script in scripts)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of half precision without a GPU
@pytest.mark.cpu
def test_streams_go_from_each_device_to_the_other(tool, monkeypatch):
    context = {"arch": "JointAutoregressiveHierarchicalPriors", "N": 8, "M": 12}
    with Elsewhere():
        found = tool.streams(
            "cuda", [(1, 1), (35, 70)], {"zoo": tool.CODECS["mse_1"], "c": context}
        )
    assert set(found) == {"zoo, fp32", "zoo, bf16", "c, fp32", "c, bf16"}
    for count in found.values():
        assert count["symbols"] > 100
        assert count["different"] == 0
    decode = tool.Transmitter.decode

    def damaged(self, data):
        y_hat, size = decode(self, data)
        y_hat[0, 0, 0, 0] += 1
        return y_hat, size

    monkeypatch.setattr(tool.Transmitter, "decode", damaged)
    found = tool.streams("cpu", [(35, 70)], {"zoo": tool.CODECS["mse_1"]})
    assert all(count["different"] == 2 for count in found.values())


def test_a_step_in_both_orders_of_memory(tool):
    setting = tool.Setting(
        SMALL,
        {"detector": "configs/mini/tasks/faster_rcnn.py", "checkpoint": "zoo://faster_rcnn"},
        1,
        (64, 96),
    )
    seen = []
    prepare = tool.fast_detector._prepare
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tool.fast_detector, "_prepare", lambda *a: (seen.append(a[2]), prepare(*a)))
        found = tool.orders("cpu", setting, steps=2)
    assert set(seen) == set(tool.ORDERS.values())
    for name in tool.ORDERS:
        assert found[name]["seconds"] > 0
        assert found[name]["peak_bytes"] > 1 << 20


@pytest.mark.cpu
def test_without_a_gpu_it_says_so():
    done = run_tool("benchmarks/check_gpu")
    assert done.returncode == 1
    (told,) = done.stderr.strip().splitlines()
    assert "PyTorch sees no GPU here" in told
