"""The embedded set: a small COCO-format dataset that is made on the spot.

Photographs that ship inside scikit-image and scikit-learn are the backgrounds;
scikit-learn's handwritten digits and drawn shapes are the things to find.
"""

from vcm_mt.datasets.mini.objects import CLASSES
from vcm_mt.datasets.mini.writer import SPLIT_SIZES, prepare

__all__ = ["CLASSES", "SPLIT_SIZES", "prepare"]
