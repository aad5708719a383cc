"""Where bitstreams lie: inside their folder, each picture's its own, wherever the pictures are."""

from pathlib import Path

import pytest

from vcm_mt.datasets.bitstreams import bitstream_path


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
    found = bitstream_path(Path("bits"), Path("data/train"), Path(picture))
    assert found == Path("bits", place.format(cwd=Path.cwd()))


def test_a_root_by_another_way_to_it():
    here = Path.cwd() / "data"
    assert bitstream_path(Path("bits"), here, Path("data/b.png")) == Path("bits/b.vcm")
