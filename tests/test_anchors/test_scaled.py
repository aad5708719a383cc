"""An anchor on pictures scaled down before coding and back after it."""

import numpy as np
import pytest
from PIL import Image

from vcm_mt.anchors import JPEG, VVC, ScaledAnchor, make_anchor, make_sweep
from vcm_mt.errors import MeasurementError


def psnr(one, other):
    return -10 * np.log10(np.mean((one / 255.0 - other / 255.0) ** 2))


def test_half_the_size_goes_there_and_back(astronaut, vvc):
    picture = astronaut[:255, :301]  # odd sizes
    anchor = ScaledAnchor(vvc, 0.5)
    data = anchor.encode(picture, 32)
    small = np.asarray(Image.fromarray(picture).resize((150, 128), Image.Resampling.LANCZOS))
    assert data == vvc.encode(small, 32)
    decoded = anchor.decode(data, 255, 301)
    assert decoded.shape == picture.shape
    assert len(data) < 0.6 * len(vvc.encode(picture, 32))
    assert psnr(decoded, picture) > 25
    assert anchor.header_bytes(data) == vvc.header_bytes(data)


def test_names_and_sweeps():
    name, anchor, qualities = make_sweep("vvc@scale=0.5")
    assert (name, qualities) == ("vvc-0.5", VVC.qualities)
    assert anchor.record.name == "VVC (VVenC) at 50%"
    name, anchor, qualities = make_sweep("jpeg@scale=0.25@10,20")
    assert (name, qualities) == ("jpeg-0.25", (10, 20))
    plain = make_anchor("jpeg")
    assert isinstance(plain, JPEG)
    half = make_anchor("jpeg@scale=0.5")
    assert len({plain.fingerprint, anchor.fingerprint, half.fingerprint}) == 3


@pytest.mark.parametrize("scale", ["1", "0", "-0.5", "2", "nan"])
def test_scales_lie_between_0_and_1(scale):
    with pytest.raises(MeasurementError, match="scale lies between 0 and 1"):
        make_anchor(f"jpeg@scale={scale}")


@pytest.mark.parametrize("entry", ["jpeg@scale=", "jpeg@scale=half", "jpeg@scale=0.5@x"])
def test_what_is_no_number_is_told(entry):
    with pytest.raises(MeasurementError, match=r"write jpeg@"):
        make_sweep(entry)
