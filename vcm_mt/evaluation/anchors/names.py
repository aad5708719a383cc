"""Anchors by name, as commands and configs spell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from vcm_mt.errors import MeasurementError
from vcm_mt.evaluation.anchors.av1 import AV1
from vcm_mt.evaluation.anchors.base import Anchor
from vcm_mt.evaluation.anchors.hevc import HEVC
from vcm_mt.evaluation.anchors.pillow import AVIF, JPEG, WebP
from vcm_mt.evaluation.anchors.vtm import VTM
from vcm_mt.evaluation.anchors.vvc import VVC


def _compressai(arch: str) -> Anchor:
    from vcm_mt.evaluation.anchors.learned import CompressAIModel  # takes seconds to import

    return CompressAIModel(arch)


#: What makes an anchor, by its name; capitals stand for what is to be filled in.
ANCHORS: Mapping[str, Callable[..., Anchor]] = {
    "vvc": VVC,
    "vvc:PRESET": VVC,
    "hevc": HEVC,
    "hevc:PRESET": HEVC,
    "av1": AV1,
    "jpeg": JPEG,
    "webp": WebP,
    "avif": AVIF,
    "vtm": VTM,
    "compressai:ARCHITECTURE": _compressai,
}


def make_anchor(spec: str) -> Anchor:
    """Make an anchor by name: 'vvc', 'vvc:slow', 'compressai:bmshj2018-hyperprior'.

    Raises:
        MeasurementError: An unknown name, preset or architecture.
        AnchorError: The codec is not there.
    """
    name, colon, argument = spec.partition(":")
    for known, make in ANCHORS.items():
        if known.partition(":")[:2] == (name, colon):
            return make(argument) if colon else make()
    raise MeasurementError(f"unknown anchor {spec!r}; known are {', '.join(ANCHORS)}")


def make_sweep(entry: str) -> tuple[str, Anchor, tuple[int, ...]]:
    """An anchor and its qualities: 'vvc:slow@22,27,32', or 'vvc:slow' for its own sweep.

    Returns:
        The name before the @, the anchor, the qualities.

    Raises:
        MeasurementError: As `make_anchor`, or the qualities are no numbers.
    """
    name, _, sweep = entry.partition("@")
    anchor = make_anchor(name)
    try:
        qualities = tuple(int(quality) for quality in sweep.split(",")) if sweep else ()
    except ValueError:
        raise MeasurementError(f"write {name}@22,27,32, not {entry!r}") from None
    return name, anchor, qualities or anchor.qualities
