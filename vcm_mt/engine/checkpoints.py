"""Checkpoints that survive whatever ends the training that writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from vcm_mt.checkpoint import list_checkpoints
from vcm_mt.errors import TrainingError
from vcm_mt.files import remove_partials, write_atomically
from vcm_mt.registry import HOOKS


@register_backend("atomic")
class AtomicBackend(LocalBackend):
    """mmengine's access to local files, but what it puts is there as a whole or not at all."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file; returns when the disk has it."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [obj], durable=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook for local folders; at any moment the last ``max_keep_ckpts`` are whole.

    mmengine's own writes in place, after it has removed the oldest. Here a checkpoint is written,
    then ``last_checkpoint`` names it, and only then the oldest go. Before that, hooks with a
    ``before_checkpoint`` are called on all processes; mmengine's ``before_save_checkpoint`` is
    called on the one that writes alone, and what it changed in the model would differ there.

    Args:
        backend_args: Says how files are written.
        **kwargs: Arguments of mmengine's hook.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(backend_args=backend_args or {"backend": "atomic"}, **kwargs)

    def before_train(self, runner: Any) -> None:
        """Clean up after processes that were killed."""
        super().before_train(runner)
        if is_main_process():
            remove_partials(Path(self.out_dir))

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict[str, Any]) -> None:
        path = Path(self.out_dir) / self.filename_tmpl.format(step)
        self.last_ckpt = str(path)
        runner.call_hook("before_checkpoint")
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        try:
            runner.save_checkpoint(
                self.out_dir,
                path.name,
                save_optimizer=self.save_optimizer,
                save_param_scheduler=self.save_param_scheduler,
                meta=meta,
                by_epoch=self.by_epoch,
                backend_args=self.backend_args,
                **self.args,
            )
            if is_main_process():
                pointer = Path(runner.work_dir) / "last_checkpoint"
                write_atomically(pointer, [self.last_ckpt.encode()], durable=True)
                self._remove_oldest(step)
        except OSError as error:
            raise TrainingError(
                f"{path} could not be written: {error}. {way_on(Path(runner.work_dir))}"
            ) from error

    def _remove_oldest(self, step: int) -> None:
        """Those of later steps belong to a training that was here before: they are left alone."""
        before, after = self.filename_tmpl.split("{}")
        paths = Path(self.out_dir).glob(self.filename_tmpl.format("*"))
        numbers = [path.name.removeprefix(before).removesuffix(after) for path in paths]
        steps = sorted(int(number) for number in numbers if number.isdigit())
        known = [number for number in steps if number <= step]
        for number in known[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else ():
            (Path(self.out_dir) / self.filename_tmpl.format(number)).unlink()


def way_on(work_dir: Path) -> str:
    """What to do once the reason for a training's end is removed."""
    known = list_checkpoints(work_dir)
    if not known:
        return "There is no checkpoint yet: start again when that is mended"
    return f"The last checkpoint is {known[0]}: when that is mended, go on from it with --resume"
