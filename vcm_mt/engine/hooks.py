"""Hooks that keep a training honest: tables that fit, tasks that stay, steps that repeat."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner.checkpoint import weights_to_cpu
from torch import nn

from vcm_mt.errors import FrozenError
from vcm_mt.registry import HOOKS


def unwrapped(runner: Any) -> Any:
    """The system itself, without a wrapper for distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class EntropyTablesHook(Hook):
    """Builds the entropy tables before real bytes are needed: validation and checkpoints.

    A checkpoint also says how to build its codec (``meta["record"]``, JSON), and is made loadable
    without running code: NumPy's scalars become Python's,
    and the history of logged values, which pickles methods, is left out; a resumed run's log
    smooths anew.
    """

    def before_val(self, runner: Any) -> None:
        """Tables for the validation that comes."""
        unwrapped(runner).transmitter.update_tables()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Tables that belong to the weights that are saved."""
        system = unwrapped(runner)
        system.transmitter.update_tables()
        checkpoint["state_dict"] = weights_to_cpu(system.state_dict())
        checkpoint["meta"]["record"] = json.dumps(system.record)
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = {}
        hub["runtime_info"] = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in hub["runtime_info"].items()
        }


@HOOKS.register_module()
class FrozenTasksHook(Hook):
    """Fails a run in which a task's parameters, statistics or mode changed."""

    def before_train(self, runner: Any) -> None:
        """Remember the tasks as they are."""
        self._before = self._look(runner)

    def after_train(self, runner: Any) -> None:
        """Compare.

        Raises:
            FrozenError: When a task is not bit for bit what it was.
        """
        after = self._look(runner)
        moved = [name for name, digest in self._before.items() if after[name] != digest]
        if moved:
            raise FrozenError(f"frozen tasks changed during training: {', '.join(moved)}")

    @staticmethod
    def _look(runner: Any) -> dict[str, str]:
        return {name: task_digest(task) for name, task in unwrapped(runner).tasks.items()}


def task_digest(task: nn.Module) -> str:
    """SHA-256 over a task's parameters, buffers, modes and gradient flags."""
    digest = hashlib.sha256()
    for name, value in (*task.named_parameters(), *task.named_buffers()):
        digest.update(f"{name} {value.requires_grad}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for name, module in task.named_modules():
        digest.update(f"{name} {module.training}".encode())
    return digest.hexdigest()


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds every iteration by its number, so that a resumed run draws the same noise."""

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed torch, NumPy and random from the run's seed, the iteration and the rank."""
        words = np.random.SeedSequence([runner.seed, batch_idx, runner.rank])
        seed = int(words.generate_state(1)[0])
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  mmdet draws from it
        random.seed(seed)
