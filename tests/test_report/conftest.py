"""The report that the tests of its page look at, and the page."""

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
