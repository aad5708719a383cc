"""Anchors by name, as commands and configs spell them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from vcm_mt.anchors.av1 import AV1
from vcm_mt.anchors.base import Anchor, check_quality
from vcm_mt.anchors.hevc import HEVC
from vcm_mt.anchors.pillow import AVIF, JPEG, WebP
from vcm_mt.anchors.scaled import ScaledAnchor
from vcm_mt.anchors.sequences import MODES, SequenceAnchor, make_sequence_anchor
from vcm_mt.anchors.vtm import VTM
from vcm_mt.anchors.vvc import VVC
from vcm_mt.errors import MeasurementError


def _compressai(argument: str) -> Anchor:
    from vcm_mt.anchors.learned import CompressAIModel  # takes seconds to import

    arch, _, files = argument.partition("=")
    own = dict(enumerate(map(Path, files.split(",")), start=1)) if files else None
    return CompressAIModel(arch, checkpoints=own)


#: Precedes the scale in an anchor's name.
SCALE = "@scale="
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
    "compressai:ARCHITECTURE=WEIGHTS[,WEIGHTS...]": _compressai,
}


def make_anchor(spec: str) -> Anchor:
    """Make an anchor by name: 'vvc', 'vvc:slow', 'vvc@scale=0.5', 'compressai:mbt2018-mean'.

    Own weights of CompressAI's models are levels 1, 2, ... in the order of their files.

    Raises:
        MeasurementError: An unknown name, preset or architecture, or no such scale.
        AnchorError: The codec is not there.
    """
    plain, scaled, scale = spec.partition(SCALE)
    if scaled:
        try:
            factor = float(scale)
        except ValueError:
            raise MeasurementError(f"write {plain}{SCALE}0.5, not {spec!r}") from None
        return ScaledAnchor(make_anchor(plain), factor)
    name, colon, argument = spec.partition(":")
    for known, make in ANCHORS.items():
        if known.partition(":")[:2] == (name, colon):
            return make(argument) if colon else make()
    raise MeasurementError(f"unknown anchor {spec!r}; known are {', '.join(ANCHORS)}")


def make_sweep(entry: str) -> tuple[str, Anchor | SequenceAnchor, tuple[int, ...]]:
    """An anchor and its qualities: 'vvc:slow@22,27,32', or 'vvc:slow' for its own sweep.

    A scale comes first: 'vvc@scale=0.5@22,27,32'. An anchor of sequences has its mode in its name:
    'vvc-ra@22,27,32', see :func:`vcm_mt.anchors.sequences.make_sequence_anchor`.

    Returns:
        The name before the @ without files, with the scale behind a dash; the anchor, the
        qualities.

    Raises:
        MeasurementError: As `make_anchor`, or the qualities are no numbers, or not the codec's.
    """
    name, _, sweep = entry.rpartition("@") if "@" in entry else (entry, "", "")
    if f"@{sweep}".startswith(SCALE):
        name, sweep = entry, ""
    of_sequences = name.partition(":")[0].rpartition("-")[2] in MODES
    anchor = make_sequence_anchor(name) if of_sequences else make_anchor(name)
    try:
        qualities = tuple(int(quality) for quality in sweep.split(",")) if sweep else ()
    except ValueError:
        raise MeasurementError(f"write {name}@22,27,32, not {entry!r}") from None
    for quality in qualities:
        check_quality(name, "quality", anchor.quality_range, quality)
    plain, scaled, scale = name.partition(SCALE)
    title = plain.partition("=")[0] + (f"-{float(scale):g}" if scaled else "")
    return title, anchor, qualities or anchor.qualities
