"""The page in a browser without a network."""

import re

import numpy as np
import pytest

from tests.test_report.page_parts import HEIGHT, HOSTILE, WIDTH


def hovered(page, trace, point):
    """The hover label of a point."""
    spot = page.locator("#plot-0 .scatterlayer .trace").nth(trace).locator(".point").nth(point)
    spot.scroll_into_view_if_needed()
    box = spot.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    label = page.locator("#plot-0 .hoverlayer .hovertext")
    label.wait_for()
    return label.text_content()


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
