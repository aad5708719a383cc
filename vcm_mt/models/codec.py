"""CompNet: a whole codec of CompressAI by name, before transmitter and receivers share it out."""

from __future__ import annotations

from typing import Any

import compressai.models
from compressai.models.base import CompressionModel
from compressai.models.utils import remap_old_keys
from compressai.models.vbr import ScaleHyperpriorVbr
from compressai.zoo import image_models, load_state_dict
from torch import Tensor

from vcm_mt.checkpoint import load_strictly, read_state_dict
from vcm_mt.errors import ConfigError
from vcm_mt.models.fast.swap import avoid_strided_pointwise, use_fast_layers
from vcm_mt.models.resampling import set_ratio


def build_codec(
    arch: str,
    *,
    quality: int | None = None,
    pretrained: bool = False,
    checkpoint: str | None = None,
    fast: bool = True,
    downscale: float = 1,
    **kwargs: Any,
) -> CompressionModel:
    """Build a codec.

    Args:
        arch: A name of CompressAI's zoo (``mbt2018-mean``), which takes ``quality``, or of a
            class in ``compressai.models`` (``MeanScaleHyperprior``), which takes ``N`` and ``M``.
        quality: Quality of the zoo's model; it decides N and M.
        pretrained: Download CompressAI's weights for that quality.
        checkpoint: Weights to load instead; see :func:`vcm_mt.checkpoint.read_state_dict`.
        fast: Exchange GDN and convolutions for their faster twins in :mod:`vcm_mt.models.fast`;
            ``False`` leaves CompressAI's own layers. Parameters are the same either way.
        downscale: Native pixels per pixel that is coded, each way: 1.5 codes pictures at two thirds
            of their size; see :mod:`vcm_mt.models.resampling`.
        **kwargs: Further arguments of the model, such as ``N`` and ``M``.

    Raises:
        ConfigError: For an unknown name, a quality that the zoo lacks, weights of another
            architecture, weights that cannot be downloaded, or no such ``downscale``.
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
    set_ratio(codec, downscale)
    avoid_strided_pointwise(codec)
    if fast:
        use_fast_layers(codec)
    return codec


def _in_present_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the names of this CompressAI; its published files have those of older ones."""
    renamed: dict[str, Tensor] = remap_old_keys("entropy_bottleneck", load_state_dict(state))
    return renamed


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
