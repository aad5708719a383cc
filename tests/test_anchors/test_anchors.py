"""Every anchor through its real codec, and the cache on disk.

VTM alone is not bundled: its place is taken by two stand-ins, see `vtm_files`, but for one test of
the real binaries that runs where `VCM_MT_VTM_ENCODER` and its two fellows are set.
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from compressai.zoo.image import model_architectures, model_urls
from safetensors.torch import save_file
from skimage import data

from vcm_mt.anchors import (
    ANCHORS,
    AV1,
    AVIF,
    HEVC,
    JPEG,
    VTM,
    VVC,
    Anchor,
    AnchorRecord,
    CachedAnchor,
    CompressAIModel,
    WebP,
    code_pictures,
    make_anchor,
    make_sweep,
)
from vcm_mt.anchors.learned import ARCHITECTURES
from vcm_mt.anchors.yuv import rgb_to_yuv420p10, yuv420p10_to_rgb
from vcm_mt.errors import AnchorError, MeasurementError

ASTRONAUT_BYTES = {22: 30386, 27: 18936, 32: 11501, 37: 6866, 42: 4070, 47: 2233}
SAME_ENCODER = "libvvenc 1.15.0-dev"
STANDARDS = ("vvc", "hevc", "av1", "jpeg", "webp", "avif", "vtm")
VTM_VARIABLES = ("VCM_MT_VTM_ENCODER", "VCM_MT_VTM_DECODER", "VCM_MT_VTM_CFG")


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


VTM_ENCODER = """#!{python}
import argparse, subprocess, sys

print("\\nVVCSoftware: VTM Encoder Version 8.2 [Linux][GCC 9.3.0][64 bit] [SIMD=AVX2]")
if len(sys.argv) == 1:
    sys.exit(1)
parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("-c", "-i", "-b", "-o", "-q", "-wdt", "-hgt", "-fr", "-f"):
    parser.add_argument(name, required=True)
for name in ("InputBitDepth", "InternalBitDepth", "OutputBitDepth"):
    parser.add_argument("--" + name, required=True, choices=["10"])
parser.add_argument("--InputChromaFormat", required=True, choices=["420"])
parser.add_argument("--ConformanceWindowMode", required=True, choices=["1"])
options = parser.parse_args()
assert options.f == options.fr == "1"
if "Profile" not in open(options.c).read():
    sys.exit("Error parsing option Profile")
raw = open(options.i, "rb").read()
width, height = int(options.wdt), int(options.hgt)
assert len(raw) == 3 * width * height
command = {ffmpeg!r}, "-f", "rawvideo", "-pix_fmt", "yuv420p10le", "-s", f"{{width}}x{{height}}"
coding = "-c:v", "libvvenc", "-preset", "faster", "-qpa", "0", "-threads", "1", "-qp", options.q
command += "-i", "-", *coding, "-vvenc-params", "IntraPeriod=1:GOPSize=1:IntraQPOffset=0"
subprocess.run([*command, "-f", "vvc", options.b], input=raw, check=True)
"""

VTM_DECODER = """#!{python}
import argparse, subprocess

parser = argparse.ArgumentParser(allow_abbrev=False)
for name in ("-b", "-o"):
    parser.add_argument(name, required=True)
parser.add_argument("-d", required=True, choices=["10"])
options = parser.parse_args()
command = {ffmpeg!r}, "-xerror", "-f", "vvc", "-i", options.b, "-f", "rawvideo"
subprocess.run([*command, "-pix_fmt", "yuv420p10le", options.o], check=True)
"""


@pytest.fixture(scope="module")
def vtm_files(tmp_path_factory):
    """Stand-ins for VTM's encoder, decoder and configuration; not VTM.

    They take VTM's command line, refuse another, and code by the bundled FFmpeg. What is tested
    with them is how VTM is called, not what it does.
    """
    folder = tmp_path_factory.mktemp("vtm")
    files = [folder / name for name in ("EncoderAppStatic", "DecoderAppStatic", "intra.cfg")]
    names = {"python": sys.executable, "ffmpeg": imageio_ffmpeg.get_ffmpeg_exe()}
    files[0].write_text(VTM_ENCODER.format(**names))
    files[1].write_text(VTM_DECODER.format(**names))
    files[2].write_text("Profile : auto\n")
    for program in files[:2]:
        program.chmod(0o755)
    return files


@pytest.fixture(scope="module")
def picture(astronaut):
    """Of odd sizes, uint8 [65, 257, 3]."""
    return astronaut[:65, 100:357]


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

    def test_cache_passes_everything_on(self, anchor, picture, streams, tmp_path):
        cached = CachedAnchor(anchor, tmp_path)
        assert cached.qualities == anchor.qualities and cached.fingerprint == anchor.fingerprint
        assert cached.encode(picture, anchor.qualities[0]) == streams[0]
        assert cached.header_bytes(streams[0]) == anchor.header_bytes(streams[0])

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


class TestVTM:
    def test_record_holds_what_is_in_the_files_and_not_where_they_are(self, vtm_files, tmp_path):
        anchor = VTM(*vtm_files)
        assert anchor.record.version == "VTM 8.2" and "--ConformanceWindowMode=1" in (
            anchor.record.options
        )
        assert str(vtm_files[0].parent) not in str(anchor.record)
        elsewhere = [shutil.copy(path, tmp_path) for path in vtm_files]
        assert VTM(*elsewhere).fingerprint == anchor.fingerprint
        for path in elsewhere:
            with open(path, "a") as file:
                file.write("# changed\n")
            assert VTM(*elsewhere).fingerprint != anchor.fingerprint
            shutil.copy(vtm_files[elsewhere.index(path)], path)

    def test_leaves_nothing_behind(self, vtm_files, astronaut, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        anchor = VTM(*vtm_files)
        anchor.decode(anchor.encode(astronaut[:64, :64], 37), 64, 64)
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("absent", range(3))
    def test_says_which_variable_to_set(self, vtm_files, monkeypatch, absent):
        for variable in VTM_VARIABLES:
            monkeypatch.delenv(variable, raising=False)
        given = [path if i != absent else None for i, path in enumerate(vtm_files)]
        with pytest.raises(AnchorError, match=f"set {VTM_VARIABLES[absent]}"):
            VTM(*given)
        monkeypatch.setenv(VTM_VARIABLES[absent], "/nowhere/at/all")
        with pytest.raises(AnchorError, match="no file /nowhere/at/all"):
            VTM(*given)

    def test_a_program_that_fails_is_quoted(self, vtm_files, astronaut, tmp_path):
        encoder, decoder, _ = vtm_files
        cfg = tmp_path / "other.cfg"
        cfg.write_text("Level : 4.1\n")
        with pytest.raises(AnchorError, match="64x64 at QP 37 .exit 1.*\n.*\n?.*option Profile"):
            VTM(encoder, decoder, cfg).encode(astronaut[:64, :64], 37)
        with pytest.raises(AnchorError, match="is not VTM's encoder"):
            VTM(decoder, decoder, cfg)
        with pytest.raises(AnchorError, match="can not start"):
            VTM(cfg, decoder, cfg)

    @pytest.mark.skipif(VTM_VARIABLES[0] not in os.environ, reason="VTM is not bundled")
    def test_real_vtm(self, astronaut):
        anchor = VTM()
        picture = astronaut[:33, 100:165]
        streams = [anchor.encode(picture, qp) for qp in (47, 27)]
        assert 50 < anchor.header_bytes(streams[0]) < len(streams[0]) < len(streams[1])
        assert psnr(picture, anchor.decode(streams[1], 33, 65)) > 33
        with pytest.raises(AnchorError, match="VTM failed when decoding"):
            anchor.decode(streams[1][:40], 33, 65)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Small models of CompressAI's with random weights, two levels each; the second is finer."""
    folder = tmp_path_factory.mktemp("weights")

    def make(arch, suffix=".pth"):
        paths = {}
        for level, spread in ((1, 1), (4, 20)):
            torch.manual_seed(0)
            sizes = (8,) if arch.startswith("cheng") else (8, 12)
            model = model_architectures[arch](*sizes)
            with torch.no_grad():
                # Latents of this spread: about so many symbols to choose from.
                gain = spread / model.g_a(torch.rand(1, 3, 64, 64)).std()
                for parameter in model.g_a[-1].parameters():
                    parameter.mul_(gain)
            paths[level] = folder / f"{arch}-{level}{suffix}"
            state = model.state_dict()
            if suffix == ".safetensors":
                save_file(state, paths[level])
            else:
                torch.save({"state_dict": state}, paths[level])
        return paths

    return make


class TestCompressAI:
    @pytest.mark.parametrize(
        ("arch", "header", "height", "width"),
        [
            ("bmshj2018-factorized", 1, 65, 257),
            ("bmshj2018-hyperprior", 5, 65, 257),
            ("mbt2018-mean", 5, 65, 257),
            ("mbt2018", 5, 33, 41),  # slow: symbol by symbol
            ("cheng2020-anchor", 5, 33, 41),
        ],
    )
    def test_decodes_to_what_the_model_computes(
        self, weights, astronaut, arch, header, height, width
    ):
        picture = astronaut[:height, 100 : 100 + width]
        paths = weights(arch)
        anchor = CompressAIModel(arch, checkpoints=paths)
        assert anchor.qualities == (1, 4)
        sizes = []
        for level, path in paths.items():
            stream = anchor.encode(picture, level)
            decoded = anchor.decode(stream, height, width)
            assert decoded.shape == picture.shape and decoded.dtype == np.uint8
            state = torch.load(path, weights_only=True)["state_dict"]
            expected = reconstruction(model_architectures[arch].from_state_dict(state), picture)
            assert np.abs(decoded - expected).max() < 1 and decoded.std() > 1
            assert stream == anchor.encode(picture, level)
            assert anchor.header_bytes(stream) == header < len(stream)
            sizes.append(len(stream))
        assert sizes[0] < sizes[1]

    def test_bytes_do_not_hang_on_the_number_of_threads(self, weights, picture, tmp_path):
        anchor = CompressAIModel("mbt2018-mean", checkpoints=weights("mbt2018-mean"))
        before = torch.get_num_threads()
        try:
            streams = []
            for threads in (1, 2, 3):
                torch.set_num_threads(threads)
                streams.append(anchor.encode(picture, 4))
                coded = run(anchor, [picture[:64, :64]] * 3, 4, tmp_path, processes=3)
                assert torch.get_num_threads() == threads
            assert len(set(streams)) == 1 and len({one.num_bytes for one in coded}) == 1
        finally:
            torch.set_num_threads(before)

    def test_record_changes_with_the_weights(self, weights):
        arch = "bmshj2018-factorized"
        paths = weights(arch, ".safetensors")
        one = CompressAIModel(arch, checkpoints=paths)
        assert one.fingerprint == CompressAIModel(arch, checkpoints=paths).fingerprint
        swapped = {1: paths[4], 4: paths[1]}
        assert one.fingerprint != CompressAIModel(arch, checkpoints=swapped).fingerprint
        assert str(paths[1]) not in str(one.record)
        zoo = [CompressAIModel(arch, metric) for metric in ("mse", "ms-ssim")]
        assert "446d5c7f" in str(zoo[0].record) and zoo[0].fingerprint != zoo[1].fingerprint
        assert "compressai 1" in one.record.version and "torch" in one.record.version

    def test_reads_safetensors(self, weights, picture):
        paths = weights("bmshj2018-factorized", ".safetensors")
        anchor = CompressAIModel("bmshj2018-factorized", checkpoints=paths)
        assert anchor.decode(anchor.encode(picture, 4), 65, 257).shape == picture.shape

    def test_takes_the_zoo_s_weights_by_compressai_s_loader(
        self, weights, picture, tmp_path, monkeypatch
    ):
        arch = "mbt2018-mean"
        paths = weights(arch)
        own = CompressAIModel(arch, checkpoints=paths)
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        for level, path in paths.items():  # the zoo's are published with their tables
            state = torch.load(path, weights_only=True)["state_dict"]
            model = model_architectures[arch].from_state_dict(state)
            model.update()
            published = tmp_path / f"{arch}-{level}-01234567.pth.tar"
            torch.save(model.state_dict(), published)
            monkeypatch.setitem(model_urls[arch]["mse"], level, published.as_uri())
        zoo = CompressAIModel(arch)
        assert zoo.encode(picture, 4) == own.encode(picture, 4)
        assert len(list((tmp_path / "hub" / "checkpoints").iterdir())) == 1

    def test_foreign_or_damaged_streams_are_one_clear_error(self, weights, picture):
        for arch in ("bmshj2018-factorized", "mbt2018-mean"):
            anchor = CompressAIModel(arch, checkpoints=weights(arch))
            stream = anchor.encode(picture, 4)
            damaged = [b"", stream[:3], stream[:-2], b"\2" + stream[1:], JPEG().encode(picture, 9)]
            if arch == "mbt2018-mean":
                damaged += [stream[:1] + b"\xff" + stream[2:], stream[:40], stream[:4] + b"\1"]
            for data_ in damaged:
                with pytest.raises(AnchorError, match=arch):
                    anchor.decode(data_, 65, 257)

    def test_weights_that_can_not_be_had(self, weights, picture, tmp_path, monkeypatch):
        arch = "bmshj2018-factorized"
        monkeypatch.setenv("TORCH_HOME", str(tmp_path))
        monkeypatch.setitem(model_urls[arch]["mse"], 3, "http://127.0.0.1:9/none-01234567.pth.tar")
        with pytest.raises(AnchorError, match="could not be downloaded") as caught:
            CompressAIModel(arch).encode(picture, 3)
        for part in ("none-01234567", "checkpoints", str(tmp_path)):
            assert part in str(caught.value)
        with pytest.raises(AnchorError, match="no weights of level 2"):
            CompressAIModel(arch, checkpoints={2: tmp_path / "absent.pth"})
        foreign = tmp_path / "foreign.pth"
        foreign.write_bytes(b"not weights")
        for path in (foreign, weights("mbt2018-mean")[1]):
            with pytest.raises(AnchorError, match="holds no weights of bmshj2018-factorized"):
                CompressAIModel(arch, checkpoints={2: path}).encode(picture, 2)

    def test_refuses_what_the_zoo_lacks(self, weights, picture):
        with pytest.raises(MeasurementError, match="mbt2018-mean"):
            CompressAIModel("elic")
        with pytest.raises(MeasurementError, match="ms-ssim"):
            CompressAIModel("mbt2018", "lpips")
        with pytest.raises(MeasurementError, match="0 to 255"):
            CompressAIModel("mbt2018", checkpoints={256: "x"})
        assert CompressAIModel("cheng2020-attn").qualities == (1, 2, 3, 4, 5, 6)
        with pytest.raises(MeasurementError, match="takes a level of"):
            CompressAIModel("cheng2020-attn").encode(picture, 7)


def reconstruction(model, picture):
    """A model's own, 0..255: uncoded, from a picture padded as documented.

    An autoregressive model computes another one when it does not code: that one is coded.
    """
    height, width = picture.shape[:2]
    factor = model.downsampling_factor
    pad = ((0, -height % factor), (0, -width % factor), (0, 0))
    padded = np.pad(picture, pad, mode="edge").transpose(2, 0, 1)[None]
    x = torch.from_numpy(padded / 255).float()
    model.eval().update(force=True)
    with torch.no_grad():
        coded = hasattr(model, "context_prediction")
        out = model.decompress(**model.compress(x)) if coded else model(x)
    return out["x_hat"][0].permute(1, 2, 0).clamp(0, 1).numpy()[:height, :width] * 255


class TestNames:
    def test_names_make_their_anchors(self):
        made = [make_anchor(name) for name in ("vvc", "hevc", "av1", "jpeg", "webp", "avif")]
        assert [type(one) for one in made] == [VVC, HEVC, AV1, JPEG, WebP, AVIF]
        assert make_anchor("vvc:slow").record.preset == "slow"
        assert make_anchor("hevc:fast").record.preset == "fast"
        assert isinstance(make_anchor("compressai:mbt2018-mean"), CompressAIModel)
        assert len({one.fingerprint for one in made}) == len(made)

    @pytest.mark.parametrize(
        "spec", ["", "h264", "VVC", "jpeg:90", "vtm:/usr/bin/vtm", "compressai", ":vvc", "vvc2:x"]
    )
    def test_unknown_names_list_the_known(self, spec):
        with pytest.raises(MeasurementError, match="unknown anchor") as caught:
            make_anchor(spec)
        for known in ANCHORS:
            assert known in str(caught.value)

    @pytest.mark.parametrize("spec", ["vvc:", "vvc:lazy", "hevc:lazy", "compressai:elic"])
    def test_unknown_arguments_list_the_known(self, spec):
        with pytest.raises(MeasurementError, match="choose one of"):
            make_anchor(spec)

    @pytest.mark.parametrize(
        "entry", ["vvc@64", "jpeg@0,50", "av1@22,640", "compressai:mbt2018-mean@9"]
    )
    def test_a_quality_that_a_codec_does_not_take_is_told_before_anything_is_coded(self, entry):
        with pytest.raises(MeasurementError, match="takes a quality of"):
            make_sweep(entry)

    def test_own_weights_of_a_model_are_levels_in_the_order_of_their_files(self, weights):
        first, second = weights("bmshj2018-factorized").values()
        name, anchor, sweep = make_sweep(f"compressai:bmshj2018-factorized={first},{second}@2")
        assert (name, sweep) == ("compressai:bmshj2018-factorized", (2,))
        checkpoints = {1: first, 2: second}
        assert anchor.fingerprint == (
            CompressAIModel("bmshj2018-factorized", checkpoints=checkpoints).fingerprint
        )

    def test_every_model_of_the_zoo_with_weights_is_there(self):
        assert set(ARCHITECTURES) == set(model_urls)

    def test_importing_does_not_import_compressai(self):
        code = "import sys, vcm_mt.anchors; print({'torch', 'compressai'} & set("
        done = subprocess.run(
            [sys.executable, "-c", code + "sys.modules))"], capture_output=True, check=True
        )
        assert done.stdout == b"set()\n"


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

    def test_leftovers_of_killed_runs_go_once_they_are_old(self, pictures, tmp_path):
        run(Counting(), pictures[:1], 30, tmp_path)
        (entry,) = entries(tmp_path)
        old, young = entry.with_name("old.tmp"), entry.with_name("young.tmp")
        for path in (old, young, entry):
            path.touch()
        two_hours_ago = time.time() - 7200
        for path in (old, entry):
            os.utime(path, (two_hours_ago, two_hours_ago))
        run(Counting(), pictures[:1], 30, tmp_path)
        assert entry.exists() and young.exists() and not old.exists()

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
