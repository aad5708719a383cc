"""RGB to 10-bit 4:2:0 and back."""

import numpy as np
import pytest

from tests.test_anchors.helpers import psnr
from vcm_mt.anchors.yuv import rgb_to_yuv420p10, yuv420p10_to_rgb
from vcm_mt.errors import MeasurementError


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
