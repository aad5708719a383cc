"""A system on several processes."""

from __future__ import annotations

from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class VCMDistributedDataParallel(MMDistributedDataParallel):
    """Averages the gradients of what makes pictures and bits over all processes.

    The quantiles stay out of it: their loss depends on no data, so that every process
    computes the same gradient, and they take no part in the forward pass that is watched.
    """

    def __init__(self, module: VCMSystem, **kwargs: Any) -> None:
        quantiles = [name for name, _ in module.named_parameters() if name.endswith(".quantiles")]
        self._set_params_and_buffers_to_ignore_for_model(module, quantiles)
        if not next(module.parameters()).is_cuda:
            kwargs["device_ids"] = None  # mmengine names a GPU in any case
        super().__init__(module=module, **kwargs)

    def train_step(
        self, data: dict[str, Any], optim_wrapper: OptimWrapperDict
    ) -> dict[str, Tensor]:
        """The system's own step, its forward pass through this wrapper."""
        return self.module.train_step(data, optim_wrapper, forward=self)
