"""Files are there as a whole or not at all, whatever ends the writing."""

import errno
import os
import signal
import stat
import subprocess
import sys
from contextlib import nullcontext

import pytest

from vcm_mt import files
from vcm_mt.files import partial_of, remove_partials, write_atomically


def test_a_writer_that_fails_changes_nothing(tmp_path):
    def parts():
        yield b"half"
        raise ValueError("stopped")

    path = tmp_path / "a.vcm"
    path.write_bytes(b"before")
    with pytest.raises(ValueError, match="stopped"):
        write_atomically(path, parts())
    assert path.read_bytes() == b"before"
    write_atomically(path, [b"a", b"b"], durable=True)
    assert path.read_bytes() == b"ab"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("durable", [False, True])
def test_a_full_disk_changes_nothing(tmp_path, durable):
    path = tmp_path / "a.pth"
    path.write_bytes(b"before")
    partial_of(path).symlink_to("/dev/full")  # every write to it fails for want of room
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(path, [bytes(1 << 20)], durable)
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EIO])
def test_a_file_system_that_cannot_sync_folders(tmp_path, monkeypatch, number):
    """As some networks': that is no fault, but a broken disk is."""
    sync = os.fsync

    def fail_for_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, "fsync")
        sync(descriptor)

    monkeypatch.setattr(files.os, "fsync", fail_for_folders)
    broken = pytest.raises(OSError, match="fsync") if number == errno.EIO else nullcontext()
    with broken:
        write_atomically(tmp_path / "a", [b"a"], durable=True)


def test_on_windows_folders_are_not_opened(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.sys, "platform", "win32")
    monkeypatch.setattr(files.os, "open", refuse)
    write_atomically(tmp_path / "a", [b"a"], durable=True)
    assert (tmp_path / "a").read_bytes() == b"a"


_BESIDE = """
import sys
from pathlib import Path
from vcm_mt.files import write_atomically
write_atomically(Path(sys.argv[1]), [b"theirs"])
"""


def test_two_processes_may_write_the_same_file(tmp_path):
    path = tmp_path / "a.vcm"

    def parts():
        yield b"ou"
        subprocess.run([sys.executable, "-c", _BESIDE, str(path)], env=os.environ, check=True)
        assert path.read_bytes() == b"theirs"
        yield b"rs"

    write_atomically(path, parts())
    assert path.read_bytes() == b"ours"
    assert list(tmp_path.iterdir()) == [path]


_KILLED = """
import os, signal, sys
from pathlib import Path
from vcm_mt.files import write_atomically
def parts():
    yield b"x" * (1 << 20)
    os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), parts(), durable=True)
"""


def test_a_killed_writer_changes_nothing_and_leaves_what_can_be_cleaned(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(b"before")
    done = subprocess.run([sys.executable, "-c", _KILLED, str(path)], env=os.environ, check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    assert len(list(tmp_path.iterdir())) == 2
    remove_partials(tmp_path)
    assert list(tmp_path.iterdir()) == [path]
