"""``vcm-mt COMMAND``: finds the command's module, and imports no other one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module

from vcm_mt.version import __version__

#: Commands by group, each with a line for ``--help``. The module has the command's name.
GROUPS = {
    "Data": {
        "prepare": "make the embedded set, which needs no download",
        "download": "fetch the published weights that configs name, and verify them",
    },
    "Training": {
        "dry-run": "check data, weights, memory and one step of a training; writes nothing",
        "train": "train stage 1 of a codec, or a task network of the zoo",
        "finetune": "train a decoder for a task on the bitstream of a trained codec",
        "average": "average trainings that went on from one start",
    },
    "Coding": {
        "encode": "encode pictures and videos to .vcm files",
        "decode": "decode .vcm files to PNG",
        "export": "write one receiver to a small file",
        "info": "show what .vcm files hold",
    },
    "Measurement": {
        "test": "measure a codec: bpp, mAP, PSNR, MS-SSIM",
        "curve": "measure rate-performance curves of codecs and anchors",
        "bd-rate": "compute BD-rates of curves against an anchor",
        "ctc": "run MPEG's test conditions: anchor, codec, BD-rates, tables",
        "report": "write the page of an experiment",
        "experiment": "train and measure all that an experiment's config lists",
    },
}
COMMANDS = [name for group in GROUPS.values() for name in group]


def make_parser() -> argparse.ArgumentParser:
    """Parser of the command's name."""
    lines = [
        line
        for group, commands in GROUPS.items()
        for line in (
            f"\n{group.lower()}:",
            *(f"  {name:10} {about}" for name, about in commands.items()),
        )
    ]
    parser = argparse.ArgumentParser(
        prog="vcm-mt",
        usage="vcm-mt COMMAND [options]",
        description="Learned image coding for machines: train, fine-tune, code and measure.\n"
        + "\n".join(lines),
        epilog="`vcm-mt COMMAND --help` shows a command's options and examples.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="COMMAND", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"vcm-mt {__version__}")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, by default that of the command line; return its exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    name = make_parser().parse_args(given[:1] or ["--help"]).command
    module = import_module(f"vcm_mt.cli.{name.replace('-', '_')}")
    status: int = module.main(given[1:])
    return status
