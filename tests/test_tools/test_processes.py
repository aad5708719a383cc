"""Commands side by side."""

import os
import platform
import subprocess
import sys
import time

import pytest

from vcm_mt.errors import CommandError
from vcm_mt.training.processes import run_commands


def _python(code):
    return [sys.executable, "-c", code]


def test_lines_come_with_the_name_of_their_command(capsys):
    code = "print('eta 1'); print('noise')"
    run_commands({"a": _python(code), "b": _python(code)}, jobs=2, show="eta")
    assert sorted(capsys.readouterr().out.split("\n")) == ["", "[a] eta 1", "[b] eta 1"]


def test_a_failure_shows_its_end_and_stops_the_others():
    start = time.monotonic()
    commands = {
        "bad": _python("raise SystemExit('out of cheese')"),
        "long": _python("import time; time.sleep(60)"),
    }
    with pytest.raises(CommandError, match="(?s)bad failed with status 1.*out of cheese"):
        run_commands(commands, jobs=2)
    assert time.monotonic() - start < 30


def test_threads_are_shared(capsys):
    run_commands({"a": _python("import os; print(os.environ['OMP_NUM_THREADS'])")}, jobs=1000)
    assert capsys.readouterr().out == "[a] 1\n"


_FAULTS = """
import resource, sys, torch
from vcm_mt.training.processes import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(1 << 24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
cleared = faults()
keep_memory()
faults()
print(cleared, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_memory_that_is_kept_is_not_cleared_again():
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run(
        [sys.executable, "-c", _FAULTS], env=plain, capture_output=True, text=True, check=True
    )
    cleared, kept = map(int, done.stdout.split("\n")[-2].split())
    assert kept < cleared / 10
