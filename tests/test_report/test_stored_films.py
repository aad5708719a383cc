"""The page's films: every frame once, with its bytes and boxes."""

import base64
import io
import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from tests.test_report.page_parts import FRAMES, HOSTILE, film_report
from tests.test_report.test_page import Parsed
from vcm_mt.errors import ConfigError, MeasurementError
from vcm_mt.report.page import write_page
from vcm_mt.report.page.films import sheet
from vcm_mt.report.stored_films import Films


@pytest.fixture(scope="module")
def report():
    return film_report()


@pytest.fixture(scope="module")
def player(report, tmp_path_factory):
    path = write_page(report, tmp_path_factory.mktemp("films") / "report.html")
    parsed = Parsed(path.read_text(encoding="utf-8"))
    (text,) = [text for text in parsed.texts["script"] if text.startswith("{")]
    return json.loads(text)["player"]


def frame_of(film, version, number):
    data = base64.b64decode(version["picture"].split(",")[1])
    width, height = film["tile"]
    row, column = divmod(number, film["columns"])
    left, top = column * width, row * height
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "WEBP"
    return np.asarray(picture.crop((left, top, left + width, top + height)), dtype=float)


def test_every_frame_of_every_version_is_where_the_player_looks(report, player):
    for film, told in zip(report.films, player["films"], strict=True):
        assert told["frames"] == FRAMES and told["columns"] == 3
        every = [film.original, *(version.frames for version in film.versions)]
        for frames, version in zip(every, told["versions"], strict=True):
            for number, frame in enumerate(frames):
                difference = frame_of(told, version, number) - frame
                assert np.sqrt(np.mean(difference**2)) < 10


def test_bytes_keys_and_tracks_are_told_by_frame(report, player):
    film, told = report.films[1], player["films"][1]
    assert told["name"] == HOSTILE
    original, intra, predicted, anchor = told["versions"]
    assert original["bytes"] is None and anchor["sizes"] == []
    assert intra["sizes"] == list(film.versions[0].sizes) and all(intra["keys"])
    assert predicted["keys"] == [True, False, False, False, False, True, False]
    for number in range(FRAMES):
        truth, found = told["truth"][number], predicted["found"]["track"][number]
        assert [one["track"] for one in truth] == [one["track"] for one in found]
        assert [one["box"] for one in truth] == [list(one.bbox) for one in film.truth[number]]
    assert all(one["track"] is None for frame in intra["found"]["det"] for one in frame)
    assert [task["name"] for task in player["tasks"]] == ["track", "det"]


def test_a_page_without_films_has_no_player(report, tmp_path):
    page = write_page(replace(report, films=[]), tmp_path / "page.html")
    ids = [attributes.get("id") for _, attributes in Parsed(page.read_text()).elements]
    assert "player" not in ids and "films" not in ids


def test_the_last_row_may_be_short():
    frames = np.arange(5 * 2 * 3 * 3, dtype=np.uint8).reshape(5, 2, 3, 3)
    rows = sheet(frames)
    assert rows.shape == (4, 9, 3)
    assert (rows[2:, 3:6] == frames[4]).all() and (rows[2:, 6:] == 0).all()


def test_what_does_not_fit_is_refused(report):
    film = report.films[0]
    version = film.versions[0]
    for change in (
        {"truth": film.truth[1:]},
        {"versions": [replace(version, sizes=version.sizes[1:])]},
        {"versions": [replace(version, frames=version.frames[:, 1:])]},
        {"versions": [replace(version, found={"det": []})]},
    ):
        with pytest.raises(MeasurementError, match="0000_still"):
            replace(film, **change)
    with pytest.raises(MeasurementError, match="film is of"):
        replace(report, curves=report.curves[1:])


@pytest.mark.parametrize(
    ("wrong", "videos"), [({}, [1]), ({"of_videos": False}, [0]), ({"judges": {}}, [0])]
)
def test_films_are_of_videos_that_there_are(tmp_path, wrong, videos):
    data = {"of_videos": True, "judges": {"det": None}, "units": [[0]], "description": "one"}
    assert Films(tmp_path, SimpleNamespace(**data), [0]).videos == [0]
    with pytest.raises(ConfigError, match="films"):
        Films(tmp_path, SimpleNamespace(**data | wrong), videos)
