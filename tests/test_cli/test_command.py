"""Tools start whatever the environment says, print whatever a name holds, and end in one line."""

import ast
import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT
from vcm_mt.cli.command import command
from vcm_mt.errors import DataError, VCMError, naming

#: What ends like a command; bootstrap.py installs the package, main.py hands on to the others.
COMMANDS = [
    path
    for folder in ("vcm_mt/cli", "tools", "tools/benchmarks", "tools/dev")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "def main" in path.read_text() and path.stem not in ("bootstrap", "main")
]
TOOLS = [p.stem for p in sorted((ROOT / "tools").glob("*.py")) if "__main__" in p.read_text()]


def _tool(act):
    return command("start it again")(act)()


def _raises(error):
    def act():
        raise error

    return act


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_any_name_and_sign_is_printed(monkeypatch, encoding):
    screen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(screen, encoding, errors="strict"))
    assert _tool(lambda: print("caf\udce9.vcm \u221248 %")) == 0
    sys.stdout.flush()
    assert screen.getvalue().startswith(b"caf?.vcm ")
    assert screen.getvalue().rstrip().endswith(b"48 %")


@pytest.mark.parametrize(
    ("act", "told"),
    [
        (_raises(DataError("a.png is no picture")), "DataError: a.png is no picture"),
        (lambda: Path("/none/a").read_bytes(), "FileNotFoundError: [Errno 2] No such file"),
        (lambda: Path("/").read_bytes(), "IsADirectoryError"),
        (_raises(KeyboardInterrupt()), "StoppedError: stopped by Ctrl-C: start it again"),
        (
            lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(9),
            "StoppedError: stopped by SIGTERM: start it again",
        ),
        (lambda: "caf\udce9".encode(), "'caf\\udce9' is a name that is"),
        (_raises(MemoryError("all of it")), "StoppedError: memory ran out (all of it): free some"),
    ],
)
def test_what_ends_a_tool_is_one_line(capsys, act, told):
    assert _tool(act) == 1
    said = capsys.readouterr().err
    assert said.startswith(told)
    assert said.count("\n") == 1


def test_a_bug_keeps_its_traceback():
    with pytest.raises(KeyError):
        _tool(_raises(KeyError("bug")))


def test_a_reader_that_has_had_enough():
    code = (
        "from vcm_mt.cli.command import command\n"
        "main = command('')(lambda: [print('x' * 99) for _ in range(9999)] and None)\n"
        "raise SystemExit(main())"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 1
    assert said.splitlines() == ["BrokenPipeError: [Errno 32] Broken pipe"]


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: path.stem)
def test_every_tool_is_a_command_that_leaves_matplotlib_to_the_package(path):
    tree = ast.parse(path.read_text())
    (main,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "main")
    assert [ast.unparse(one).partition("(")[0] for one in main.decorator_list] == ["command"]
    imports = [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]
    assert not [line for line in imports if "matplotlib" in line]


@pytest.mark.parametrize(
    ("backend", "tools"),
    [("module://matplotlib_inline.backend_inline", TOOLS), ("no such one", []), ("tkagg", [])],
)
def test_tools_start_as_modules_and_draw_under_any_backend(backend, tools, tmp_path):
    """In one process, for importing PyTorch takes most of a start."""
    code = f"""
import contextlib, io, runpy, sys
for name in {tools}:
    sys.argv = [name, "--help"]
    with contextlib.redirect_stdout(io.StringIO()) as said, contextlib.suppress(SystemExit):
        runpy.run_module("tools." + name, run_name="__main__")
    assert said.getvalue().startswith("usage: "), name
from vcm_mt.report.plot import plot_rp_curves
from vcm_mt.curves.rp import RPPoint
points = [RPPoint(quality=q, bpp=q / 10, metrics={{"psnr": 30 + q}}) for q in (1, 2)]
plot_rp_curves({{"ours": points}}, "psnr", {str(tmp_path / "a.png")!r})
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, "MPLBACKEND": backend}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_a_backend_that_is_there_is_kept():
    code = "import vcm_mt, matplotlib; print(matplotlib.rcParams['backend'])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT, env={**os.environ, "MPLBACKEND": "svg"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.stdout.strip() == "svg"


@pytest.mark.parametrize("told", ["CUDA out of memory. Tried", "[enforce] can't allocate memory"])
def test_a_picture_is_not_blamed_for_too_little_memory(told):
    with pytest.raises(RuntimeError, match="memory") as caught, naming("street.jpg"):
        raise RuntimeError(told)
    assert not isinstance(caught.value, VCMError)
    with pytest.raises(DataError, match="street.jpg cannot be used"), naming("street.jpg"):
        raise RuntimeError("another reason")
