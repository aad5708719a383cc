"""Every standard through its real codec.

VTM is not bundled: stand-ins take its place, see the fixture `vtm_files`.
"""

import hashlib
import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest

from tests.test_anchors.helpers import psnr, run
from tests.test_anchors.vtm import VTM_VARIABLES
from vcm_mt.anchors import AV1, AVIF, HEVC, JPEG, VVC, WebP, make_anchor
from vcm_mt.errors import AnchorError, MeasurementError

ASTRONAUT_BYTES = {22: 30386, 27: 18936, 32: 11501, 37: 6866, 42: 4070, 47: 2233}
SAME_ENCODER = "libvvenc 1.15.0-dev"
STANDARDS = ("vvc", "hevc", "av1", "jpeg", "webp", "avif", "vtm")


def luma(picture):
    return picture @ np.array([0.2126, 0.7152, 0.0722])


@pytest.fixture(scope="module", params=STANDARDS)
def anchor(request, vtm_files):
    with pytest.MonkeyPatch.context() as patch:
        for variable, path in zip(VTM_VARIABLES, vtm_files, strict=True):
            patch.setenv(variable, str(path))
        return make_anchor(request.param)


@pytest.fixture(scope="module")
def streams(anchor, picture):
    """The picture at each of the anchor's qualities."""
    return [anchor.encode(picture, quality) for quality in anchor.qualities]


@contextmanager
def one_processor():
    """Programs started here see one processor only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def header_values(stream, container, *names):
    """Numbers of the headers of a video stream, as FFmpeg's own parser reads them."""
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-f", container, "-i", "-"]
    command += ["-c", "copy", "-bsf:v", "trace_headers", "-f", "null", "-"]
    log = subprocess.run(command, input=stream, capture_output=True, check=True).stderr.decode()
    return [int(re.search(rf" {name} +[01]+ = (-?\d+)", log)[1]) for name in names]


class TestVVC:
    def test_known_sizes_and_fidelity(self, vvc, astronaut):
        exact = SAME_ENCODER in vvc.record.version
        for qp in (32, 42, 47):
            size = len(vvc.encode(astronaut, qp))
            assert size == pytest.approx(ASTRONAUT_BYTES[qp], rel=0 if exact else 0.01), qp
        decoded = vvc.decode(vvc.encode(astronaut, 32), 512, 512)
        assert psnr(luma(astronaut), luma(decoded)) > 36
        assert psnr(astronaut, decoded) > 33

    def test_record_names_what_decides_the_bytes(self, vvc):
        assert "VVenC" in vvc.record.name and vvc.record.preset == "medium"
        assert "libvvenc" in vvc.record.version and "ffmpeg" in vvc.record.version
        options = " ".join(vvc.record.options)
        for part in ("-qpa 0", "IntraQPOffset=0", "-threads 1", "BT.709"):
            assert part in options
        assert vvc.fingerprint == VVC().fingerprint != VVC("fast").fingerprint

    def test_record_tells_which_program_coded(self, vvc):
        program = Path(imageio_ffmpeg.get_ffmpeg_exe())
        digest = hashlib.sha256(program.read_bytes()).hexdigest()
        assert vvc.record.binary == f"{program.name} SHA-256 {digest}"
        assert replace(vvc.record, binary="another machine's").fingerprint == vvc.fingerprint

    def test_fingerprint_stays_what_measured_curves_are_keyed_by(self, vvc):
        version = "ffmpeg n9.0.2-17-g2a571b6068-20260930, libvvenc 1.15.0-dev"
        assert replace(vvc.record, version=version).fingerprint == (
            "98bb109d884e5edfff144783d01e1019aaf5e2367e015c55cfb2f28cac4af328"
        )

    def test_headers_are_what_the_stream_spends_on_them(self, vvc, astronaut):
        stream = vvc.encode(astronaut[:256, :256], 37)
        # Access unit delimiter 7, sequence 51 and picture parameter sets 16: not the 15 of the
        # adaptation parameter set, which holds the loop filter's coefficients.
        exact = SAME_ENCODER in vvc.record.version
        assert vvc.header_bytes(stream) == pytest.approx(74, abs=0 if exact else 6)

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


class TestEveryStandard:
    def test_odd_size_comes_back_whole(self, anchor, picture, streams):
        decoded = anchor.decode(streams[-1], 65, 257)
        assert decoded.shape == (65, 257, 3) and decoded.dtype == np.uint8
        assert psnr(picture, decoded) > 33
        # The last row and column are the picture's own, not padding or black.
        assert psnr(picture[-1], decoded[-1]) > 27 and psnr(picture[:, -1], decoded[:, -1]) > 27

    def test_qualities_go_from_low_rate_to_high(self, anchor, picture, streams):
        sizes = [len(stream) for stream in streams]
        fidelity = [psnr(picture, anchor.decode(stream, 65, 257)) for stream in streams]
        assert len(sizes) >= 6 and sizes == sorted(set(sizes)) and fidelity == sorted(fidelity)
        assert sizes[-1] > 3 * sizes[0] and 20 < fidelity[0] < 30

    def test_headers_are_a_part_and_hardly_grow(self, anchor, streams):
        headers = [anchor.header_bytes(stream) for stream in streams]
        assert all(0 < n < len(stream) for n, stream in zip(headers, streams, strict=True))
        # JPEG's Huffman tables grow with the picture.
        assert max(headers) - min(headers) <= (80 if isinstance(anchor, JPEG) else 4)

    def test_same_bytes_again_and_on_one_processor(self, anchor, astronaut):
        picture = astronaut[:257, 100:300]
        quality = anchor.qualities[2]
        with one_processor():
            alone = anchor.encode(picture, quality)
        assert alone == anchor.encode(picture, quality)

    def test_any_layout_in_memory_is_the_same_picture(self, anchor, picture, streams):
        turned = np.asfortranarray(picture)
        assert anchor.encode(turned, anchor.qualities[0]) == streams[0]

    def test_foreign_or_cut_streams_are_one_clear_error(self, anchor, streams, picture):
        other = JPEG() if not isinstance(anchor, JPEG) else WebP()
        foreign = other.encode(picture, 50)
        for damaged in (b"", streams[0][:10], foreign, b"not a stream at all" * 9):
            with pytest.raises(AnchorError):
                anchor.decode(damaged, 65, 257)
            with pytest.raises(AnchorError, match="cut or of another codec"):
                anchor.header_bytes(damaged)
        if not isinstance(anchor, HEVC):  # FFmpeg conceals what is missing there
            with pytest.raises(AnchorError):
                anchor.decode(streams[2][: len(streams[2]) * 2 // 3], 65, 257)

    def test_another_size_than_was_coded_is_refused(self, anchor, streams):
        with pytest.raises(AnchorError, match="one picture of 65x200"):
            anchor.decode(streams[0], 65, 200)

    def test_refuses_what_it_can_not_code(self, anchor, picture):
        for quality in (-1, 101, 30.5):
            with pytest.raises(MeasurementError, match="takes a .* of"):
                anchor.encode(picture, quality)
        with pytest.raises(MeasurementError, match="uint8"):
            anchor.encode(picture / 255, anchor.qualities[0])

    def test_side_by_side_gives_the_same(self, anchor, astronaut, tmp_path):
        pictures = [astronaut[i : i + 64, :80] for i in range(0, 192, 64)]
        quality = anchor.qualities[1]
        coded = run(anchor, pictures, quality, tmp_path, processes=3)
        for one, picture in zip(coded, pictures, strict=True):
            assert one.num_bytes == len(anchor.encode(picture, quality))


class TestVideo:
    @pytest.mark.parametrize("qp", [22, 37, 47])
    def test_streams_are_coded_at_the_qp_that_was_asked_for(self, vvc, astronaut, qp):
        picture = astronaut[:64, :64]
        names = ("init_qp_minus26", "slice_qp_delta", "cu_qp_delta_enabled_flag")
        start, delta, adaptive = header_values(HEVC().encode(picture, qp), "hevc", *names)
        assert 26 + start + delta == qp and not adaptive
        names = ("pps_init_qp_minus26", "sh_qp_delta")
        assert 26 + sum(header_values(vvc.encode(picture, qp), "vvc", *names)) == qp

    def test_hevc_has_no_wavefronts_which_hang_on_the_number_of_processors(self, astronaut):
        stream = HEVC().encode(astronaut, 42)
        assert header_values(stream, "hevc", "entropy_coding_sync_enabled_flag") == [0]

    def test_av1_is_a_still_picture_whose_quantiser_follows_the_crf(self, astronaut):
        anchor = AV1()
        found = []
        for crf in anchor.qualities:
            stream = anchor.encode(astronaut[:64, :64], crf)
            names = ("reduced_still_picture_header", "base_q_idx")
            still, index = header_values(stream, "obu", *names)
            assert still
            found.append(index)
        assert found == sorted(set(found), reverse=True)

    def test_records_name_the_encoders(self):
        assert HEVC().record.name == "HEVC (x265)" and "x265" in HEVC().record.version
        assert AV1().record.name == "AV1 (libaom)" and "libaom" in AV1().record.version
        assert HEVC("fast").fingerprint != HEVC().fingerprint
        with pytest.raises(MeasurementError, match="x265 preset 'lazy'"):
            HEVC("lazy")


class TestPillow:
    def test_records_name_the_libraries(self):
        assert "libjpeg" in JPEG().record.version and "libwebp" in WebP().record.version
        assert "aom" in AVIF().record.version
        assert all(codec().record.version.startswith("Pillow ") for codec in (JPEG, WebP, AVIF))

    def test_jpeg_headers_end_where_the_scan_begins(self, astronaut):
        stream = JPEG().encode(astronaut[:64, :64], 50)
        scan = stream.index(b"\xff\xda")  # its header has three components: 14 bytes
        assert JPEG().header_bytes(stream) == scan + 14 + 2

    def test_webp_headers_are_the_file_s_and_the_chunk_s(self, astronaut):
        for height in range(40, 48):  # of both parities
            stream = WebP().encode(astronaut[:height, :64], 50)
            size = int.from_bytes(stream[16:20], "little")
            assert WebP().header_bytes(stream) == len(stream) - size == 20 + size % 2

    def test_without_a_library_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setattr("PIL.features.check", lambda name: False)
        with pytest.raises(AnchorError, match="pillow>=11.3"):
            AVIF()
        with pytest.raises(AnchorError, match="has no WebP"):
            WebP()

    def test_a_picture_that_the_format_can_not_hold(self):
        with pytest.raises(AnchorError, match="1x16384 as WebP"):
            WebP().encode(np.zeros((1, 16384, 3), np.uint8), 50)
