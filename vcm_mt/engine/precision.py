"""Resolution of ``amp="auto"`` once per run."""

from __future__ import annotations

import json
from typing import Any

from mmengine.dist import broadcast_object_list
from mmengine.hooks import Hook
from mmengine.logging import print_log

from vcm_mt.engine.hooks import unwrapped
from vcm_mt.registry import HOOKS


@HOOKS.register_module()
class PrecisionHook(Hook):
    """Resolves the precision of transforms and frozen networks before the first step.

    ``"auto"`` becomes bfloat16 where the device supports it natively, else float32. The result is
    logged and stored in every checkpoint as ``record["precision"]``; a resumed run keeps it. All
    processes of a distributed run use that of the first one.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Read the result of the run that is resumed."""
        if runner.cfg.get("resume"):
            record = json.loads(checkpoint.get("meta", {}).get("record", "{}"))
            self._known = record.get("precision", {})

    def before_train(self, runner: Any) -> None:
        """Resolve and log the precision.

        Raises:
            ConfigError: If fp16 is asked for on a CPU.
        """
        system = unwrapped(runner)
        if runner.rank == 0:
            self._known = system.settle_precision(self._known)
        shared = [self._known]
        broadcast_object_list(shared)
        settled = system.settle_precision(shared[0])
        parts = ", ".join(f"{part} {precision}" for part, precision in settled.items())
        print_log(f"precision: {parts}", logger="current")
