"""Standard codecs to measure against, each behind the same two calls: encode and decode."""

from vcm_mt.evaluation.anchors.base import Anchor, AnchorRecord
from vcm_mt.evaluation.anchors.cache import CachedAnchor, CodedPicture, code_pictures
from vcm_mt.evaluation.anchors.vvc import VVC

__all__ = ["VVC", "Anchor", "AnchorRecord", "CachedAnchor", "CodedPicture", "code_pictures"]
