"""State dicts of an entropy model without its integer weights, the bulk of them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from vcm_mt.bitstream.integer import IntegerSynthesis

#: Key of state dicts whose integer weights are built from ``h_s`` when they are loaded.
_FROM_H_S = "integers_from_h_s"


def without_integers(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Leave out the integer weights of a :class:`~vcm_mt.bitstream.entropy.Hyperprior`.

    Args:
        state: With the entropy model's entries below ``prefix``.
        prefix: Such as ``"transmitter.entropy."``.
    """
    integers = f"{prefix}integer_h_s."
    kept = {name: value for name, value in state.items() if not name.startswith(integers)}
    return kept | {prefix + _FROM_H_S: torch.ones(1, dtype=torch.uint8)}


@torch.no_grad()
def build_integers(state: dict[str, Any], prefix: str, h_s: nn.Module, narrow: bool) -> None:
    """Add to a state dict of :func:`without_integers` what is left out; others stay as they are.

    Rounding is exact, so that every machine builds the same integers.

    Args:
        state: Changed in place.
        prefix: See :func:`without_integers`.
        h_s: The network, with any weights.
        narrow: See :meth:`IntegerSynthesis.build`.
    """
    if state.pop(prefix + _FROM_H_S, None) is None:
        return
    own, h_s = f"{prefix}h_s.", copy.deepcopy(h_s).cpu()
    h_s.load_state_dict({k.removeprefix(own): v for k, v in state.items() if k.startswith(own)})
    integers = IntegerSynthesis(h_s)
    integers.build(h_s, state[f"{prefix}gaussian_conditional.scale_table"].cpu(), narrow)
    state.update({f"{prefix}integer_h_s.{k}": v for k, v in integers.state_dict().items()})
