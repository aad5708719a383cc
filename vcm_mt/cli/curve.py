r"""R-P curves: bits per pixel against what tasks score, on real bytes and native pixels.

python tools/rp_curve.py configs/mini/stage2_segm.py --out work_dirs/rp \
    --curve ours=work_dirs/bench_rp/stage1_det,work_dirs/bench_rp/stage2_segm \
    --quality 1 2 3 4 5 6 --codec-config configs/mini/stage1_det.py \
    --codec mse=zoo://mse_1,zoo://mse_2,zoo://mse_3,zoo://mse_4 \
    --anchor vvc jpeg hevc@22,27,32,37

A curve is the folder of a stage 1, then those of its receivers of stage 2; every receiver becomes
a curve of its own on the same bytes. Anchors are the names that --help lists, with a sweep of
qualities behind the @, or their own. All tasks of the config look at every picture in one pass.
What was measured is kept: a run that was stopped goes on, and one that is done is read.

Writes rp_points.json and .csv, bd_rate.json, results.json, rp_table.md, plots, and pictures for
tools/report.py. Under torchrun the pictures are shared out among the processes.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.dist import get_rank
from mmengine.logging import MMLogger

from vcm_mt.anchors import ANCHORS, make_sweep
from vcm_mt.apis.refined import refining
from vcm_mt.cli.command import command
from vcm_mt.errors import ConfigError
from vcm_mt.evaluation.curve_set import Curves, versions
from vcm_mt.evaluation.experiment import Experiment
from vcm_mt.report.results import check_places, write_results
from vcm_mt.training.config import at_level, check_inputs, load_config, qualities
from vcm_mt.training.finetune import find_stage1, level_dir
from vcm_mt.training.run import join_processes


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="test pictures, tasks and their metrics")
    parser.add_argument("--out", type=Path, required=True, help="folder for everything")
    parser.add_argument("--curve", nargs="+", default=[], metavar="NAME=STAGE1[,STAGE2...]")
    parser.add_argument("--codec", nargs="+", default=[], metavar="NAME=WEIGHTS[,WEIGHTS...]",
                        help="codecs as a config starts to train them")  # fmt: skip
    parser.add_argument("--codec-config", help="whose codec that is; default the config itself")
    parser.add_argument("--refine", type=int, default=0, metavar="STEPS",
                        help="curves NAME_refined too, see vcm_mt.models.refiner")  # fmt: skip
    parser.add_argument("--refine-config", help="of stage 1, whose tasks; default the config")
    parser.add_argument("--refine-receivers", action="store_true",
                        help="those tasks look through a curve's own receivers")  # fmt: skip
    parser.add_argument("--anchor", nargs="+", default=[], metavar="NAME[@Q,Q...]",
                        help=f"of {', '.join(ANCHORS)}")  # fmt: skip
    parser.add_argument("--quality", type=int, nargs="+", help="levels of the curves; default all")
    parser.add_argument("--tasks", nargs="+", help="default all of the config")
    parser.add_argument("--samples", type=int, default=4, help="pictures kept for the report")
    parser.add_argument("--resamples", type=int, default=1000,
                        help="draws of the bootstrap intervals, 0 for none")  # fmt: skip
    parser.add_argument("--launcher", choices=("none", "pytorch", "slurm"), default="none")
    parser.add_argument(
        "--cfg-options", nargs="+", action=DictAction, help="settings to override, key=value"
    )
    return parser.parse_args()


def named(entry: str) -> tuple[str, list[str]]:
    """Name and parts of ``NAME=A,B``, of which one that is there may have commas of its own.

    Raises:
        ConfigError: When it is not written so.
    """
    name, _, paths = entry.partition("=")
    if not (name and paths):
        raise ConfigError(f"write NAME=PATH[,PATH...], not {entry!r}")
    found, rest = [], paths.split(",")
    while rest:
        counts = range(len(rest), 1, -1)
        count = next((n for n in counts if Path(",".join(rest[:n])).exists()), 1)
        found.append(",".join(rest[:count]))
        rest = rest[count:]
    return name, found


def receivers_of(folders: list[str], level: int) -> list[Path]:
    """The files of stage 2 for a level (0: for all levels at once), one of each folder.

    Raises:
        ConfigError: When a folder has none.
    """
    found = []
    for folder in folders:
        place = level_dir(Path(folder), level)
        files = sorted(place.glob("*.safetensors"))
        if len(files) != 1:
            raise ConfigError(
                f"{place} holds {len(files)} receivers, not one: train it with "
                "tools/finetune_decoder.py, or leave that level out with --quality"
            )
        found += files
    return found


def measure(curves: Curves, options: argparse.Namespace, start: Config) -> None:
    """Measure everything that was asked for."""
    sweeps = [make_sweep(entry) for entry in options.anchor]  # refuses what it does not know
    path = options.refine_config or options.config
    refine = load_config(path) if options.refine else None
    for entry in options.curve:
        name, (stage1, *stage2) = named(entry)
        for level, checkpoint in find_stage1(Path(stage1), options.quality).items():
            files = receivers_of(stage2, level)
            curves.add_trained(name, checkpoint, files, options.quality)
            if options.refine:
                through = files if options.refine_receivers else []
                sender = refining(refine, checkpoint, options.refine, receivers=through)
                curves.add_trained(f"{name}_refined", checkpoint, files, options.quality, sender)
    for entry in options.codec:
        name, sources = named(entry)
        for number, source in enumerate(sources, start=1):
            curves.add_untrained(name, _started(start, source), number)
    for sweep in sweeps:
        curves.add_anchor(*sweep)


def _started(config: Config, source: str) -> Config:
    level = at_level(config, 1) if qualities(config) else config.copy()
    level.merge_from_dict({"model": {"codec": {"checkpoint": source}}})
    return level


def made_with() -> dict[str, Any]:
    """Versions and the command, to be kept with the points."""
    return {**versions(), "command": shlex.join(["python", *sys.argv])}


@command("the same command goes on: what was measured is kept")
def main() -> int:
    """Measure and report."""
    options = parse_args()
    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    join_processes(options.launcher)
    config = load_config(options.config, options.cfg_options)
    check_inputs(config, ["test"])
    check_places(options.out)
    start = load_config(options.codec_config) if options.codec_config else config
    experiment = Experiment(config, options.out, options.tasks)
    curves = Curves(experiment, options.samples)
    measure(curves, options, start)
    if not curves.found:
        raise ConfigError("nothing to measure: name --curve, --codec or --anchor")
    found = curves.file(made_with())
    if get_rank() == 0:
        text, _ = write_results(found, options.out, options.resamples)
        print("\n" + text)
        print(f"A page to look at: python tools/report.py {options.out}")
    return 0
