"""The main and auxiliary optimisers of a codec."""

from __future__ import annotations

from typing import Any

from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict
from mmengine.registry import OPTIMIZERS
from pytorch_optimizer import SOAP
from torch import Tensor, nn

from vcm_mt.errors import ConfigError
from vcm_mt.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

_QUANTILES = ".quantiles"


@OPTIMIZERS.register_module()
class ConvSOAP(SOAP):
    """Adam in the eigenbasis of Shampoo's preconditioner (SOAP, Vyas et al. 2024).

    It trains a learned codec in far fewer steps than Adam (Zhang & Zhu 2026). The spatial
    dimensions of a kernel are merged, [out, in, h * w]: one preconditioner matrix instead of two
    small ones, which takes less time.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, merge_dims=True, **settings)

    def merge_dims(self, grad: Tensor, max_precondition_dim: int) -> Tensor:  # noqa: ARG002
        """[out, in, h, w] -> [out, in, h * w]; others unchanged."""
        return grad.flatten(2) if grad.dim() > 2 else grad


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CodecOptimWrapperConstructor:
    """Builds ``main`` for all weights, and ``aux`` for the quantiles of the entropy bottleneck.

    Only parameters that require a gradient are optimised, and without trainable quantiles there is
    no ``aux``. Partly frozen systems work too, unlike with CompressAI's ``net_aux_optimizer``.

    Args:
        optim_wrapper_cfg: ``main`` and ``aux``, each the config of an optimiser wrapper.
        paramwise_cfg: Must be empty; mmengine passes it.

    Raises:
        ValueError: If ``paramwise_cfg`` is not empty.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        if paramwise_cfg:
            raise ValueError("paramwise_cfg is not supported: set lr in `main` and `aux`")
        self.configs = {"main": optim_wrapper_cfg["main"], "aux": optim_wrapper_cfg["aux"]}

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the wrappers for the trainable parameters of ``model``.

        Raises:
            ConfigError: If the model trains in float16 without a loss scale.
        """
        trainable = {n: p for n, p in model.named_parameters() if p.requires_grad}
        parts = {
            "main": [p for n, p in trainable.items() if not n.endswith(_QUANTILES)],
            "aux": [p for n, p in trainable.items() if n.endswith(_QUANTILES)],
        }
        wrappers = {
            name: _build(self.configs[name], given) for name, given in parts.items() if given
        }
        in_half = any(getattr(module, "amp", None) == "fp16" for module in model.modules())
        if in_half and not isinstance(wrappers["main"], AmpOptimWrapper):
            raise ConfigError(
                'amp="fp16" needs a loss scale: set optim_wrapper.main.type to '
                'FiniteAmpOptimWrapper, or amp="bf16", which needs none'
            )
        return OptimWrapperDict(**wrappers)


def _build(config: dict[str, Any], parameters: list[nn.Parameter]) -> OptimWrapper:
    config = dict(config)
    config.setdefault("type", "FiniteOptimWrapper")
    optimizer = OPTIMIZERS.build({**config.pop("optimizer"), "params": parameters})
    return OPTIM_WRAPPERS.build({**config, "optimizer": optimizer})
