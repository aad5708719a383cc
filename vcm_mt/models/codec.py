"""CompNet: a codec of CompressAI's by its name, as a whole, before it is taken apart."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, cast

import compressai.models
from compressai.layers import GDN
from compressai.models.base import CompressionModel
from compressai.models.utils import remap_old_keys
from compressai.models.vbr import ScaleHyperpriorVbr
from compressai.zoo import image_models, load_state_dict
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError
from vcm_mt.models.fast.deconv import FastDeconv, SubpixelDeconv, fits_subpixel
from vcm_mt.models.fast.gdn import FastGDN
from vcm_mt.models.fast.winograd import is_fast, products_of


def build_codec(
    arch: str,
    *,
    quality: int | None = None,
    pretrained: bool = False,
    checkpoint: str | None = None,
    **kwargs: Any,
) -> CompressionModel:
    """Build a codec.

    Args:
        arch: A name of CompressAI's zoo (``mbt2018-mean``), which takes ``quality``, or of a
            class in ``compressai.models`` (``MeanScaleHyperprior``), which takes its sizes.
        quality: Quality level of the zoo's model; it decides N and M.
        pretrained: Download CompressAI's weights for that level.
        checkpoint: Weights to load instead; see :func:`vcm_mt.checkpoint.read_state_dict`.
        **kwargs: Further arguments of the model, such as ``N`` and ``M``.

    Raises:
        ConfigError: For an unknown name, a level that the zoo lacks, weights of another
            architecture, or weights that cannot be had.
    """
    if arch in image_models:
        if pretrained and checkpoint:
            raise ConfigError("give a codec either pretrained=True or a checkpoint, not both")
        codec = _from_zoo(arch, quality, pretrained, kwargs)
    else:
        cls = getattr(compressai.models, arch, None)
        if cls is None or pretrained:
            raise ConfigError(
                f"{arch!r} is not in CompressAI's zoo; it has {', '.join(sorted(image_models))}"
            )
        codec = cls(**kwargs)
    if isinstance(codec, ScaleHyperpriorVbr):
        raise ConfigError(
            f"{arch} has a variable rate of a kind that our bitstreams do not hold: take the same "
            "codec without -vbr, and give the system `gains`"
        )
    if checkpoint:
        load_strictly(codec, _in_present_names(read_state_dict(checkpoint)), checkpoint)
    behind = _behind_convolutions(codec)
    for module in codec.modules():
        if type(module) is GDN:
            module.__class__ = FastGDN
            module.own_input = module in behind
        elif type(module) is nn.Conv2d and module.kernel_size == (1, 1) != module.stride:
            module.__class__ = _SparsePointwise
        elif type(module) is nn.Conv2d:
            module.__class__ = FastConv
        elif fits_subpixel(module):
            module.__class__ = SubpixelDeconv
        elif type(module) is nn.ConvTranspose2d:
            module.__class__ = FastDeconv
    return codec


class FastConv(nn.Conv2d):
    """A convolution that takes :mod:`vcm_mt.models.fast.winograd` when coding, where that fits."""

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, D, H / stride, W / stride]."""
        return products_of(self)(x) if is_fast(x, self) else super().forward(x)


class _SparsePointwise(nn.Conv2d):
    """A 1x1 convolution with a stride, as one without on the places that it looks at.

    For a strided one with few input channels, channels last, oneDNN's gradient of the weights
    writes beyond its memory (oneDNN issue 6035): wrong weights, or a crash.
    """

    def forward(self, x: Tensor) -> Tensor:
        down, right = cast("tuple[int, int]", self.stride)
        return F.conv2d(x[..., ::down, ::right], self.weight, self.bias)


def _in_present_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of this CompressAI; its published files have those of older ones."""
    renamed: dict[str, Tensor] = remap_old_keys("entropy_bottleneck", load_state_dict(state))
    return renamed


def _behind_convolutions(codec: nn.Module) -> set[nn.Module]:
    """Layers whose input is a convolution's output and goes nowhere else."""
    return {
        after
        for parts in codec.modules()
        if isinstance(parts, nn.Sequential)
        for before, after in pairwise(parts)
        if isinstance(before, nn.Conv2d | nn.ConvTranspose2d)
    }


def _from_zoo(
    name: str, quality: int | None, pretrained: bool, kwargs: dict[str, Any]
) -> CompressionModel:
    try:
        return image_models[name](quality=quality, pretrained=pretrained, **kwargs)
    except (ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(f"codec {name}, quality {quality}: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"the weights of {name}, quality {quality}, could not be downloaded ({error}). "
            "Fetch them on a machine with network access into the folder "
            "$TORCH_HOME/hub/checkpoints, or set pretrained=False and a checkpoint"
        ) from error
