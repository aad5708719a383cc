"""Checkpoints that stay complete when a training is interrupted while writing one."""

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
    """mmengine's backend for local files, with atomic writes."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write a file atomically and durably: it is on the disk when this returns."""
        path = Path(filepath)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, [obj], durable=True)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's hook for local folders, in which the last ``max_keep_ckpts`` are always complete.

    mmengine's hook removes the oldest checkpoint and then writes in place. Here a checkpoint is
    written first, then ``last_checkpoint`` is set to it, and then the oldest are removed. Before
    writing, ``before_checkpoint`` of all hooks is called on all processes. mmengine calls
    ``before_save_checkpoint`` on the writing process only, so that changes of the model made there
    would be missing on the others.

    Args:
        backend_args: How files are written.
        **kwargs: Arguments of mmengine's hook.
    """

    def __init__(self, backend_args: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(backend_args=backend_args or {"backend": "atomic"}, **kwargs)

    def before_train(self, runner: Any) -> None:
        """Remove partial files of killed processes."""
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
        """Remove old checkpoints, except later ones, which an earlier training left here."""
        before, after = self.filename_tmpl.split("{}")
        paths = Path(self.out_dir).glob(self.filename_tmpl.format("*"))
        numbers = [path.name.removeprefix(before).removesuffix(after) for path in paths]
        steps = sorted(int(number) for number in numbers if number.isdigit())
        own = [number for number in steps if number <= step]
        for number in own[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else ():
            (Path(self.out_dir) / self.filename_tmpl.format(number)).unlink()


def way_on(work_dir: Path) -> str:
    """Advice for a user whose training has ended with an error."""
    checkpoints = list_checkpoints(work_dir)
    if not checkpoints:
        return "There is no checkpoint yet: start again when that is fixed"
    return f"The last checkpoint is {checkpoints[0]}: when that is fixed, continue with --resume"
