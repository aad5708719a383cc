"""Pictures scaled down before ``g_a``, and back after ``g_s``.

A network that scales its input down itself loses little by it, and a small codec has fewer samples
to code. The receiver resamples as well, so that pictures keep their size everywhere else.
"""

from __future__ import annotations

from compressai.models.base import CompressionModel
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from vcm_mt.errors import ConfigError

#: Attribute of ``g_a`` and ``g_s``: native pixels per pixel that is coded, each way.
_RATIO = "downscale"


def set_ratio(codec: CompressionModel, downscale: float) -> None:
    """Let a codec's transforms work on pictures that are smaller by ``downscale``, each way.

    Raises:
        ConfigError: If it is below 1, or its product with the codec's downsampling factor is not
            a whole number.
    """
    divisor = codec.downsampling_factor * downscale
    if downscale < 1 or divisor != int(divisor):
        raise ConfigError(
            f"downscale must be 1 or more, and {codec.downsampling_factor} times it a whole "
            f"number, such as 1.5; not {downscale}"
        )
    for part in (codec, codec.g_a, codec.g_s):
        setattr(part, _RATIO, downscale)


def scaled_down(x: Tensor, g_a: nn.Module) -> Tensor:
    """Pictures [B, 3, H, W], padded, as ``g_a`` takes them."""
    return _resampled(x, 1 / getattr(g_a, _RATIO, 1))


def scaled_up(x: Tensor, g_s: nn.Module) -> Tensor:
    """Pictures as ``g_s`` makes them in native size, [B, 3, H, W]."""
    return _resampled(x, getattr(g_s, _RATIO, 1))


def spread(bits: Tensor, g_a: nn.Module) -> Tensor:
    """Bits by latent position, [B, h, w], on positions of the native size; their sum stays."""
    factor = getattr(g_a, _RATIO, 1)
    if factor == 1:
        return bits
    size = [round(factor * side) for side in bits.shape[-2:]]
    there = F.interpolate(bits[:, None], size=size, mode="nearest-exact")[:, 0]
    return there * (bits.sum((1, 2)) / there.sum((1, 2)).clamp_min(1e-9))[:, None, None]


def _resampled(x: Tensor, factor: float) -> Tensor:
    if factor == 1:
        return x
    size = [round(factor * side) for side in x.shape[-2:]]
    # Bicubic, and below 1 a low-pass filter with it, as Pillow's.
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False, antialias=True)
