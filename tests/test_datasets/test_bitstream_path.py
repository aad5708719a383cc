"""Where bitstreams lie: inside their folder, each picture's its own, wherever the pictures are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT
from vcm_mt.apis.codec import Transmitter
from vcm_mt.datasets.bitstreams import LoadBitstream, bitstream_path, write_bitstreams
from vcm_mt.errors import DataError

CODEC = str(ROOT / "tests" / "golden" / "codec.pth")


@pytest.mark.parametrize(
    "picture, place",
    [
        ("data/train/a/b.png", "a/b.vcm"),
        ("data/train/../val/b.png", "_elsewhere{cwd}/data/val/b.vcm"),
        ("/disk2/b.png", "_elsewhere/disk2/b.vcm"),
        ("b.png", "_elsewhere{cwd}/b.vcm"),
    ],
)
def test_pictures_below_the_root_and_elsewhere(picture, place):
    actual = bitstream_path(Path("bits"), Path("data/train"), Path(picture))
    assert actual == Path("bits", place.format(cwd=Path.cwd()))


def test_a_root_by_another_way_to_it():
    here = Path.cwd() / "data"
    assert bitstream_path(Path("bits"), here, Path("data/b.png")) == Path("bits/b.vcm")


@pytest.fixture
def pictures(tmp_path):
    """One below the root and one elsewhere, of one name."""
    actual = [tmp_path / "set" / "a.png", tmp_path / "disk2" / "a.png"]
    for number, path in enumerate(actual):
        path.parent.mkdir()
        pixels = np.random.default_rng(number).integers(0, 256, (33, 65, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
    return actual


def test_pictures_on_another_disk_are_coded_and_read(pictures, tmp_path):
    root, bits = tmp_path / "set", tmp_path / "bits"
    # The second is listed twice.
    size = write_bitstreams(Transmitter.load(CODEC), [*pictures, pictures[1]], root, bits, True)
    files = [path for path in bits.rglob("*") if path.is_file()]
    assert len(files) == 4 and sum(path.stat().st_size for path in files) == size
    load = LoadBitstream(str(bits), str(root), CODEC)
    latents = [load({"img_path": str(path)})["y_hat"] for path in pictures]
    assert not np.array_equal(*latents)
    annotated = {"img_path": str(pictures[1]), "height": 65, "width": 33, "instances": []}
    with pytest.raises(DataError, match="disk2/a.png is 65x33, its annotation 33x65"):
        load(annotated)


def test_two_pictures_for_one_bitstream_are_named(pictures, tmp_path):
    other = pictures[0].with_suffix(".bmp")
    Image.open(pictures[0]).save(other)
    given = (Transmitter.load(CODEC), [*pictures, other], tmp_path / "set", tmp_path / "bits")
    with pytest.raises(DataError, match=r"set/a.png and .*set/a.bmp differ in their ending"):
        write_bitstreams(*given, False)
