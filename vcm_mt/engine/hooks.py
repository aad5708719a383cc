"""Hooks for entropy tables, frozen modules, reproducible steps and logged means."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from statistics import fmean
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook, RuntimeInfoHook
from mmengine.model import is_model_wrapper
from mmengine.runner.checkpoint import weights_to_cpu
from torch import Tensor, nn

from vcm_mt.errors import FrozenError
from vcm_mt.models.tasks.seeded_sampling import DRAW_SEED
from vcm_mt.registry import HOOKS


def unwrapped(runner: Any) -> Any:
    """The system without its wrapper for distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class EntropyTablesHook(Hook):
    """Builds the entropy tables before validation, test and checkpoints.

    They are rebuilt only if the weights have changed since, or there are none: a checkpoint that
    is only evaluated keeps its own. Building changes the quantiles, so that all processes do it.

    The hook also writes into each checkpoint how to build its codec (``meta["record"]``, JSON), and
    makes it loadable with ``weights_only=True``: NumPy scalars become Python numbers, and the
    history of logged values, which contains pickled methods, is dropped. The log of a resumed run
    starts its smoothing anew.
    """

    def __init__(self) -> None:
        self._tables = "given"  # later "old" after a step, or "built"

    def after_train_iter(
        self,
        runner: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ARG002
        outputs: Any = None,  # noqa: ARG002
    ) -> None:
        """Mark the tables as old."""
        self._tables = "old"

    def before_val(self, runner: Any) -> None:
        """Build the tables for validation."""
        self._update(runner)

    def before_test(self, runner: Any) -> None:
        """Build the tables for testing."""
        self._update(runner)

    def before_checkpoint(self, runner: Any) -> None:
        """Build the tables for a checkpoint; see :class:`AtomicCheckpointHook`."""
        self._update(runner)

    def _update(self, runner: Any, good: tuple[str, ...] = ("given", "built")) -> None:
        system = unwrapped(runner)
        if self._tables not in good or not system.transmitter.entropy.has_tables:
            system.update_tables()
            self._tables = "built"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Build the tables of the saved weights, and prepare the checkpoint's content."""
        system = unwrapped(runner)
        self._update(runner, good=("built",))
        checkpoint["state_dict"] = weights_to_cpu(system.state_dict())
        checkpoint["meta"]["record"] = json.dumps(system.record)
        hub = checkpoint["message_hub"]
        hub["log_scalars"] = {}
        hub["runtime_info"] = {
            key: value.item() if isinstance(value, np.generic) else value
            for key, value in hub["runtime_info"].items()
        }


@HOOKS.register_module()
class FrozenHook(Hook):
    """Ends a run in which a frozen module changed: its parameters, buffers, mode or gradient flags.

    Frozen are the tasks, and theta_e in stage 2. They are compared with their state at the start
    before every checkpoint, so that a changed system is never saved, and at the end.
    """

    priority = "HIGH"

    def before_train(self, runner: Any) -> None:
        """Record the state of the frozen modules.

        Raises:
            FrozenError: If a resumed stage 2 has another theta_e than its stage 1.
        """
        self._before = self._look(runner)
        system = unwrapped(runner)
        expected = system.record.get("transmitter")
        if expected is not None and system.transmitter.fingerprint() != expected:
            raise FrozenError(
                "the checkpoint to resume from has another transmitter than its stage 1: start "
                "anew in another --work-dir"
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Compare before the checkpoint is written."""
        self._compare(runner)

    def after_train(self, runner: Any) -> None:
        """Compare at the end."""
        self._compare(runner)

    def _compare(self, runner: Any) -> None:
        after = self._look(runner)
        moved = [name for name, digest in self._before.items() if after[name] != digest]
        if moved:
            raise FrozenError(f"frozen modules changed during training: {', '.join(moved)}")

    @staticmethod
    def _look(runner: Any) -> dict[str, str]:
        return {name: frozen_digest(part) for name, part in unwrapped(runner).frozen().items()}


def frozen_digest(part: nn.Module) -> str:
    """SHA-256 over a module's parameters, buffers, modes and gradient flags."""
    digest = hashlib.sha256()
    for name, value in (*part.named_parameters(), *part.named_buffers()):
        digest.update(f"{name} {value.requires_grad}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    for name, module in part.named_modules():
        digest.update(f"{name} {module.training}".encode())
    return digest.hexdigest()


@HOOKS.register_module()
class IterationSeedHook(Hook):
    """Seeds every iteration by its number, so that a resumed run draws the same noise.

    Each picture gets its own seed for the detector's samplers, independent of its process
    (:mod:`vcm_mt.models.tasks.seeded_sampling`).
    """

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed torch, NumPy and random from the run's seed, the iteration and the rank."""
        seed = _seed(runner.seed, batch_idx, runner.rank)
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  mmdet uses it
        random.seed(seed)
        for sample in (data_batch or {}).get("data_samples", []):
            picture = str(sample.get("img_path", sample.get("img_id")))
            drawn = _seed(runner.seed, batch_idx, zlib.crc32(picture.encode()))
            sample.set_metainfo({DRAW_SEED: drawn})


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@HOOKS.register_module()
class MeanInfoHook(RuntimeInfoHook):
    """mmengine's hook, which here logs the mean of each value over all processes."""

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Log a step's losses.

        Processes that drew different qualities log different values: each mean is over the
        processes that have the value.
        """
        super().after_train_iter(runner, batch_idx, data_batch, _means(outputs or {}))


def _means(outputs: dict[str, Tensor]) -> dict[str, float]:
    """The mean of each value over the processes that have it."""
    values = [value.detach().float() for value in outputs.values()]
    numbers = torch.stack(values).tolist() if values else []  # synchronises the device once
    gathered = all_gather_object(dict(zip(outputs, numbers, strict=True)))
    names = dict.fromkeys(name for own in gathered for name in own)
    return {name: fmean(own[name] for own in gathered if name in own) for name in names}
