"""Stage 2: the training of a receiver, at one level of a stage 1 after another."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.dist import is_main_process

from vcm_mt.checkpoint import find_checkpoint, list_checkpoints, read_record
from vcm_mt.errors import ConfigError
from vcm_mt.training.config import check_inputs, default_work_dir
from vcm_mt.training.dry_run import DryRun, dry_run
from vcm_mt.training.finetune import for_tasks, receiver_name, use_bitstreams, use_pictures
from vcm_mt.training.levels import find_stage1, level_dir
from vcm_mt.training.run import join_processes, train
from vcm_mt.training.work_dir import own_work_dirs
from vcm_mt.version import __version__

#: Codes the training set of a config: (config, checkpoint, root, folder, mirrored) -> bytes; see
#: :func:`vcm_mt.datasets.bitstreams.write_bitstreams`.
CodeSet = Callable[[Config, Path, Path, Path, bool], int]
#: Writes a receiver's file: (checkpoint, file, record of its training).
Save = Callable[[Path, Path, dict[str, Any]], None]


@dataclass(frozen=True)
class ReceiverTraining:
    """What is trained, and where it goes.

    Attributes:
        config: Of stage 2, for these tasks alone; see :func:`vcm_mt.training.finetune.for_tasks`.
        tasks: Names of the tasks that the receiver serves.
        levels: Checkpoints of stage 1 by quality level; by 0 the one of all levels.
        work_dir: Folder above those of the levels.
        rank: Of a LoRA receiver; 0 for a full one.
        depth: Residual blocks of the latent adapter; 0 for none.
        pictures: Folders to train and to validate on in place of the config's data.
        bitstreams: Folder for the coded training set, ``True`` for one below the work dir;
            ``None`` trains through the encoder.
    """

    config: Config
    tasks: Sequence[str]
    levels: dict[int, Path]
    work_dir: Path
    rank: int = 0
    depth: int = 0
    pictures: Sequence[Path] = ()
    bitstreams: Path | bool | None = None

    @property
    def name(self) -> str:
        """What the receiver is called."""
        return receiver_name(self.tasks)

    def file(self, quality: int) -> Path:
        """Where the receiver of a level goes."""
        return level_dir(self.work_dir, quality) / f"{self.name}.safetensors"

    def rehearse(self, amp: str | None = None) -> DryRun:
        """Dry run of the last level."""
        quality = list(self.levels)[-1]
        return dry_run(self._at(quality), level_dir(self.work_dir, quality), amp)

    def run(
        self,
        code_set: CodeSet,
        save: Save,
        resume: bool = False,
        amp: str | None = None,
        launcher: str = "none",
    ) -> None:
        """Train every level's receiver, and write its file.

        Args:
            code_set: Codes the training set, where :attr:`bitstreams` asks for that.
            save: Writes a receiver's file.
            resume: See :func:`vcm_mt.training.run.train`, as for the next two.
            amp: Precision.
            launcher: What started the processes.

        Raises:
            ConfigError: When a receiver's file cannot be written, or the training to go on with
                is another receiver's.
            DataError: When data or weights are missing.
            TrainingError: When a training cannot go on.
        """
        for quality in self.levels:
            if (target := self.file(quality)).is_dir():
                raise ConfigError(f"{target} is a folder: move it, the receiver's file goes there")
        join_processes(launcher, self.config)
        with own_work_dirs(level_dir(self.work_dir, quality) for quality in self.levels):
            for quality in self.levels:
                folder = level_dir(self.work_dir, quality)
                if resume and list_checkpoints(folder):
                    self._check_same(folder)
                level = self._with_inputs(quality, code_set)
                train(level, folder, resume, amp, launcher)
                if is_main_process():
                    self._export(level, quality, save)

    def _at(self, quality: int) -> Config:
        """The config of a level."""
        config = copy.deepcopy(self.config)
        config.model.stage1 = str(self.levels[quality])
        config.model.rank, config.model.depth = self.rank, self.depth
        if self.pictures:
            use_pictures(config, *self.pictures)
        return config

    def _with_inputs(self, quality: int, code_set: CodeSet) -> Config:
        """The same, with its inputs checked and its training set coded if that is asked for."""
        config, checkpoint = self._at(quality), self.levels[quality]
        if not self.bitstreams:
            check_inputs(config)
            return config
        own = level_dir(self.work_dir, quality) / "bitstreams"
        folder = self.bitstreams if isinstance(self.bitstreams, Path) else own
        root, mirrored = use_bitstreams(config, folder, checkpoint)
        check_inputs(config)
        num_bytes = code_set(config, checkpoint, root, folder, mirrored)
        if is_main_process():
            print(f"{folder}: the training set in {num_bytes} bytes")
        return config

    def _check_same(self, folder: Path) -> None:
        """Make sure that the training to go on with is this one."""
        record = {"rank": 0, "depth": 0, **read_record(find_checkpoint(folder))}
        wanted = {"tasks": list(self.tasks), "rank": self.rank, "depth": self.depth}
        other = [key for key, value in wanted.items() if record.get(key) != value]
        if other:
            raise ConfigError(
                f"{folder} holds the training of another receiver (its {', '.join(other)}): "
                "give another --work-dir, or leave --resume out"
            )

    def _export(self, config: Config, quality: int, save: Save) -> None:
        """Write the receiver's file, with a record of how it was trained."""
        record = {
            "vcm_mt": __version__,
            "config": config.filename,
            "stage1": str(self.levels[quality]),
            "iterations": config.train_cfg.max_iters,
            "batch_size": config.train_dataloader.batch_size,
            "seed": config.randomness.seed,
            "from_bitstreams": bool(self.bitstreams),
        }
        target = self.file(quality)
        save(find_checkpoint(target.parent), target, record)
        print(f"{target}: {target.stat().st_size} bytes")


def plan_receiver(
    config: Config,
    tasks: Sequence[str] = (),
    stage1: Path | None = None,
    qualities: Sequence[int] | None = None,
    work_dir: Path | None = None,
    rank: int = 0,
    depth: int | None = None,
    pictures: Sequence[Path] = (),
    bitstreams: Path | bool | None = None,
) -> ReceiverTraining:
    """What is trained when some of it is left to a config.

    Args:
        config: Of stage 2.
        tasks: By default the config's ``task``.
        stage1: Its folder or a checkpoint; by default the config's ``stage1``.
        qualities: Levels; by default all of stage 1.
        work_dir: By default ``work_dirs/.../stage2_TASK``, of a LoRA receiver
            ``stage2_TASK_lora``.
        rank: See :class:`ReceiverTraining`, as for the next three.
        depth: By default the config's ``model.depth``, and 0 for a LoRA receiver.
        pictures: Folders of pictures.
        bitstreams: Where the coded training set goes.

    Raises:
        ConfigError: When there is no such task, stage 1 or level.
    """
    tasks = list(tasks or config.get("task") or [])
    if depth is None:
        depth = 0 if rank else config.model.get("depth", 0)
    config = for_tasks(config, tasks)
    own = f"stage2_{receiver_name(tasks)}" + ("_lora" if rank else "")
    levels = find_stage1(stage1 or Path(config.stage1), qualities)
    if 0 in levels and qualities:
        raise ConfigError("one receiver serves all levels of that stage 1: leave --quality out")
    return ReceiverTraining(
        config, tasks, levels, work_dir or default_work_dir(config).with_name(own),
        rank, depth, pictures, bitstreams,
    )  # fmt: skip
