r"""Measure a trained codec on real bytes: bpp, the frozen tasks' COCO mAP, PSNR, MS-SSIM.

With receivers of stage 2, each picture is sent once, every receiver decodes the same bytes, and
every task of the config looks at each one's picture. Under torchrun the pictures are shared out
among the processes, which need one file system.

Examples:
    vcm-mt test configs/mini/stage1_det.py work_dirs/mini/stage1_det/q1
    vcm-mt test configs/mini/stage2_segm.py work_dirs/mini/stage1_det/q1 --receiver \
        work_dirs/mini/stage2_segm/q1/segm.safetensors \
        work_dirs/mini/stage2_human/q1/human.safetensors
    torchrun --nproc_per_node=2 -m vcm_mt test CONFIG CHECKPOINT --launcher pytorch
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from vcm_mt.cli import options as add
from vcm_mt.cli.command import Parser, command


def make_parser() -> Parser:
    """Parser of the command."""
    parser = Parser("test", __doc__)
    parser.add_argument("config", help="config file")
    parser.add_argument("checkpoint", type=Path, help="checkpoint, or its training's folder")
    add.add_quality(parser, "one quality; default the checkpoint's, of several the middle one")
    receiver = parser.add_argument(
        "--receiver", type=Path, nargs="+", default=[], metavar="FILE",
        help="files of stage 2's receivers, measured beside the shared one",
    )  # fmt: skip
    add.add_old_name(parser, "--receivers", receiver)
    task = add.add_task(parser, "which of the config's tasks judge receivers; default all")
    add.add_old_name(parser, "--tasks", task)
    add.add_refine(parser, "default CONFIG")
    add.add_refine_own_receivers(parser)
    add.add_out(parser, "write the figures to this JSON file", metavar="FILE")
    add.add_launcher(parser)
    add.add_config_options(parser)
    return parser


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = make_parser()
    options = parser.parse_args(arguments)
    options.quality = add.one_level(parser, options)
    if options.refine_own_receivers and not (options.refine and options.receiver):
        parser.error("--refine-own-receivers needs --refine and --receiver")
    return options


@command("start it again")
def main(arguments: Sequence[str] | None = None) -> None:
    """Encode, decode, run the tasks, print the figures."""
    options = _parse(arguments)
    from mmengine.logging import MMLogger

    from vcm_mt.apis.refined import refining
    from vcm_mt.checkpoint import training_checkpoint, zoo_entry
    from vcm_mt.files import check_output
    from vcm_mt.report.codec_figures import receiver_figures, system_figures
    from vcm_mt.training.config import load_config
    from vcm_mt.training.run import join_processes

    MMLogger.get_instance("vcm_mt", log_level="WARNING")
    join_processes(options.launcher)
    config = load_config(options.config, options.cfg_options)
    checkpoint = training_checkpoint(options.checkpoint)
    quality = options.quality or zoo_entry(options.checkpoint).quality
    if options.out:
        check_output(options.out)
    if not (options.receiver or options.refine or config.model.type == "ReceiverSystem"):
        system_figures(config, checkpoint, quality, options.out)
        return
    transmitter = None
    if options.refine:
        through = options.receiver if options.refine_own_receivers else []
        of = options.refine_config or config
        transmitter = refining(of, checkpoint, options.refine, receivers=through)
    receiver_figures(
        config, checkpoint, options.receiver, quality, options.task, transmitter,
        options.out,
    )  # fmt: skip
