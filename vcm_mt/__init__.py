"""Multi-task decoder fine-tuning for coding pictures for machines, on OpenMMLab."""

import sys

from vcm_mt.backend import find_numba_a_folder, keep_backend_or_agg
from vcm_mt.compat import check_versions
from vcm_mt.moved import Finder
from vcm_mt.version import __version__

check_versions()
find_numba_a_folder()
keep_backend_or_agg()
sys.meta_path.insert(0, Finder())

__all__ = ["__version__"]
