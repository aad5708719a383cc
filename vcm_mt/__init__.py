"""Multi-task decoder fine-tuning for coding pictures for machines, on OpenMMLab."""

from vcm_mt.backend import find_numba_a_folder, keep_backend_or_agg
from vcm_mt.compat import check_versions
from vcm_mt.version import __version__

check_versions()
find_numba_a_folder()
keep_backend_or_agg()

__all__ = ["__version__"]
