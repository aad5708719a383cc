"""Conversion between latents (tensors) and what the entropy coder takes (NumPy arrays)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import Tensor, nn

from vcm_mt.bitstream.rans import Ints, Tables
from vcm_mt.errors import BitstreamError

#: Values of a latent must have a smaller magnitude: symbols are integers of 32 bits.
LARGEST_VALUE = float(1 << 30)


def tables_of(model: nn.Module) -> Tables:
    """The tables of a CompressAI entropy model in the form that the coder takes."""
    return Tables(
        model._quantized_cdf.cpu().numpy(),  # type: ignore[operator]
        model._cdf_length.cpu().numpy(),  # type: ignore[operator]
        model._offset.cpu().numpy(),  # type: ignore[operator]
    )


def rows(symbols: Tensor) -> Ints:
    """[B, C, h, w] -> int32 [B, C * h * w]."""
    return symbols.flatten(1).to("cpu", torch.int32).numpy()


def require_symbols(*latents: Tensor) -> None:
    """Refuse values without a symbol, which the cast to integers would turn into another value.

    Raises:
        BitstreamError: If a value is not finite, or its magnitude is 2^30 or more.
    """
    for latent in latents:
        if not latent.abs().amax() < LARGEST_VALUE:  # NaN compares false
            raise BitstreamError(
                "a picture's latent has values that are not finite, or beyond 2^30: give pictures "
                "with finite values in [0, 1], and weights of a training that did not diverge"
            )


def in_threads(function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
    """``map`` on as many threads as PyTorch uses; the coder's kernels release Python's lock."""
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(function, *arguments))
