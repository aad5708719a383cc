"""What a run's ``amp="auto"`` stands for: settled once, told, and kept."""

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
    """Settles the precision of transforms and frozen networks before the first step.

    ``"auto"`` becomes what the device multiplies natively. The choice goes into the log and, as
    ``record["precision"]``, into every checkpoint; a resumed run keeps it. All processes of a
    distributed run take the first one's.
    """

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def after_load_checkpoint(self, runner: Any, checkpoint: dict[str, Any]) -> None:
        """Take over what the run that is resumed has settled."""
        if runner.cfg.get("resume"):
            record = json.loads(checkpoint.get("meta", {}).get("record", "{}"))
            self._known = record.get("precision", {})

    def before_train(self, runner: Any) -> None:
        """Settle, and tell.

        Raises:
            ConfigError: For fp16 on a CPU.
        """
        system = unwrapped(runner)
        if runner.rank == 0:
            self._known = system.settle_precision(self._known)
        shared = [self._known]
        broadcast_object_list(shared)
        settled = system.settle_precision(shared[0])
        told = ", ".join(f"{part} {precision}" for part, precision in settled.items())
        print_log(f"precision: {told}", logger="current")
