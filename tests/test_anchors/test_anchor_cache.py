"""The cache of streams on disk."""

import os
import time
from threading import Barrier

import numpy as np
import pytest

from tests.test_anchors.helpers import run
from vcm_mt.anchors import Anchor, AnchorRecord, CachedAnchor, code_pictures
from vcm_mt.errors import AnchorError, MeasurementError


class Counting(Anchor):
    """A codec that counts its encodings; its "stream" is the QP and the raw pixels."""

    qualities = (30,)
    quality_range = range(64)

    def __init__(self, name="counting"):
        self.record = AnchorRecord(name, "1", "none", ())
        self.encoded = 0

    def encode(self, picture, qp):
        self.encoded += 1
        return bytes([qp]) + picture.tobytes()

    def decode(self, data, height, width):
        return np.frombuffer(data[1:], np.uint8).reshape(height, width, 3)

    def header_bytes(self, data):
        return 1


def entries(folder):
    return sorted(folder.rglob("*.bin"))


class TestCache:
    @pytest.fixture
    def pictures(self, astronaut):
        return [astronaut[:33, i : i + 41] for i in range(7)]

    def test_second_run_is_byte_identical_and_codes_nothing(self, vvc, astronaut, tmp_path):
        pictures = [astronaut[:65, :257], astronaut[64:128, 64:128]]
        first = run(vvc, pictures, 37, tmp_path, processes=2)
        before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in entries(tmp_path)}
        second = run(vvc, pictures, 37, tmp_path)
        assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in entries(tmp_path)}
        for one, two, picture in zip(first, second, pictures, strict=True):
            assert one.num_bytes == two.num_bytes == len(vvc.encode(picture, 37))
            np.testing.assert_array_equal(one.picture, two.picture)
            assert one.picture.shape == picture.shape

    def test_damaged_entry_is_coded_again(self, vvc, astronaut, tmp_path, caplog):
        picture = astronaut[:64, :64]
        (good,) = run(vvc, [picture], 37, tmp_path)
        (path,) = entries(tmp_path)
        whole = path.read_bytes()
        for damaged in (b"", whole[:-5], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
            path.write_bytes(damaged)
            (again,) = run(vvc, [picture], 37, tmp_path)
            assert again.num_bytes == good.num_bytes and path.read_bytes() == whole
        assert sum("is damaged" in message for message in caplog.messages) == 3

    @pytest.mark.parametrize("processes", [1, 3])
    def test_order_is_kept_and_each_picture_coded_once(self, pictures, tmp_path, processes):
        anchor = Counting()
        for _ in range(2):
            coded = run(anchor, pictures, 30, tmp_path, processes=processes)
            assert [c.num_bytes for c in coded] == [1 + p.size for p in pictures]
            for one, picture in zip(coded, pictures, strict=True):
                np.testing.assert_array_equal(one.picture, picture)
        assert anchor.encoded == len(pictures)

    def test_resumes_after_an_interruption(self, pictures, tmp_path):
        anchor = Counting()
        for _ in zip(
            range(3), code_pictures(anchor, pictures, 30, tmp_path, progress=False), strict=False
        ):
            pass
        done = anchor.encoded
        assert 3 <= done < len(pictures)
        run(anchor, pictures, 30, tmp_path)
        assert anchor.encoded == len(pictures)

    def test_key_holds_codec_qp_shape_and_pixels(self, tmp_path):
        flat = np.zeros((4, 6, 3), np.uint8)
        cases = [
            (Counting(), flat, 30),
            (Counting(), flat, 31),
            (Counting("another"), flat, 30),
            (Counting(), flat.reshape(6, 4, 3), 30),
            (Counting(), flat + 1, 30),
        ]
        for count, (anchor, picture, qp) in enumerate(cases, start=1):
            CachedAnchor(anchor, tmp_path).encode(picture, qp)
            assert anchor.encoded == 1 and len(entries(tmp_path)) == count

    def test_failure_reaches_the_caller_and_leaves_nothing_behind(self, pictures, tmp_path):
        class Failing(Counting):
            def encode(self, picture, qp):
                raise AnchorError("no such luck")

        with pytest.raises(AnchorError, match="no such luck"):
            run(Failing(), pictures, 30, tmp_path, processes=2)
        assert not entries(tmp_path) and not list(tmp_path.rglob("*.part"))

    def test_interrupted_write_is_not_an_entry(self, pictures, tmp_path, monkeypatch):
        def no_replace(*_):
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", no_replace)
            with pytest.raises(OSError, match="disk full"):
                run(Counting(), pictures[:1], 30, tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_leftovers_of_killed_runs_go_once_they_are_old(self, pictures, tmp_path):
        run(Counting(), pictures[:1], 30, tmp_path)
        (entry,) = entries(tmp_path)
        old, young = entry.with_name("old.part"), entry.with_name("young.part")
        for path in (old, young, entry):
            path.touch()
        two_hours_ago = time.time() - 7200
        for path in (old, entry):
            os.utime(path, (two_hours_ago, two_hours_ago))
        run(Counting(), pictures[:1], 30, tmp_path)
        assert entry.exists() and young.exists() and not old.exists()

    def test_threads_that_store_the_same_picture_at_once(self, tmp_path):
        """A file being written is named by its process: threads must take turns."""
        meeting = Barrier(8)

        class Together(Counting):
            def encode(self, picture, qp):
                meeting.wait(10)
                return super().encode(picture, qp)

        for side in range(100, 130):
            pictures = [np.zeros((side, 500, 3), np.uint8)] * 8
            assert len(run(Together(), pictures, 30, tmp_path, processes=8)) == 8
        assert len(entries(tmp_path)) == 30 and not list(tmp_path.rglob("*.part"))

    def test_it_stands_for_its_anchor(self, tmp_path):
        anchor = Counting()
        cached = CachedAnchor(anchor, tmp_path)
        assert cached.qualities == anchor.qualities and cached.fingerprint == anchor.fingerprint
        assert cached.header_bytes(b"stream") == 1
        with pytest.raises(MeasurementError, match="uint8"):
            cached.encode(np.zeros((2, 2)), 30)

    def test_refuses_no_processes(self, pictures, tmp_path):
        with pytest.raises(MeasurementError, match="1 or more"):
            run(Counting(), pictures, 30, tmp_path, processes=0)
