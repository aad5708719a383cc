"""A hook for the test of two processes."""

import hashlib
from pathlib import Path

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS


@HOOKS.register_module()
class RankDigestHook(Hook):
    """Write down what weights a process ends with.

    Args:
        folder: Gets a file per rank.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def after_train(self, runner):
        """One digest over all weights."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        digest = hashlib.sha256()
        for _, value in sorted(model.state_dict().items()):
            digest.update(value.cpu().contiguous().numpy().tobytes())
        (self.folder / f"rank{get_rank()}.txt").write_text(digest.hexdigest())
