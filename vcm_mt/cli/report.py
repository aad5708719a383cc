"""Write the page of an experiment: curves, BD-rates and pictures in one HTML file.

The page needs no network. Reads what `vcm-mt curve` left in the folder. The same curves and
pictures go to TensorBoard.

Examples:
    vcm-mt report work_dirs/rp --title "Street scenes" --target det_mAP=-61.16
    vcm-mt report work_dirs/rp --figures pdf png
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command
from vcm_mt.errors import ConfigError


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("report", __doc__)
    parser.add_argument("folder", type=Path, help="an experiment's folder")
    parser.add_argument("--title", default="R-P curves", help="of the page")
    parser.add_argument("--summary", default="", help="a paragraph under the title")
    parser.add_argument("--target", nargs="+", default=[], metavar="METRIC=PERCENT",
                        help="BD-rates aimed at; the page says where one is missed")  # fmt: skip
    parser.add_argument("--notes", type=Path, metavar="FILE",
                        help="text file, a paragraph per empty line")  # fmt: skip
    add.add_resamples(parser)
    parser.add_argument("--figures", nargs="+", choices=("pdf", "png", "svg"), default=(),
                        help="plots for a paper, into the folder `figures`")  # fmt: skip
    return parser


def targets(entries: list[str]) -> dict[str, float]:
    """Percent by metric.

    Raises:
        ConfigError: For an entry that is not METRIC=PERCENT.
    """
    percents = {}
    for entry in entries:
        metric, _, percent = entry.partition("=")
        try:
            percents[metric] = float(percent)
        except ValueError:
            raise ConfigError(f"write METRIC=PERCENT, not {entry!r}") from None
    return percents


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
def main(arguments: Sequence[str] | None = None) -> None:
    """Write the page, and figures if asked for."""
    options = make_parser().parse_args(arguments)
    from vcm_mt.report.report import Wording, check_places, write_figures, write_report
    from vcm_mt.report.results import compared, read_results

    experiment = read_results(options.folder)
    notes = paragraphs(options.notes) if options.notes else []
    wording = Wording(options.title, options.summary, targets(options.target), notes)
    figures = options.folder / "figures"
    check_places(experiment, options.folder, figures, options.figures)
    rates, _ = compared(experiment, options.resamples)
    print(write_report(experiment, rates, options.folder, wording))
    for path in write_figures(experiment, rates, figures, options.figures):
        print(path)
