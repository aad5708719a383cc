"""A training that is killed at random moments loses no checkpoint and ends the same."""

import re

import pytest

from tests.conftest import run_tool


@pytest.mark.slow
def test_kills(kills=30):
    done = run_tool("benchmarks/kill_test", "--kills", str(kills))
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    (hits,) = re.findall(
        rf"{kills} kills, (\d+) of them in a checkpoint's write: 0 lost", done.stdout
    )
    assert int(hits) >= max(1, kills // 3)
