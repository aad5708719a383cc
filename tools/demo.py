"""The whole chain on the embedded set: stage 1, stage 2, measured and compared with VVC.

python tools/demo.py            minutes: four levels, trained briefly
python tools/demo.py --long     some three hours: six levels as the paper trains them, and more;
                                can be stopped and resumed
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmengine.logging import MMLogger

from vcm_mt.cli.command import command
from vcm_mt.datasets.mini import prepare
from vcm_mt.report.experiment import run

SHORT = ("configs/experiments/demo.py", Path("work_dirs/demo"))
LONG = ("configs/experiments/mini.py", Path("work_dirs/bench_rp"))


@command("the same command goes on")
def main() -> int:
    """Run the demo."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--long", action="store_true", help="the full experiment")
    options = parser.parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    config, folder = LONG if options.long else SHORT
    print("\n== the embedded set", flush=True)
    prepare(Path("data/mini"))
    run(config, folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
