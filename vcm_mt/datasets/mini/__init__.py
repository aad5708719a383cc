"""The embedded set: a small generated data set in COCO format.

Backgrounds are photographs that ship with scikit-image and scikit-learn; objects are the
handwritten digits of scikit-learn and drawn shapes.
"""

from vcm_mt.datasets.mini.objects import CLASSES
from vcm_mt.datasets.mini.writer import SPLIT_SIZES, prepare

__all__ = ["CLASSES", "SPLIT_SIZES", "prepare"]
