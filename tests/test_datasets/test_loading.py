"""A picture that is damaged or missing is named, also out of a data loader's worker."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from vcm_mt.apis.pictures import read_picture
from vcm_mt.datasets.folder import PictureFolder
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


RAMP = np.random.default_rng(1).integers(0, 256, (33, 65, 3), dtype=np.uint8)


def _kinds():
    """Pictures as files have them, opaque or not, by name."""
    colour = Image.fromarray(RAMP)
    grey = Image.fromarray(RAMP[..., 0].astype(np.uint16) * 200)
    turned = Image.Exif()
    turned[0x0112] = 6
    solid = Image.merge("RGBA", [*colour.split(), Image.new("L", colour.size, 255)])
    return {
        "grey.png": (colour.convert("L"), {}),
        "bits.png": (colour.convert("1"), {}),
        "palette.png": (colour.convert("P"), {}),
        "opaque.png": (solid, {}),
        "inks.jpg": (colour.convert("CMYK"), {}),
        "inks.tif": (colour.convert("CMYK"), {}),
        "deep.png": (grey, {}),
        "deep.tif": (grey, {}),
        "turned.jpg": (colour, {"exif": turned}),
        "turned.png": (colour, {"exif": turned}),
    }


@pytest.mark.parametrize("name", list(_kinds()))
def test_a_set_takes_a_picture_as_the_codec_does(tmp_path, name):
    picture, options = _kinds()[name]
    picture.save(tmp_path / name, **options)
    loaded = LoadPicture().transform({"img_path": str(tmp_path / name)})
    sent = read_picture(tmp_path / name)
    pixels = torch.from_numpy(loaded["img"][..., ::-1].copy()).permute(2, 0, 1)[None].float() / 255
    torch.testing.assert_close(pixels, sent, rtol=0, atol=1e-7)
    assert loaded["img_shape"] == loaded["ori_shape"] == sent.shape[-2:]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("where", ["everywhere", "a part"])
def test_what_lies_under_transparency_is_not_taken(tmp_path, mode, where):
    alpha = Image.new("L", (65, 33), 0 if where == "everywhere" else 255)
    alpha.paste(0, (3, 4, 20, 20))
    colours = Image.fromarray(RAMP).convert("L" if mode == "LA" else "RGB")
    picture = Image.merge("LA" if mode == "LA" else "RGBA", [*colours.split(), alpha])
    if mode == "P":
        picture = picture.quantize(16)
    picture.save(tmp_path / "clear.png")
    for read in (read_picture, lambda path: LoadPicture().transform({"img_path": str(path)})):
        with pytest.raises(DataError, match="clear.png: the picture is partly transparent"):
            read(tmp_path / "clear.png")


def _annotated(path, width, height):
    return {"img_path": str(path), "width": width, "height": height, "instances": []}


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp"])
def test_boxes_of_pixels_that_were_turned(tmp_path, orientation, ending):
    path, exif = tmp_path / f"a.{ending}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RAMP).save(path, exif=exif)
    width, height = (65, 33) if orientation < 5 else (33, 65)
    if orientation in (2, 3, 4):  # the size is the same either way
        with pytest.warns(UserWarning, match=f"a.{ending} is turned .* EXIF orientation"):
            LoadPicture().transform(_annotated(path, width, height))
    else:
        LoadPicture().transform(_annotated(path, width, height))
    if orientation > 4:
        with pytest.raises(DataError) as error:
            LoadPicture().transform(_annotated(path, height, width))
        assert told(error.value) == (
            f"DataError: {path} is 33x65 by its EXIF orientation {orientation}, its annotation "
            "65x33"
        )


@pytest.mark.parametrize("size", [(64, 33), (33, 65), (130, 66)])
def test_an_annotation_of_another_size(tmp_path, size):
    Image.fromarray(RAMP).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="a.png is 65x33, its annotation"):
        LoadPicture().transform(_annotated(tmp_path / "a.png", *size))


@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_a_folder_tells_the_upright_size(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(RAMP).save(tmp_path / "a.jpg", exif=exif)
    folder = PictureFolder(data_root=str(tmp_path), pipeline=[LoadPicture()])
    info = folder.get_data_info(0)
    assert (info["height"], info["width"]) == folder[0]["img_shape"]
