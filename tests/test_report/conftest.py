"""The report that the tests of its page look at, the page, and a browser to open it in."""

import os
import shutil
from contextlib import contextmanager

import pytest
from skimage import data as photographs

from tests.test_report.page_parts import HOSTILE, curves, rates, sample
from vcm_mt.report.page import Matrix, Report, write_page


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
