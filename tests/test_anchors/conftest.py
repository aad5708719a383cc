"""Pictures, and codecs that several of these tests measure with."""

import sys

import imageio_ffmpeg
import pytest
from skimage import data

from tests.test_anchors.vtm import VTM_DECODER, VTM_ENCODER
from vcm_mt.anchors import VVC


@pytest.fixture(scope="module")
def vvc():
    return VVC()


@pytest.fixture(scope="module")
def astronaut():
    return data.astronaut()


@pytest.fixture(scope="module")
def picture(astronaut):
    """Of odd sizes, uint8 [65, 257, 3]."""
    return astronaut[:65, 100:357]


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
