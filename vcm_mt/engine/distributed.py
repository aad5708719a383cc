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

    The rate, a person's loss and a feature distance are means over pictures: n processes have the
    loss and the gradients of one with n times the batch. A detector's own losses are divided by
    the boxes that its samplers drew of the local batch; that is the same where every picture
    fills its samplers, as with most of mmdet's two-stage detectors, or where a head takes its
    divisor's mean over all processes, as FCOS, ATSS and DETR do. It is not where positives of the
    local batch are counted: RetinaNet, and Mask R-CNN's masks. Batches padded to another size
    differ at their rim. Of a codec of several levels each process draws one.

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
