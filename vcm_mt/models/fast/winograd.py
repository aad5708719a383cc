"""A codec's 5x5 convolutions of stride 2 with a third of the products, for coding on a CPU.

The values are those of the convolution up to the rounding of float32, see
:mod:`vcm_mt.numerics.winograd`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vcm_mt.numerics.threads import alone
from vcm_mt.numerics.winograd import MOST_CHANNELS, Tiles

#: Smallest number of channels, and of positions per phase, for which it is faster.
LEAST_CHANNELS, LEAST_PLACES = 64, 1024


def is_fast(x: Tensor, layer: nn.Conv2d | nn.ConvTranspose2d) -> bool:
    """Whether :class:`Products` supports a layer and is faster: float32, CPU, no gradient."""
    beyond = (1, 1) if isinstance(layer, nn.ConvTranspose2d) else (0, 0)
    channels = layer.in_channels, layer.out_channels
    return (
        (layer.kernel_size, layer.stride, layer.padding) == ((5, 5), (2, 2), (2, 2))
        and (layer.dilation, layer.groups, layer.output_padding) == ((1, 1), 1, beyond)
        and layer.padding_mode == "zeros"
        and LEAST_CHANNELS <= min(channels) <= max(channels) <= MOST_CHANNELS
        and x.shape[-2] * x.shape[-1] >= LEAST_PLACES * (1 if beyond[0] else 4)
        and x.device.type == "cpu"
        and x.dtype == layer.weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
    )


class Products:
    """A layer's transformed kernels; they are valid until the weights change.

    Args:
        layer: A 5x5 convolution of stride 2 and padding 2; transposed, to twice the size.
    """

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d) -> None:
        self.made_of = _state(layer)
        transposed = isinstance(layer, nn.ConvTranspose2d)
        weight = layer.weight.detach().double()
        weight = weight.transpose(0, 1) if transposed else weight
        self.tiles = Tiles(weight, transposed, torch.float32)
        self.scale = np.ones(layer.out_channels, np.float32)
        none = torch.zeros(layer.out_channels)
        self.bias = (none if layer.bias is None else layer.bias.detach()).numpy()

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve [B, C, H, W]; returns channels_last."""
        shape = self.shape(x)
        out = torch.empty(shape)

        def fill(index: int, first: int, last: int) -> None:
            deque(self._strips(x[index], out[index].numpy(), (first, last)), maxlen=0)

        alone(fill, shares(len(x), -(-shape[1] // self.side)))
        return out.permute(0, 3, 1, 2)

    def shape(self, x: Tensor) -> tuple[int, int, int, int]:
        """The shape of the output, [B, H, W, D]."""
        before, behind = self.tiles.phases
        height, width = (-(-length * behind // before) for length in x.shape[-2:])
        return len(x), height, width, len(self.bias)

    @property
    def side(self) -> int:
        """Rows of the output per tile."""
        return 4 * self.tiles.phases[1]

    def strips(self, x: Tensor, first: int, last: int) -> Iterator[Tensor]:
        """Compute the output rows ``side * first`` to ``side * last`` of one map [1, C, H, W].

        Yields:
            [1, D, rows, W], valid until the next iteration, which reuses the memory.
        """
        for strip in self._strips(x[0], np.empty((0, 0, 0), np.float32), (first, last)):
            yield torch.from_numpy(strip)[None].permute(0, 3, 1, 2)

    def _strips(self, x: Tensor, out: Any, part: tuple[int, int]) -> Iterator[Any]:
        given = x.permute(1, 2, 0).contiguous().numpy()
        return self.tiles.strips(given, self.scale, self.bias, out, part)


def shares(pictures: int, rows: int) -> list[tuple[int, int, int]]:
    """Split pictures into equal parts for all threads: (picture, first row, end row)."""
    parts = min(rows, -(-torch.get_num_threads() // pictures))
    ends = [rows * k // parts for k in range(parts + 1)]
    return [(index, *part) for index in range(pictures) for part in pairwise(ends)]


def _state(layer: nn.Module) -> tuple[Any, ...]:
    """A key that changes with the layer's weights."""
    return tuple((p.data_ptr(), p._version) for p in layer.parameters())


def products_of(layer: nn.Conv2d | nn.ConvTranspose2d) -> Products:
    """The cached :class:`Products` of a layer, rebuilt if its weights have changed."""
    products: Products | None = layer.__dict__.get("_products")
    if products is None or products.made_of != _state(layer):
        products = layer.__dict__["_products"] = Products(layer)
    return products
