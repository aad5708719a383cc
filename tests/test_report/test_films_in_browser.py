"""The player in a browser without a network."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.test_report.page_parts import FRAMES, HOSTILE, film_report
from vcm_mt.report.page import write_page


@pytest.fixture(scope="module")
def report():
    return film_report()


@pytest.fixture(scope="module")
def path(report, tmp_path_factory):
    return write_page(report, tmp_path_factory.mktemp("films") / "report.html")


def until(page, condition):
    """Wait until a condition holds; the page itself runs no tests."""
    for _ in range(100):
        if condition():
            return True
        page.wait_for_timeout(50)
    return False


def seen(page, pane):
    """What a pane's canvas shows, uint8 [H, W, 4]."""
    script = "n => document.querySelectorAll('#panes canvas')[n].toDataURL()"
    data = base64.b64decode(page.evaluate(script, pane).split(",")[1])
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGBA"))


def shows(page, pane, frame):
    """Whether a pane shows a frame, but for what WebP makes of it."""
    assert until(page, lambda: seen(page, pane).any())
    difference = seen(page, pane)[..., :3].astype(float) - frame
    return np.sqrt(np.mean(difference**2)) < 12


def test_all_versions_show_the_frame_of_the_slider(visit, report):
    film = report.films[0]
    every = [film.original, *(version.frames for version in film.versions)]
    with visit() as page:
        assert page.locator("#panes figure").count() == 4
        assert all(shows(page, n, frames[0]) for n, frames in enumerate(every))
        page.locator("#frame").press("End")
        assert page.locator("#frame-value").text_content() == f"{FRAMES} of {FRAMES}"
        assert all(shows(page, n, frames[-1]) for n, frames in enumerate(every))
        page.locator("#frame").press("ArrowRight")  # around
        assert page.locator("#frame-value").text_content() == f"1 of {FRAMES}"
        page.locator("#player").press("ArrowLeft")
        page.locator("#player").press("ArrowLeft")
        assert page.locator("#frame").input_value() == str(FRAMES - 2)


def test_it_plays_and_pauses(visit):
    with visit() as page:
        page.locator("#film-speed").select_option("6.25")
        play = page.locator("#play")
        play.click()
        assert play.text_content() == "pause"
        assert until(page, lambda: int(page.locator("#frame").input_value()) > 1)
        page.locator("#player").press(" ")
        assert play.text_content() == "play"
        before = page.locator("#frame").input_value()
        page.wait_for_timeout(400)
        assert page.locator("#frame").input_value() == before


def test_bars_mark_key_frames_and_seek(visit, report):
    predicted = report.films[0].versions[1]
    with visit() as page:
        charts = page.locator("#sizes .row svg")
        assert charts.count() == 3  # the original is not coded
        bars = charts.nth(1).locator(".key-frame, .follows")
        kinds = bars.evaluate_all("all => all.map(one => one.getAttribute('class'))")
        assert [kind == "key-frame" for kind in kinds] == list(predicted.keys)
        heights = bars.evaluate_all("all => all.map(one => Number(one.getAttribute('height')))")
        shares = np.divide(predicted.sizes, predicted.sizes[0])
        assert np.allclose(np.divide(heights, heights[0]), shares)
        assert charts.nth(2).locator("rect:not(.now)").count() == 0
        assert charts.nth(2).locator(".mean").count() == 1
        charts.nth(1).scroll_into_view_if_needed()
        box = charts.nth(1).bounding_box()
        page.mouse.click(box["x"] + box["width"] * 5.5 / FRAMES, box["y"] + 20)
        assert page.locator("#frame").input_value() == "5"
        cells = page.locator("#film-readout tbody tr").nth(2).locator("td").all_text_contents()
        assert cells[0] == f"{predicted.sizes[5]:,}, by itself"
        assert cells[1] == f"{predicted.num_bytes:,}"


def test_boxes_keep_their_tracks_colour(visit, report):
    film = report.films[0]
    with visit() as page:
        rects = page.locator("#panes figure").nth(2).locator("rect")
        colours = {}
        for frame in range(FRAMES):
            page.locator("#frame").fill(str(frame))
            told = rects.evaluate_all("all => all.map(one => getComputedStyle(one).stroke)")
            numbers = [one.track for one in film.versions[1].found["track"][frame]]
            for number, colour in zip(numbers, told, strict=True):
                assert colours.setdefault(number, colour) == colour
        assert len(set(colours.values())) == len(colours) > 1
        first = page.locator("#panes figure").first
        screen = first.locator(".screen").bounding_box()
        box = first.locator("rect").first.bounding_box()
        scale = screen["width"] / film.size[1]
        left = film.found["track"][-1][0].bbox[0]
        assert box["x"] - screen["x"] == pytest.approx(left * scale, abs=2)
        page.locator("#film-boxes").select_option("truth")
        assert rects.count() == len(film.truth[-1])
        page.locator("#film-boxes").select_option("none")
        assert rects.count() == 0


def test_versions_are_chosen_and_films_opened(visit, report):
    with visit() as page:
        versions = page.locator("#film-versions button")
        versions.nth(0).click()
        versions.nth(3).click()
        assert page.locator("#panes figure").count() == 2
        page.locator("#film-thumbs button").nth(1).click()
        assert page.locator("#film-thumbs button").nth(1).text_content() == HOSTILE
        assert page.locator("#panes figure").count() == 2  # the choice stays
        assert shows(page, 0, report.films[1].versions[0].frames[0])
        versions.nth(1).click()
        versions.nth(2).click()
        assert page.locator("#panes figure").count() == 1  # one is always there


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_two_beside_each_other(visit, scheme):
    with visit(390, 844, has_touch=True, is_mobile=True, color_scheme=scheme) as page:
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 390
        first, second = (page.locator("#panes figure").nth(n).bounding_box() for n in (0, 1))
        assert first["y"] == second["y"] and first["width"] > 150
        assert page.locator("#play").bounding_box()["height"] >= 24
