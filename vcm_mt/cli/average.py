"""The mean of trainings that went on from one start with different seeds: often a better codec.

python tools/average.py work_dirs/mean/q3 work_dirs/a/q3 work_dirs/b/q3
"""

from __future__ import annotations

import argparse
from pathlib import Path

from vcm_mt.apis.average import average
from vcm_mt.cli.command import command


@command("start it again")
def main() -> int:
    """Average, and tell in one line what went wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder of the mean, as a training's")
    parser.add_argument("trainings", type=Path, nargs="+", help="folders or checkpoints of a level")
    options = parser.parse_args()
    print(average(options.trainings, options.out))
    return 0
