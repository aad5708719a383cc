"""What a data loader's worker says when the training process is gone."""

import subprocess
import sys

import pytest

_PROGRAM = """
import threading
from vcm_mt.datasets.worker import end_with_parent
end_with_parent(0)
def drop():
    try:
        raise {error}
    except Exception:  # as multiprocessing's thread that hands over batches
        import sys
        sys.excepthook(*sys.exc_info())
thread = threading.Thread(target=drop)
thread.start()
thread.join()
"""


@pytest.mark.parametrize(
    ("error", "told"),
    [
        ("ConnectionResetError(104, 'reset by peer')", False),
        ("EOFError()", False),
        ("ValueError('a bug')", True),
    ],
)
def test_a_dropped_connection_is_silent(error, told):
    program = _PROGRAM.format(error=error)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert ("Traceback" in done.stderr) == told, done.stderr
