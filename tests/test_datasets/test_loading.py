"""A picture that is damaged or missing is named, also out of a data loader's worker."""

import numpy as np
import pytest
from PIL import Image
from torch.utils.data import DataLoader

from vcm_mt.datasets.loading import LoadPicture
from vcm_mt.errors import DataError, told


@pytest.fixture
def picture(tmp_path):
    """Writes a picture of odd size in a format, cut after a share of its bytes."""

    def _write(ending, share):
        path = tmp_path / f"one.{ending}"
        pixels = np.random.default_rng(0).integers(0, 256, (65, 97, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        return path

    return _write


class _Pictures:
    def __init__(self, *paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return LoadPicture().transform({"img_path": str(self.paths[index])})["img"].copy()


@pytest.mark.parametrize("ending", ["png", "jpg", "bmp", "webp"])
@pytest.mark.parametrize("share", [0, 0.05, 0.5, 0.99])
def test_a_cut_picture_is_refused(picture, ending, share):
    with pytest.raises(DataError, match=f"one.{ending} is not a readable picture"):
        _Pictures(picture(ending, share))[0]


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_whole_one_is_read(picture, ending):
    assert _Pictures(picture(ending, 1))[0].shape == (65, 97, 3)


def test_a_workers_error_is_one_line(picture, tmp_path):
    for path in (picture("jpg", 0.5), tmp_path / "missing.png"):
        with pytest.raises(DataError) as caught:
            list(DataLoader(_Pictures(path), num_workers=1))
        line = told(caught.value)
        assert line.startswith(f"DataError: {path} is not a readable picture")
        assert len(line.splitlines()) == 1
