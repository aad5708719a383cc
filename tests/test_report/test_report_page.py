"""The report page holds what it was given, is safe, and works in a browser without a network."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import warnings
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image
from skimage import data as photographs

from vcm_mt.curves.bd_rate import bd_rate
from vcm_mt.curves.rp import RPPoint
from vcm_mt.errors import MeasurementError
from vcm_mt.report.page import (
    Instance,
    Matrix,
    RateRow,
    Report,
    ReportCurve,
    Sample,
    Version,
    write_page,
)

HOSTILE = "</script><img src=x onerror=alert(1)> & %{x} {{ 7 * 7 }}"
HEIGHT, WIDTH = 200, 272  # padded to 256 x 320: 16 x 20 latent positions
MINUS = "\N{MINUS SIGN}"


# ---- a report -----------------------------------------------------------------------------------


def points(factor, estimated, **scores):
    return [
        RPPoint(
            quality,
            factor * 0.05 * 2**step,
            factor * 0.049 * 2**step if estimated else None,
            {metric: values[step] for metric, values in scores.items()},
        )
        for step, quality in enumerate((1, 2, 3, 4) if estimated else (47, 42, 37, 32))
    ]


def curves():
    det, segm = (20.0, 28.0, 34.0, 37.5), (15.0, 22.0, 28.0, 31.0)
    psnr = (27.1, 29.5, 31.8, 34.0)
    return [
        ReportCurve("s1", HOSTILE, "ours", points(1.0, True, det_mAP=det, segm_mAP=segm)),
        ReportCurve("s2", "stage 2", "ours", points(1.2, True, det_mAP=det, psnr=psnr)),
        ReportCurve(
            "vvc",
            "VVC (VVenC)",
            "anchor",
            points(2.0, False, det_mAP=det, segm_mAP=segm, psnr=psnr),
            "VVenC 1.12, -preset medium",
            "QP",
        ),
        ReportCurve("mse", "MSE", "learned", points(3.0, True, det_mAP=det), visible=False),
    ]


def rates():
    named = {curve.name: curve.points for curve in curves()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = {
            (name, metric): bd_rate(named["vvc"], named[name], metric)
            for name, metric in (("s2", "det_mAP"), ("s1", "det_mAP"), ("s1", "segm_mAP"))
        }
    rows = [RateRow(name, "vvc", bd) for (name, _), bd in found.items()]
    rows[1] = replace(rows[1], bd=replace(rows[1].bd, bootstrap=(-54.3, -45.6)))
    rows[2] = replace(rows[2], bd=replace(rows[2].bd, warnings=("thin: " + HOSTILE,)))
    return [*rows, RateRow("s2", "mse", bd_rate(named["mse"], named["s2"], "det_mAP"))]


def coded(pixels, quality):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "jpeg", quality=quality)
    return np.asarray(Image.open(file)), len(file.getvalue())


TRUTH = Instance(HOSTILE, None, (40, 50, 120, 110), [[40, 50, 120, 50, 120, 110, 40, 110]])


def sample(name, photograph, corner):
    pixels = photograph[corner : corner + HEIGHT, corner : corner + WIDTH]
    bits = np.zeros((16, 20))
    bits[:12, :17] = np.random.default_rng(0).gamma(2, 10, (12, 17))
    versions = []
    for curve in curves():
        if curve.name == "mse":
            continue
        for step, point in enumerate(curve.points):
            decoded, num_bytes = coded(pixels, 5 + 20 * step + (curve.role == "anchor"))
            found = [
                replace(TRUTH, label="cat", score=0.9, bbox=(42, 52, 118, 111), polygons=()),
                Instance("dog", 0.3 + 0.05 * step, (150, 20, 200, 80)),
            ]
            versions.append(
                Version(
                    curve.name,
                    point.quality,
                    "receiver " + HOSTILE if curve.name == "s2" else "",
                    8 * num_bytes / (HEIGHT * WIDTH),
                    num_bytes,
                    30.0 + step,
                    decoded,
                    {"det": found, "segm": [replace(found[0], polygons=TRUTH.polygons)]},
                    None if curve.role == "anchor" else bits * (1 + step),
                )
            )
    return Sample(name, pixels, [TRUTH], versions, {"det": [replace(TRUTH, score=0.99)]})


@pytest.fixture(scope="module")
def report():
    pictures = {
        "astronaut": (photographs.astronaut(), 30),
        HOSTILE: (photographs.chelsea(), 40),
        "coffee": (photographs.coffee(), 60),
    }
    return Report(
        "Report " + HOSTILE,
        "Summary " + HOSTILE,
        {"det_mAP": 41.3, "segm_mAP": 35.0},
        curves(),
        rates(),
        [sample(name, *picture) for name, picture in pictures.items()],
        [Matrix("On " + HOSTILE, ["a", "b"], ["c", "d"], [[30.0, None], [10.0, 20.0]], "mAP")],
        ["Falls short: " + HOSTILE],
        {"version": HOSTILE},
        ["make report", "echo " + HOSTILE],
    )


@pytest.fixture(scope="module")
def path(report, tmp_path_factory):
    return write_page(report, tmp_path_factory.mktemp("page") / "new" / "report.html")


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


# ---- without a browser --------------------------------------------------------------------------


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
    assert kinds == ["application/json", None, None, None, None, None]
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


def opened(uri):
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


# ---- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chromium():
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="needs Playwright: pip install -e '.[dev]'"
    )
    program = os.environ.get("CHROMIUM") or shutil.which("chromium")
    if not program:
        pytest.skip("needs Chromium: apt-get install chromium, or set CHROMIUM to one")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, path):
    """Open the page; at the end nothing was asked of a network and nothing complained."""
    problems = []

    def asked(request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            problems.append(request.url)

    @contextmanager
    def run(width=1280, height=800, **options):
        viewport = {"width": width, "height": height}
        context = chromium.new_context(viewport=viewport, reduced_motion="reduce", **options)
        page = context.new_page()
        page.on("request", asked)
        page.on("dialog", lambda dialog: (problems.append(dialog.message), dialog.dismiss()))
        page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(path.as_uri())
        page.wait_for_selector("#plot-0 .point")
        yield page
        context.close()
        assert not problems

    return run


def hovered(page, trace, point):
    """The hover label of a point."""
    spot = page.locator("#plot-0 .scatterlayer .trace").nth(trace).locator(".point").nth(point)
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator("#plot-0 .hoverlayer .hovertext")
    label.wait_for()
    return label.text_content()


def test_hover_tells_curve_level_rates_and_score(visit):
    with visit() as page:
        label = hovered(page, 0, 1)
        for part in (HOSTILE, "level 2", "0.1000 bpp (estimated 0.0980)", "28.00 detection mAP"):
            assert part in label
        page.mouse.move(0, 0)
        label = hovered(page, 2, 0)
        assert "VVC (VVenC)" in label and "QP 47" in label and "estimated" not in label


def test_curves_can_be_hidden_tabs_and_scale_chosen(visit):
    with visit() as page:
        traces = page.locator("#plot-0 .scatterlayer .trace")
        assert traces.count() == 3  # the fourth curve is not visible at first
        page.get_by_role("button", name="MSE").click()
        page.get_by_role("button", name="VVC (VVenC)").click()
        page.get_by_role("button", name="stage 2").click()
        assert traces.count() == 2
        kind = "document.querySelector('#plot-0').layout.xaxis.type"
        assert page.evaluate(kind) == "log"
        page.get_by_label("logarithmic rate").uncheck()
        assert page.evaluate(kind) == "linear"
        page.get_by_role("tab", name="detection").press("ArrowRight")
        assert page.locator("#plot-1 .trace").count() == 1 and page.locator("#plot-0").is_hidden()
        assert page.locator("#plot-1 .annotation").text_content() == "uncompressed: 35.0"
        page.locator("#plot-1").hover()
        tools = page.locator("#plot-1 .modebar-btn")
        said = tools.evaluate_all("all => all.map(one => one.dataset.title)")
        assert len(said) == 4 and not [text for text in said if "Cloud" in text or "link" in text]


def test_bd_rates_against_one_anchor_or_all(visit):
    with visit() as page:
        rows = page.locator("#rates tbody tr:visible")
        shown = {}
        for label in ("VVC (VVenC)", "MSE", "all of them"):
            page.locator("#anchor").select_option(label=label)
            shown[label] = rows.count()
            tables = page.locator("#rates h3:visible").count()
            assert tables == (1 if label == "MSE" else 2)
        assert shown == {"VVC (VVenC)": 4, "MSE": 1, "all of them": 5}  # one is a warning


def test_curves_follow_the_colour_scheme(visit):
    with visit(color_scheme="light") as page:
        paper = page.locator("#plot-0 .main-svg").first
        expect = pytest.importorskip("playwright.sync_api").expect
        expect(paper).to_have_css("background-color", "rgb(255, 255, 255)")
        page.emulate_media(color_scheme="dark")
        expect(paper).to_have_css("background-color", "rgb(27, 31, 37)")


def clip(page):
    """Where the left picture ends and the right one begins, in percent."""
    left, right = page.evaluate(
        "['left', 'right'].map(side =>"
        " getComputedStyle(document.querySelector(`#stage .${side}`)).clipPath)"
    )
    value = float(page.locator("#split").input_value())
    assert right == f"inset(0px 0px 0px {value:g}%)"
    assert left == f"inset(0px {100 - value:g}% 0px 0px)"
    return value


def test_slider_by_mouse_and_keys(visit):
    with visit() as page:
        assert clip(page) == 50
        page.locator("#stage").scroll_into_view_if_needed()
        box = page.locator("#stage").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + box["width"] / 2, middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.2 * box["width"], middle, steps=4)
        assert clip(page) == 20
        page.mouse.up()
        page.mouse.move(box["x"] + 0.9 * box["width"], middle)
        assert clip(page) == 20  # let go
        page.keyboard.press("ArrowRight")  # the drag left the focus on the slider
        page.locator("#split").press("ArrowRight")
        assert clip(page) == 22
        page.locator("#split").press("End")
        assert clip(page) == 100


def test_boxes_masks_and_threshold(visit):
    with visit() as page:
        rects = page.locator("#stage .left rect")
        assert page.locator("#stage rect").count() == 0
        page.get_by_label("box of detection").check()
        assert rects.count() == 2  # 0.9, and the middle level's 0.3 + 2 * 0.05
        page.locator("#threshold").press("ArrowRight")
        assert rects.count() == 1 and page.locator("#threshold-value").text_content() == "0.45"
        stage, box = page.locator("#stage").bounding_box(), rects.first.bounding_box()
        scale = stage["width"] / WIDTH
        assert box["x"] - stage["x"] == pytest.approx(42 * scale, abs=2)
        assert box["height"] == pytest.approx(59 * scale, abs=4)
        page.get_by_label("mask of segmentation").check()
        page.get_by_label("box of truth").check()
        assert page.locator("#stage .left path").count() == 1
        assert page.locator("#stage .left text.truth").text_content() == HOSTILE
        assert page.get_by_label("mask of detection").count() == 1  # the original's has masks


def test_heat_map_lies_over_the_padded_picture(visit):
    with visit() as page:
        heat = page.locator("#stage .left .heat")
        assert heat.is_hidden()
        page.get_by_label("show bits per latent position").check()
        stage, box = page.locator("#stage").bounding_box(), heat.bounding_box()
        assert box["width"] / stage["width"] == pytest.approx(320 / WIDTH, rel=0.01)
        assert box["height"] / stage["height"] == pytest.approx(256 / HEIGHT, rel=0.01)
        assert page.locator("#stage .right .heat").is_hidden()
        assert "not known for VVC (VVenC)" in page.locator("#heat-note").text_content()
        assert page.locator("#heat-scale .ticks span").count() == 5


def test_versions_and_the_nearest_rate(visit, report):
    rates = {v.quality: v.bpp for v in report.samples[1].versions if v.curve == "vvc"}
    with visit() as page:
        page.locator("#thumbs button").nth(1).click()
        picture = page.locator("#stage .left .picture")
        seen = {picture.get_attribute("src")}
        for level in (1, 4):
            page.get_by_role("group", name="Left side").get_by_label("Rate").select_option(
                str(level)
            )
            (left,) = [
                v.bpp for v in report.samples[1].versions if v.curve == "s1" and v.quality == level
            ]
            nearest = min(rates, key=lambda qp: abs(np.log(rates[qp] / left)))
            badge = page.locator("#right-badge").text_content()
            assert badge == f"VVC (VVenC), QP {nearest:g} · {rates[nearest]:.3f} bpp"
            seen.add(picture.get_attribute("src"))
        page.get_by_role("group", name="Left side").get_by_label("Codec").select_option("original")
        assert page.locator("#left-badge").text_content() == "original"
        seen.add(picture.get_attribute("src"))
        assert len(seen) == 4
        # Both sides can't follow each other: the one that was there first stays.
        left = page.get_by_role("group", name="Left side")
        left.get_by_label("Codec").select_option("stage 2 → receiver " + HOSTILE)
        left.get_by_label("Rate").select_option("nearest rate")
        right = page.get_by_role("group", name="Right side").get_by_label("Rate")
        assert right.input_value() in {f"{qp:g}" for qp in rates}
        rows = page.locator("#readout tr").all_text_contents()
        assert re.search(r"bytes[\d,]+ ?[\d,]+ \([+−]\d+\.\d %\)", rows[2])


def test_phone_has_no_sideways_scrolling_and_takes_touches(visit):
    with visit(390, 844, has_touch=True, is_mobile=True) as page:
        width = "document.scrollingElement.scrollWidth"
        assert page.evaluate(width) <= 390
        page.locator("summary").nth(1).click()  # the table of all points
        assert page.evaluate(width) <= 390
        page.locator("#stage").scroll_into_view_if_needed()
        box = page.locator("#stage").bounding_box()
        page.touchscreen.tap(box["x"] + 0.75 * box["width"], box["y"] + 40)
        assert clip(page) == pytest.approx(75, abs=1)


def test_commands_can_be_copied(visit):
    with visit() as page:
        page.get_by_role("button", name="copy").first.click()
        page.locator(".copy", has_text=re.compile("copied|selected")).wait_for()
