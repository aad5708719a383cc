"""matplotlib under any MPLBACKEND: pictures are drawn into files, which needs no window."""

from __future__ import annotations

import os
import sys


def keep_backend_or_agg() -> None:
    """Import matplotlib with the backend that MPLBACKEND names, or with agg if it has no such one.

    A notebook leaves MPLBACKEND to every program that it starts. Another environment's matplotlib
    may lack that backend, and then refuses to be imported, by mmdet too. Without the variable, and
    where matplotlib is there already, nothing is done.
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
