"""Options that several commands share: each is defined once and means the same everywhere.

This module is imported for ``--help`` and imports no library beside argparse. Choices that a room
below defines are repeated here; a test compares them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, TextIO

#: Precisions by their names on the command line.
AMP = ("auto", "bf16", "fp16", "fp32")
#: How processes of one command find each other.
LAUNCHERS = ("none", "pytorch", "slurm")
#: Of :mod:`vcm_mt.curves.bd_rate` and :mod:`vcm_mt.curves.bootstrap`.
METHODS, MONOTONE = ("akima", "cubic", "pchip"), ("front", "fit", "mpeg")
RESAMPLES = 1000
#: Of :mod:`vcm_mt.anchors.yuv`: matrices, and ranges of luma.
MATRICES, RANGES = ("bt601", "bt709"), ("full", "limited")
MATRIX_HELP = "matrix of raw frames; default what the file's name says, or bt601"
RANGE_HELP = "range of raw frames; default what the file's name says, or limited"
#: The version in which old names of options stop working.
OLD_UNTIL = "0.3"


def notice(parser: argparse.ArgumentParser, old: str, new: str) -> None:
    """Print one line on stderr: the old form still works, and what replaces it."""
    print(
        f"{parser.prog}: {old} is deprecated and goes in version {OLD_UNTIL}: use {new}",
        file=sys.stderr,
    )


class _OldName(argparse.Action):
    """Does what the option's new name does, and says what that is."""

    def __init__(self, *, new: argparse.Action, **settings: Any) -> None:
        super().__init__(**settings)
        self.new = new

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        notice(parser, option, self.new.option_strings[-1])
        self.new(parser, namespace, values, option)


def add_old_name(parser: argparse.ArgumentParser, old: str, new: argparse.Action) -> None:
    """Keep the former name of an option for one version, with a notice on stderr."""
    same: dict[str, Any] = {"dest": new.dest, "nargs": new.nargs, "type": new.type}
    hidden: dict[str, Any] = {"default": argparse.SUPPRESS, "help": argparse.SUPPRESS}
    parser.add_argument(old, action=_OldName, new=new, **same, **hidden)


class _ConfigOptions(argparse.Action):
    """mmengine's ``DictAction``, imported when the option is given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: Any = None) -> None:
        from mmengine.config import DictAction

        for entry in values:
            if "=" not in entry:
                parser.error(f"{option} takes KEY=VALUE, not {entry!r}")
        DictAction(self.option_strings, self.dest)(parser, namespace, values, option)


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--cfg-options``."""
    parser.add_argument(
        "--cfg-options", nargs="+", action=_ConfigOptions, metavar="KEY=VALUE",
        help="settings of the config to override",
    )  # fmt: skip


def add_quality(parser: argparse.ArgumentParser, about: str) -> None:
    """Add ``--quality``, one or more qualities; see :func:`one_level`."""
    parser.add_argument("--quality", type=int, nargs="+", metavar="QUALITY", help=about)


def one_level(parser: argparse.ArgumentParser, options: argparse.Namespace) -> int | None:
    """The value of ``--quality`` for a command that takes one; ``None`` if none is given."""
    if options.quality is None:
        return None
    if len(options.quality) > 1:
        given = " ".join(map(str, options.quality))
        parser.error(f"--quality: this command takes one quality, not {given}")
    return options.quality[0]


def add_task(parser: argparse.ArgumentParser, about: str) -> argparse.Action:
    """Add ``--task``, one or more names of the config's tasks."""
    return parser.add_argument("--task", nargs="+", metavar="NAME", help=about)


def add_out(parser: argparse.ArgumentParser, about: str, **settings: Any) -> None:
    """Add ``-o``, ``--out``: where the result goes, a file or a folder."""
    parser.add_argument("-o", "--out", type=Path, help=about, **settings)


def size(text: str) -> tuple[int, int]:
    """Width and height, of "1280x720"."""
    width, _, height = text.partition("x")
    found = int(width), int(height)
    if min(found) < 1:
        raise ValueError(text)
    return found


def add_raw(parser: argparse.ArgumentParser) -> None:
    """Add ``--size``, ``--fps``, ``--bits``, ``--matrix`` and ``--range`` of raw frames."""
    told = "of raw frames; default what the file's name says, or"
    parser.add_argument("--size", type=size, metavar="WxH", help="width and height of raw frames")
    parser.add_argument("--fps", type=float, help=f"pictures per second {told} 25")
    parser.add_argument("--bits", type=int, help=f"bits of a sample {told} 8")
    parser.add_argument("--matrix", choices=MATRICES, help=MATRIX_HELP)
    parser.add_argument("--range", choices=RANGES, help=RANGE_HELP)


def raw_options(options: argparse.Namespace) -> Any:
    """What :func:`add_raw` was given, as :class:`vcm_mt.apis.raw.RawOptions`."""
    from vcm_mt.apis.raw import RawOptions

    full = None if options.range is None else options.range == "full"
    return RawOptions(options.size, options.fps, options.bits, options.matrix, full)


def check_piped(parser: argparse.ArgumentParser, file: TextIO) -> None:
    """Refuse to write bytes to a terminal."""
    if file.isatty():
        parser.error("-o - writes bytes: send them to a file or to another command")


def add_work_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--work-dir``."""
    parser.add_argument(
        "--work-dir", type=Path, metavar="DIR",
        help="folder for logs, checkpoints and receivers; default below work_dirs/",
    )  # fmt: skip


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Add ``--pictures``; see :func:`check_pictures`."""
    parser.add_argument(
        "--pictures", type=Path, nargs="+", default=[], metavar="DIR",
        help="a folder of pictures or films, or a film, to train on in place of the config's data, "
        'perhaps one to validate on; for tasks without annotations: people, and detectors with '
        'truth="own"',
    )  # fmt: skip


def check_pictures(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Refuse more folders than one to train and one to validate on."""
    if len(options.pictures) > 2:
        parser.error("--pictures takes one folder or two")


def add_resume(parser: argparse.ArgumentParser, about: str) -> None:
    """Add ``--resume``: go on where an earlier run of the same command stopped."""
    parser.add_argument("--resume", action="store_true", help=about)


def add_dry_run(parser: argparse.ArgumentParser) -> None:
    """Add ``--dry-run``."""
    parser.add_argument(
        "--dry-run", action="store_true",
        help="check data, weights, memory, disk and one step of the last one, and write nothing",
    )  # fmt: skip


def add_amp(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """Add ``--amp``; without a value it means bf16, as it did when it took none.

    Args:
        parser: Of the command.
        default: What holds without the option; ``None`` for what a config says.
        what: What runs in that precision, for ``--help``.
    """
    told = default or "the config's, which is auto"
    parser.add_argument(
        "--amp", nargs="?", const="bf16", default=default, choices=AMP,
        help=f"precision of {what}; auto is bf16 where this machine multiplies it natively and "
        f"fp32 elsewhere; default {told}",
    )  # fmt: skip


def add_device(parser: argparse.ArgumentParser) -> None:
    """Add ``--device``."""
    parser.add_argument("--device", help="cpu or cuda[:N]; default a GPU if there is one")


def add_launcher(parser: argparse.ArgumentParser) -> None:
    """Add ``--launcher``, and ``--local-rank``, which some launchers pass."""
    parser.add_argument(
        "--launcher", choices=LAUNCHERS, default="none",
        help="what started this process as one of several; default none",
    )  # fmt: skip
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0, help=argparse.SUPPRESS)


def add_refine(parser: argparse.ArgumentParser, default: str) -> None:
    """Add ``--refine`` and ``--refine-config``.

    Args:
        parser: Of the command.
        default: What holds without ``--refine-config``, for ``--help``.
    """
    parser.add_argument(
        "--refine", type=int, default=0, metavar="STEPS",
        help="refine each picture's latent through the frozen tasks, which takes seconds a picture",
    )  # fmt: skip
    parser.add_argument(
        "--refine-config", metavar="CONFIG",
        help=f"config of the transmitter's training, whose tasks are refined for; {default}",
    )  # fmt: skip


def add_refine_own_receivers(parser: argparse.ArgumentParser) -> None:
    """Add ``--refine-own-receivers``."""
    own = parser.add_argument(
        "--refine-own-receivers", action="store_true",
        help="with --refine, tasks look through the receivers that are measured",
    )  # fmt: skip
    add_old_name(parser, "--refine-receivers", own)


def add_resamples(parser: argparse.ArgumentParser) -> None:
    """Add ``--resamples``."""
    parser.add_argument(
        "--resamples", type=int, default=RESAMPLES, metavar="COUNT",
        help=f"draws of the bootstrap intervals, 0 for none; default {RESAMPLES}",
    )  # fmt: skip
