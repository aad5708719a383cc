"""The page holds what it was given, is safe, and needs no network."""

import base64
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from tests.test_report.page_parts import HEIGHT, HOSTILE, WIDTH, curves
from vcm_mt.errors import MeasurementError
from vcm_mt.report.page import Matrix, Report, ReportCurve, write_page

MINUS = "\N{MINUS SIGN}"


class Parsed(HTMLParser):
    """Elements, and the text of each kind of them."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.elements, self.texts, self._open = [], {}, []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag):
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        for tag in self._open[-1:]:
            self.texts.setdefault(tag, []).append(data)

    def said(self, tag):
        return " ".join(" ".join(self.texts.get(tag, [])).split())


@pytest.fixture(scope="module")
def parsed(path):
    return Parsed(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def data(parsed):
    (text,) = [text for text in parsed.texts["script"] if text.startswith("{")]
    return json.loads(text)


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


def test_page_loads_nothing_from_anywhere(parsed):
    for _, attributes in parsed.elements:
        for name in ("src", "href", "srcset", "poster", "action"):
            target = attributes.get(name)
            assert target is None or target.startswith(("data:", "#")), (name, target)
    policies = [a["content"] for _, a in parsed.elements if "http-equiv" in a]
    assert len(policies) == 1 and policies[0].startswith("default-src 'none'; script-src 'sha256-")


def test_names_are_shown_and_never_run(parsed, data):
    assert not [a for _, a in parsed.elements if any(name.startswith("on") for name in a)]
    kinds = [attributes.get("type") for tag, attributes in parsed.elements if tag == "script"]
    assert kinds == ["application/json", *[None] * 6]
    for tag in ("title", "h1"):
        assert parsed.said(tag) == "Report " + HOSTILE
    assert HOSTILE in parsed.said("li") and HOSTILE in parsed.said("pre") + parsed.said("code")
    assert data["browser"]["samples"][1]["name"] == HOSTILE
    assert data["figures"][0]["data"][0]["name"].startswith("&lt;/script&gt;&lt;img")


def test_every_picture_is_embedded_once(path, report, data):
    page = path.read_text(encoding="utf-8")
    assets = data["browser"]["assets"]
    pictures = [pixels for s in report.samples for pixels in (s.original, *s.versions)]
    maps = 4  # one per level: the same stream's bits for every sample and receiver here
    assert len(assets) < len(pictures) + maps  # s1 and s2 decode to the same here: shared
    webp = [uri for uri in assets.values() if uri.startswith("data:image/webp")]
    assert page.count("data:image/webp") == len(webp)
    assert all(page.count(uri) == 1 for uri in assets.values())


def test_pictures_come_back(report, data):
    told = data["browser"]["samples"][0]
    assert (told["height"], told["width"]) == (HEIGHT, WIDTH)
    picture = opened(data["browser"]["assets"][told["original"]])
    assert picture.format == "WEBP"
    difference = np.asarray(picture, dtype=float) - report.samples[0].original
    assert np.sqrt(np.mean(difference**2)) < 6


def test_heat_maps_have_a_pixel_per_position_and_one_scale(data):
    versions = [v for v in data["browser"]["samples"][0]["versions"] if v["heat"]]
    low, high = versions[0]["heat"], versions[-1]["heat"]
    maps = [np.asarray(opened(data["browser"]["assets"][one["picture"]])) for one in (low, high)]
    assert [one.shape for one in maps] == [(16, 20, 4)] * 2
    assert (maps[1] >= maps[0])[..., 3].all() and maps[1][..., 0].sum() > maps[0][..., 0].sum()
    assert high["bits"] == pytest.approx(4 * low["bits"], rel=1e-3)


def test_headline_is_the_best_of_ours_with_its_interval(parsed):
    said = parsed.said("p")
    assert said.count(f"{MINUS}50.0 %") == 2  # detection and segmentation of the first curve
    assert f"{MINUS}40.0 %" not in said  # the other receiver's
    assert f"{MINUS}54.3 … {MINUS}45.6 %" in said


def test_table_holds_the_safeguards_and_the_warning(parsed):
    cells = parsed.said("td")
    assert f"{MINUS}40.0 %" in cells and "1.00" in cells
    assert "thin: " + HOSTILE in parsed.said("p")
    assert "akima" in parsed.said("small") and "pchip" in parsed.said("small")


def test_a_figure_per_score_of_the_curves_that_have_it(data):
    drawn = [[trace["meta"] for trace in figure["data"]] for figure in data["figures"]]
    assert drawn == [[0, 1, 2, 3], [0, 2], [1, 2]]  # det_mAP, segm_mAP, psnr
    assert [len(figure["layout"].get("shapes", [])) for figure in data["figures"]] == [1, 1, 0]


def test_a_report_of_curves_alone_has_no_empty_sections(tmp_path):
    page = write_page(Report("Curves", "", {}, curves()), tmp_path / "page.html")
    ids = [attributes.get("id") for _, attributes in Parsed(page.read_text()).elements]
    assert "curves" in ids and not {"rates", "pictures", "reproduce", "headline"} & set(ids)


def test_what_does_not_fit_is_refused(report):
    with pytest.raises(MeasurementError, match="nobody"):
        replace(report, rates=[replace(report.rates[0], anchor="nobody")])
    with pytest.raises(MeasurementError, match="picture is of"):
        replace(report, curves=report.curves[1:], rates=[])
    with pytest.raises(MeasurementError, match="name of its own"):
        replace(report, curves=[*report.curves, report.curves[0]])
    with pytest.raises(MeasurementError, match="role"):
        replace(report, curves=[*report.curves, ReportCurve("x", "x", "theirs", [])])
    with pytest.raises(MeasurementError, match="uint8"):
        replace(report.samples[0], original=report.samples[0].original[1:])
    with pytest.raises(MeasurementError, match="rows of"):
        Matrix("short", ["a"], ["b", "c"], [[1.0]], "mAP")
