"""The page of an experiment: curves, BD-rates and pictures in one HTML file without network.

python tools/report.py work_dirs/rp --title "Street scenes" --target det_mAP=-61.16
python tools/report.py work_dirs/rp --figures pdf png

Reads what tools/rp_curve.py left in the folder. The same curves and pictures go to TensorBoard.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vcm_mt.cli.command import command
from vcm_mt.curves.rp_file import RPFile
from vcm_mt.errors import ConfigError
from vcm_mt.report.report import Wording, check_places, write_figures, write_report
from vcm_mt.report.results import POINTS, compared


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="an experiment's folder")
    parser.add_argument("--title", default="R-P curves")
    parser.add_argument("--summary", default="", help="a paragraph under the title")
    parser.add_argument("--target", nargs="+", default=[], metavar="METRIC=PERCENT",
                        help="BD-rates aimed at; the page says where one is missed")  # fmt: skip
    parser.add_argument("--notes", type=Path, help="text file, a paragraph per empty line")
    parser.add_argument("--resamples", type=int, default=1000, help="draws of the intervals")
    parser.add_argument("--figures", nargs="+", choices=("pdf", "png", "svg"),
                        help="plots for a paper, into the folder `figures`")  # fmt: skip
    return parser.parse_args()


def targets(entries: list[str]) -> dict[str, float]:
    """Percent by metric.

    Raises:
        ConfigError: For an entry that is not METRIC=PERCENT.
    """
    found = {}
    for entry in entries:
        metric, _, percent = entry.partition("=")
        try:
            found[metric] = float(percent)
        except ValueError:
            raise ConfigError(f"write METRIC=PERCENT, not {entry!r}") from None
    return found


def paragraphs(path: Path) -> list[str]:
    """The paragraphs of a text file.

    Raises:
        ConfigError: When it can't be read, or is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"can't read the notes: {error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"the notes {path} are not UTF-8 text: save them as such") from error
    return text.strip().split("\n\n")


@command("start it again")
def main() -> int:
    """Write the page, and figures if asked for."""
    options = parse_args()
    found = RPFile.load(options.folder / POINTS)
    notes = paragraphs(options.notes) if options.notes else []
    wording = Wording(options.title, options.summary, targets(options.target), notes)
    figures = options.folder / "figures"
    check_places(found, options.folder, figures, options.figures or ())
    rates, _ = compared(found, options.resamples)
    print(write_report(found, rates, options.folder, wording))
    for path in write_figures(found, rates, figures, options.figures or ()):
        print(path)
    return 0
