"""Variables of the environment that matplotlib and numba would otherwise stop at."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path


def keep_backend_or_agg() -> None:
    """Import matplotlib with the backend that MPLBACKEND names, or with agg if it has no such one.

    Pictures are drawn into files, which needs no window. A notebook leaves MPLBACKEND to every
    program that it starts. Another environment's matplotlib may lack that backend, and then refuses
    to be imported, by mmdet too. Without the variable, and where matplotlib is there already,
    nothing is done.
    """
    named = os.environ.get("MPLBACKEND")
    if not named or "matplotlib" in sys.modules:
        return
    os.environ["MPLBACKEND"] = "agg"
    from matplotlib import rcParams

    try:
        rcParams["backend"] = named
    except ValueError:  # processes that start from here get agg too
        return
    os.environ["MPLBACKEND"] = named


def find_numba_a_folder() -> None:
    """Have numba keep what it compiles in the temporary folder where there is no other.

    It keeps it beside the sources or in the user's cache, and refuses to compile where neither can
    be written, as for a container's user without a home.
    """
    cache = Path(os.path.expanduser("~"), ".cache")
    there = next(place for place in (cache, *cache.parents) if place.is_dir())
    if not any(os.access(place, os.W_OK) for place in (Path(__file__).parent, there)):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), "vcm_mt_numba")))
