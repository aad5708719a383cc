"""Distributed training of a system."""

from __future__ import annotations

from typing import Any

from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapperDict
from torch import Tensor

from vcm_mt.models.vcm_system import VCMSystem
from vcm_mt.registry import MODEL_WRAPPERS


@MODEL_WRAPPERS.register_module()
class VCMDistributedDataParallel(MMDistributedDataParallel):
    """Averages the gradients of transmitter and receivers over all processes.

    The rate, the loss of a human viewer and the feature distance are means over pictures: n
    processes have the loss and the gradients of one process with n times the batch. A detector's
    own losses are divided by the number of sampled boxes in the local batch. That gives the same
    result if every picture fills its samplers, as in most two-stage detectors of mmdet, or if the
    head averages its divisor over all processes, as FCOS, ATSS and DETR do. It does not if the
    positives of the local batch are counted, as in RetinaNet and the masks of Mask R-CNN. Batches
    padded to another size differ at the border. With several qualities each process draws one.

    The quantiles are excluded: their loss depends on no data, so that every process computes the
    same gradient, and they take no part in the wrapped forward pass.
    """

    def __init__(self, module: VCMSystem, **kwargs: Any) -> None:
        quantiles = [name for name, _ in module.named_parameters() if name.endswith(".quantiles")]
        self._set_params_and_buffers_to_ignore_for_model(module, quantiles)
        if not next(module.parameters()).is_cuda:
            kwargs["device_ids"] = None  # mmengine sets a GPU in any case
        super().__init__(module=module, **kwargs)

    def train_step(
        self, data: dict[str, Any], optim_wrapper: OptimWrapperDict
    ) -> dict[str, Tensor]:
        """The system's own training step, with its forward pass through this wrapper."""
        return self.module.train_step(data, optim_wrapper, forward=self)
