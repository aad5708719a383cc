"""A hook for the test that compares one process with two."""

from pathlib import Path

import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from vcm_mt.engine.hooks import unwrapped


@HOOKS.register_module()
class RankGradientsHook(Hook):
    """Write down the gradients of the last step, and what was logged of it.

    Args:
        path: Of the file that the first process writes.
    """

    priority = "VERY_LOW"

    def __init__(self, path):
        self.path = Path(path)

    def before_train(self, runner):
        """Look at the gradients right before the optimiser does."""
        main = runner.optim_wrapper["main"]
        step, names = main.step, dict(unwrapped(runner).named_parameters())

        def recorded(**kwargs):
            self.gradients = {k: p.grad.clone() for k, p in names.items() if p.grad is not None}
            step(**kwargs)

        main.step = recorded

    def after_train(self, runner):
        """Save."""
        if get_rank() == 0:
            scalars = runner.message_hub.log_scalars
            log = {k: float(v.current()) for k, v in scalars.items() if k.startswith("train/")}
            torch.save({"gradients": self.gradients, "log": log}, self.path)
