"""Command-line options that several tools share."""

from __future__ import annotations

import argparse

#: Precisions by their names on the command line.
AMP = ("auto", "bf16", "fp16", "fp32")


def add_amp(parser: argparse.ArgumentParser, default: str | None, what: str) -> None:
    """Add ``--amp``; without a value it means bf16, as it did when it took none.

    Args:
        parser: Of the tool.
        default: What holds without the option; ``None`` for what a config says.
        what: What runs in that precision, for ``--help``.
    """
    told = default or "the config's, which is auto"
    parser.add_argument(
        "--amp", nargs="?", const="bf16", default=default, choices=AMP,
        help=f"precision of {what}; auto is bf16 where this machine multiplies it natively and "
        f"fp32 elsewhere; default {told}",
    )  # fmt: skip
