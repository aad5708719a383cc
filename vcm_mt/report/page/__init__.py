"""The report as one interactive HTML file."""

from vcm_mt.report.page.data import (
    Film,
    FilmVersion,
    Instance,
    Matrix,
    RateRow,
    Report,
    ReportCurve,
    Sample,
    Version,
)
from vcm_mt.report.page.page import write_page

__all__ = [
    "Film",
    "FilmVersion",
    "Instance",
    "Matrix",
    "RateRow",
    "Report",
    "ReportCurve",
    "Sample",
    "Version",
    "write_page",
]
