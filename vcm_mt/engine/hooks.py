"""Hooks that keep a training honest: tables that fit, tasks that stay, steps that repeat."""

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
    """The system itself, without a wrapper for distributed training."""
    return runner.model.module if is_model_wrapper(runner.model) else runner.model


@HOOKS.register_module()
class EntropyTablesHook(Hook):
    """Builds the entropy tables before real bytes are needed: validation, test and checkpoints.

    They are built where the weights moved since, or where there are none: a checkpoint that is
    only measured keeps its own. Building moves the quantiles, so that all processes do it.

    A checkpoint also says how to build its codec (``meta["record"]``, JSON), and is made loadable
    without running code: NumPy's scalars become Python's,
    and the history of logged values, which pickles methods, is left out; a resumed run's log
    smooths anew.
    """

    def __init__(self) -> None:
        self._tables = "given"  # then "old" after a step, or "built"

    def after_train_iter(
        self,
        runner: Any,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
        data_batch: Any = None,  # noqa: ARG002
        outputs: Any = None,  # noqa: ARG002
    ) -> None:
        """Note that the tables are old."""
        self._tables = "old"

    def before_val(self, runner: Any) -> None:
        """Tables for the validation that comes."""
        self._update(runner)

    def before_test(self, runner: Any) -> None:
        """Tables for the test that comes."""
        self._update(runner)

    def before_checkpoint(self, runner: Any) -> None:
        """Tables for the checkpoint that comes; see :class:`AtomicCheckpointHook`."""
        self._update(runner)

    def _update(self, runner: Any, good: tuple[str, ...] = ("given", "built")) -> None:
        system = unwrapped(runner)
        if self._tables not in good or not system.transmitter.entropy.has_tables:
            system.update_tables()
            self._tables = "built"

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Tables that belong to the weights that are saved."""
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
    """Fails a run in which something frozen changed: parameters, statistics or mode.

    That is the tasks, and in stage 2 all that decides the bits (theta_e). They are looked at
    when a run starts, before every checkpoint (a changed system is never saved) and at the end.
    """

    priority = "HIGH"

    def before_train(self, runner: Any) -> None:
        """Remember them as they are.

        Raises:
            FrozenError: When a resumed stage 2 has another theta_e than its stage 1.
        """
        self._before = self._look(runner)
        system = unwrapped(runner)
        expected = system.record.get("transmitter")
        if expected is not None and system.transmitter.fingerprint() != expected:
            raise FrozenError(
                "the checkpoint that this run goes on from has another transmitter than its "
                "stage 1: start anew in another --work-dir"
            )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:  # noqa: ARG002
        """Compare, before anything is written."""
        self._compare(runner)

    def after_train(self, runner: Any) -> None:
        """Compare."""
        self._compare(runner)

    def _compare(self, runner: Any) -> None:
        after = self._look(runner)
        moved = [name for name, digest in self._before.items() if after[name] != digest]
        if moved:
            raise FrozenError(f"what is frozen changed during training: {', '.join(moved)}")

    @staticmethod
    def _look(runner: Any) -> dict[str, str]:
        return {name: frozen_digest(part) for name, part in unwrapped(runner).frozen().items()}


def frozen_digest(part: nn.Module) -> str:
    """SHA-256 over a network's parameters, buffers, modes and gradient flags."""
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

    Each picture gets a seed of its own for what a detector draws from it, the same on whatever
    process it is (:mod:`vcm_mt.models.tasks.seeded_sampling`).
    """

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed torch, NumPy and random from the run's seed, the iteration and the rank."""
        seed = _seed(runner.seed, batch_idx, runner.rank)
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002  mmdet draws from it
        random.seed(seed)
        for sample in (data_batch or {}).get("data_samples", []):
            picture = str(sample.get("img_path", sample.get("img_id")))
            drawn = _seed(runner.seed, batch_idx, zlib.crc32(picture.encode()))
            sample.set_metainfo({DRAW_SEED: drawn})


def _seed(*words: int) -> int:
    return int(np.random.SeedSequence(words).generate_state(1)[0])


@HOOKS.register_module()
class MeanInfoHook(RuntimeInfoHook):
    """mmengine's hook, but what is logged of a step is its mean over all processes."""

    def after_train_iter(
        self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None
    ) -> None:
        """Hand a step's losses to the log.

        Processes that drew different levels have different losses: each is the mean of those that
        have it.
        """
        super().after_train_iter(runner, batch_idx, data_batch, _means(outputs or {}))


def _means(outputs: dict[str, Tensor]) -> dict[str, float]:
    """Means over the processes that have each value."""
    values = [value.detach().float() for value in outputs.values()]
    numbers = torch.stack(values).tolist() if values else []  # one wait for the device
    found = all_gather_object(dict(zip(outputs, numbers, strict=True)))
    names = dict.fromkeys(name for own in found for name in own)
    return {name: fmean(own[name] for own in found if name in own) for name in names}
