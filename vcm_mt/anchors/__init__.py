"""Codecs to compare with, behind one interface: encode, decode, header_bytes."""

from typing import TYPE_CHECKING, Any

from vcm_mt.anchors.av1 import AV1
from vcm_mt.anchors.base import Anchor, AnchorRecord
from vcm_mt.anchors.cache import CachedAnchor, CodedPicture, code_pictures
from vcm_mt.anchors.hevc import HEVC
from vcm_mt.anchors.names import ANCHORS, make_anchor, make_sweep
from vcm_mt.anchors.pillow import AVIF, JPEG, WebP
from vcm_mt.anchors.scaled import ScaledAnchor
from vcm_mt.anchors.sequences import SequenceAnchor, make_sequence_anchor
from vcm_mt.anchors.vtm import VTM
from vcm_mt.anchors.vvc import VVC

if TYPE_CHECKING:
    from vcm_mt.anchors.learned import CompressAIModel

__all__ = [
    "ANCHORS",
    "AV1",
    "AVIF",
    "HEVC",
    "JPEG",
    "VTM",
    "VVC",
    "Anchor",
    "AnchorRecord",
    "CachedAnchor",
    "CodedPicture",
    "CompressAIModel",
    "ScaledAnchor",
    "SequenceAnchor",
    "WebP",
    "code_pictures",
    "make_anchor",
    "make_sequence_anchor",
    "make_sweep",
]


def __getattr__(name: str) -> Any:
    # CompressAI takes seconds to import, and only its own anchor needs it.
    if name == "CompressAIModel":
        from vcm_mt.anchors.learned import CompressAIModel

        return CompressAIModel
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
