"""The VVC anchor through the real encoder, and its cache on disk."""

import os
import shutil

import numpy as np
import pytest
from skimage import data

from vcm_mt.errors import AnchorError, MeasurementError
from vcm_mt.evaluation.anchors import VVC, Anchor, AnchorRecord, CachedAnchor, code_pictures
from vcm_mt.evaluation.anchors.yuv import rgb_to_yuv420p10, yuv420p10_to_rgb

ASTRONAUT_BYTES = {22: 30386, 27: 18936, 32: 11501, 37: 6866, 42: 4070, 47: 2233}
SAME_ENCODER = "libvvenc 1.15.0-dev"


@pytest.fixture(scope="module")
def vvc():
    return VVC()


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2))


def luma(picture):
    return picture @ np.array([0.2126, 0.7152, 0.0722])


class TestYUV:
    def test_grey_is_exact(self):
        grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
        grey = np.repeat(grey, 4, axis=1)
        np.testing.assert_array_equal(yuv420p10_to_rgb(rgb_to_yuv420p10(grey), 256, 4), grey)

    @pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (17, 203, 91)])
    def test_flat_colour_is_exact(self, colour):
        flat = np.full((6, 4, 3), colour, dtype=np.uint8)
        np.testing.assert_array_equal(yuv420p10_to_rgb(rgb_to_yuv420p10(flat), 6, 4), flat)

    def test_white_uses_the_full_range(self):
        raw = np.frombuffer(rgb_to_yuv420p10(np.full((2, 2, 3), 255, np.uint8)), "<u2")
        assert raw.tolist() == [1023] * 4 + [512, 512]

    def test_photograph_loses_little_and_does_not_shift(self, astronaut):
        back = yuv420p10_to_rgb(rgb_to_yuv420p10(astronaut), 512, 512)
        assert psnr(astronaut, back) > 41
        # The same siting both ways: mirroring the picture first or last is the same.
        mirrored = yuv420p10_to_rgb(rgb_to_yuv420p10(astronaut[::-1, ::-1]), 512, 512)
        assert np.abs(mirrored[::-1, ::-1].astype(int) - back).max() <= 1

    def test_refuses_odd_sizes_and_wrong_lengths(self):
        with pytest.raises(MeasurementError, match="even"):
            rgb_to_yuv420p10(np.zeros((3, 4, 3), np.uint8))
        with pytest.raises(MeasurementError, match="not one"):
            yuv420p10_to_rgb(b"\0" * 10, 2, 2)


class TestVVC:
    def test_known_sizes_and_fidelity(self, vvc, astronaut):
        exact = SAME_ENCODER in vvc.record.version
        for qp in (32, 42, 47):
            size = len(vvc.encode(astronaut, qp))
            assert size == pytest.approx(ASTRONAUT_BYTES[qp], rel=0 if exact else 0.01), qp
        decoded = vvc.decode(vvc.encode(astronaut, 32), 512, 512)
        assert psnr(luma(astronaut), luma(decoded)) > 36
        assert psnr(astronaut, decoded) > 33

    def test_odd_size_comes_back_whole(self, vvc, astronaut):
        picture = astronaut[:65, 100:357]
        decoded = vvc.decode(vvc.encode(picture, 22), 65, 257)
        assert decoded.shape == (65, 257, 3) and decoded.dtype == np.uint8
        assert psnr(picture, decoded) > 33
        # The last row and column are the picture's own, not padding or black.
        assert psnr(picture[-1], decoded[-1]) > 28 and psnr(picture[:, -1], decoded[:, -1]) > 28

    def test_record_names_what_decides_the_bytes(self, vvc):
        assert "VVenC" in vvc.record.name and vvc.record.preset == "medium"
        assert "libvvenc" in vvc.record.version and "ffmpeg" in vvc.record.version
        options = " ".join(vvc.record.options)
        for part in ("-qpa 0", "IntraQPOffset=0", "-threads 1", "BT.709"):
            assert part in options
        assert vvc.fingerprint == VVC().fingerprint != VVC("fast").fingerprint

    def test_refuses_what_it_can_not_code(self, vvc, astronaut):
        with pytest.raises(MeasurementError, match="preset"):
            VVC("placebo")
        with pytest.raises(MeasurementError, match="QP"):
            vvc.encode(astronaut, 64)
        with pytest.raises(MeasurementError, match="uint8"):
            vvc.encode(astronaut / 255, 32)
        with pytest.raises(MeasurementError, match="uint8"):
            vvc.encode(astronaut[..., 0], 32)
        with pytest.raises(AnchorError, match="2x2 at QP 32"):
            vvc.encode(astronaut[:2, :2], 32)

    def test_damaged_stream_or_wrong_size_is_one_clear_error(self, vvc, astronaut):
        stream = vvc.encode(astronaut[:64, :64], 37)
        with pytest.raises(AnchorError, match="ffmpeg failed when decoding"):
            vvc.decode(stream[: len(stream) // 3], 64, 64)
        with pytest.raises(AnchorError, match="does not hold one picture of 64x80"):
            vvc.decode(stream, 64, 80)

    def test_ffmpeg_without_libvvenc_says_what_to_install(self, monkeypatch, tmp_path):
        poor = tmp_path / "ffmpeg"
        poor.write_text('#!/bin/sh\necho "ffmpeg version 4.0" >&2\necho "Unknown encoder" >&2\n')
        poor.chmod(0o755)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(poor))
        with pytest.raises(AnchorError, match="lacks libvvenc") as caught:
            VVC()
        for part in ("imageio-ffmpeg", "IMAGEIO_FFMPEG_EXE", "Unknown encoder"):
            assert part in str(caught.value)
        monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "absent"))
        with pytest.raises(AnchorError, match="absent"):
            VVC()


class Counting(Anchor):
    """A codec that counts its encodings; its "stream" is the QP and the raw pixels."""

    def __init__(self, name="counting"):
        self.record = AnchorRecord(name, "1", "none", ())
        self.encoded = 0

    def encode(self, picture, qp):
        self.encoded += 1
        return bytes([qp]) + picture.tobytes()

    def decode(self, data, height, width):
        return np.frombuffer(data[1:], np.uint8).reshape(height, width, 3)


def entries(folder):
    return sorted(folder.rglob("*.bin"))


def run(anchor, pictures, qp, folder, **options):
    return list(code_pictures(anchor, pictures, qp, folder, progress=False, **options))


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
        assert not entries(tmp_path) and not list(tmp_path.rglob("*.tmp"))

    def test_interrupted_write_is_not_an_entry(self, pictures, tmp_path, monkeypatch):
        def no_replace(*_):
            raise OSError("disk full")

        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", no_replace)
            with pytest.raises(OSError, match="disk full"):
                run(Counting(), pictures[:1], 30, tmp_path)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]

    def test_progress_shows_the_count(self, pictures, tmp_path, capsys):
        list(code_pictures(Counting(), pictures, 30, tmp_path))
        assert "7/7" in capsys.readouterr().err

    def test_folder_may_vanish_between_runs(self, pictures, tmp_path):
        anchor = Counting()
        run(anchor, pictures[:1], 30, tmp_path / "cache")
        shutil.rmtree(tmp_path / "cache")
        run(anchor, pictures[:1], 30, tmp_path / "cache")
        assert anchor.encoded == 2

    def test_refuses_no_processes(self, pictures, tmp_path):
        with pytest.raises(MeasurementError, match="1 or more"):
            run(Counting(), pictures, 30, tmp_path, processes=0)
