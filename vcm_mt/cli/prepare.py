"""Make the embedded set: python tools/prepare_mini.py [--out data/mini] [--seed 0]."""

import argparse
from pathlib import Path

from vcm_mt.cli.command import command
from vcm_mt.datasets.mini import prepare


@command("start it again")
def main() -> None:
    """Make it, or find it made."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("data/mini"), help="folder to write to")
    parser.add_argument("--seed", type=int, default=0, help="another seed gives another set")
    options = parser.parse_args()
    fingerprint = prepare(options.out, options.seed)
    print(f"{options.out}: fingerprint {fingerprint}")
