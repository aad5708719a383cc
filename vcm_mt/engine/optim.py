"""Main and auxiliary optimisers."""

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
    """Adam in the eigenbasis of Shampoo's preconditioner (Vyas et al. 2024), for convolutions.

    Far fewer steps for a learned codec than Adam's (Zhang & Zhu 2026). The places of a kernel are
    one dimension here, [out, in, h * w]: one matrix in place of two small ones, in less time.
    """

    def __init__(self, params: Any, **settings: Any) -> None:
        super().__init__(params, merge_dims=True, **settings)

    def merge_dims(self, grad: Tensor, max_precondition_dim: int) -> Tensor:  # noqa: ARG002
        """[out, in, h, w] -> [out, in, h * w]; others as they are."""
        return grad.flatten(2) if grad.dim() > 2 else grad


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class CodecOptimWrapperConstructor:
    """Builds ``main`` for what makes pictures and bits and ``aux`` for the quantiles.

    Only parameters that require a gradient are given to an optimiser, and there is no ``aux``
    where the quantiles are frozen, so it works for partly frozen systems too (CompressAI's
    ``net_aux_optimizer`` does not).

    Args:
        optim_wrapper_cfg: ``main`` and ``aux``, each the config of an optimiser wrapper.
        paramwise_cfg: Not used; mmengine passes it.
    """

    def __init__(
        self, optim_wrapper_cfg: dict[str, Any], paramwise_cfg: dict[str, Any] | None = None
    ) -> None:
        if paramwise_cfg:
            raise ValueError("paramwise_cfg is not supported: set lr in `main` and `aux`")
        self.configs = {"main": optim_wrapper_cfg["main"], "aux": optim_wrapper_cfg["aux"]}

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Build the wrappers for ``model``'s trainable parameters.

        Raises:
            ConfigError: For a model in float16 without a loss scale, where gradients vanish.
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
