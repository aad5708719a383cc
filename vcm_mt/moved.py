"""Import paths of version 0.1, which are kept for one version with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

#: Former room, then the rooms that its modules are in now; ``old>new`` where the name changed too.
_ROOMS = {
    "apis": {
        "": "device",
        "apis": "machine>detector",
        "cli": "command options",
        "training": "config training>run runner finetune weights survey dry_run dry_run_report "
        "endings processes work_dir",
    },
    "evaluation": {
        "": "anchors metrics",
        "curves": "bd_rate bootstrap compare matches monotone points rp rp_file seeds table",
        "datasets": "truth",
        "evaluation": "curves>curve_set senders>codecs",
        "report": "plot report report_page>page results",
    },
    "models": {"models": "report>score", "models.fast": "deconv gdn winograd"},
    "models.tasks": {
        "models.fast": "roi_align",
        "models.tasks": "draws>seeded_sampling originals>feature_cache running>fast_detector",
    },
}


def _moved() -> dict[str, str]:
    moved = {}
    for former, rooms in _ROOMS.items():
        for room, modules in rooms.items():
            for old, _, new in (name.partition(">") for name in modules.split()):
                place = ".".join(filter(None, ("vcm_mt", room, new or old)))
                moved[f"vcm_mt.{former}.{old}"] = place
    return moved


MOVED = _moved()


class Finder(MetaPathFinder, Loader):
    """Imports a moved module, or one below it, from where it is now.

    It stands before other finders: they would load what is below a moved package a second time.
    """

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A spec for a former name; ``None`` for every other one."""
        return ModuleSpec(fullname, self) if _present(fullname) else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module itself, with a warning."""
        name = _present(spec.name)
        warnings.warn(f"{spec.name} is now {name}", FutureWarning, stacklevel=2)
        module = import_module(name)
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give the module its own spec back."""
        assert module.__spec__ is not None
        module.__spec__ = module.__spec__.loader_state


def _present(name: str) -> str:
    """Where a former name is now; empty if it is none."""
    if not name.startswith("vcm_mt."):
        return ""
    for former, present in MOVED.items():
        if name == former or name.startswith(former + "."):
            return present + name.removeprefix(former)
    return ""
