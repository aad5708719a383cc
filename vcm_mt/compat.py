"""The version gate: what is installed is checked once, at import.

Otherwise a mismatch shows much later, as the error of a library that the user never called.
Distributions are looked up by their metadata, so the gate costs milliseconds and imports nothing
heavy. The modules of OpenMMLab come in two sets of distributions, ``onedl-*`` and the originals;
either passes, both at once don't: they overwrite each other's files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module, metadata
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from packaging.specifiers import SpecifierSet
from packaging.version import Version

from vcm_mt.errors import ConfigError

# Per module the distributions that may provide it, the one to install by default first. The ranges
# are those of setup.cfg, which says where they come from.
RANGES: Mapping[str, Mapping[str, str]] = {
    "torch": {"torch": ">=2.4,<2.12"},
    "torchvision": {"torchvision": ">=0.19,<0.27"},
    "numpy": {"numpy": ">=1.26,<2"},
    "compressai": {"compressai": ">=1.2.8,<1.3"},
    "mmengine": {"onedl-mmengine": ">=0.10.10,<0.11", "mmengine": ">=0.10.4,<0.11"},
    "mmcv": {"onedl-mmcv": ">=2.3.4,<2.4", "mmcv": ">=2.1,<2.2", "mmcv-lite": ">=2.1,<2.2"},
    "mmdet": {"onedl-mmdetection": ">=3.5,<3.6", "mmdet": ">=3.3,<3.4"},
}
OPENMMLAB = ("mmengine", "mmcv", "mmdet")
MMENGINE_TORCH = "<2.6"  # the original can't load its own checkpoints under later ones
MMDET_MMCV = "<2.2"  # asserted in the original's __init__
TORCHVISION_AHEAD = 15  # minor versions: torchvision 0.19 belongs to torch 2.4, 0.23 to 2.8


class IncompatibleError(ImportError):
    """The installed packages don't fit; the message ends with the commands that mend it."""


class Installed(NamedTuple):
    """A distribution that was found."""

    name: str
    version: str


class Problem(NamedTuple):
    """Why something can't work, and the modules to install anew."""

    reason: str
    modules: tuple[str, ...]


def check_versions() -> None:
    """Check everything that ``RANGES`` names.

    Raises:
        IncompatibleError: something is missing, out of range, there twice or made for another.
    """
    found = {module: find_installed(module) for module in RANGES}
    problems = [problem for module in RANGES for problem in _problems_of(module, found[module])]
    if not problems:
        problems = list(_problems_between({module: found[module][0] for module in RANGES}))
    if problems:
        reasons = "".join(f"\n  - {problem.reason}" for problem in problems)
        commands = fix_commands({module for one in problems for module in one.modules}, found)
        raise IncompatibleError(
            f"vcm_mt can't work with the packages installed here:{reasons}\n"
            "These commands mend it:" + "".join(f"\n    {command}" for command in commands)
        )


def find_numba_a_folder() -> None:
    """Have numba keep what it compiles in the temporary folder where there is no other.

    It keeps it beside the sources or in the user's cache, and refuses to compile where neither can
    be written, as for a container's user without a home.
    """
    cache = Path(os.path.expanduser("~"), ".cache")
    there = next(place for place in (cache, *cache.parents) if place.is_dir())
    if not any(os.access(place, os.W_OK) for place in (Path(__file__).parent, there)):
        os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(tempfile.gettempdir(), "vcm_mt_numba")))


def check_ops(device: str) -> None:
    """Run one of mmcv's compiled ops on the device that will be used.

    Args:
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``.

    Raises:
        ConfigError: When mmcv was built without that device, or for other GPUs.
    """
    import torch
    from mmcv.ops import nms

    try:
        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 10, 10], [20, 20, 30, 30]], device=device)
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7], device=device), 0.5)[1].tolist()
    except (RuntimeError, NotImplementedError) as error:
        reason = str(error).strip().splitlines()[0]
        if "not found" in reason or "not compiled" in reason.lower():
            reason = f"it was built without {device.split(':')[0].upper()}"
        raise ConfigError(
            f"mmcv's ops do not run on {device} ({reason}): build mmcv for it, which `make setup` "
            "does where it finds nvcc, or hide the GPU with CUDA_VISIBLE_DEVICES=-1"
        ) from error
    if kept != [0, 2]:
        raise ConfigError(f"mmcv's nms kept boxes {kept} instead of [0, 2] on {device}: rebuild it")


def find_installed(module: str) -> list[Installed]:
    """Every distribution that provides the module."""
    found = []
    for name in RANGES[module]:
        try:
            found.append(Installed(name, metadata.version(name)))
        except metadata.PackageNotFoundError:
            continue
    if not found and find_spec(module):  # no distribution, but a folder on the path
        found.append(Installed(module, import_module(module).__version__))
    return found


def fix_commands(modules: Iterable[str], found: Mapping[str, list[Installed]]) -> Iterator[str]:
    """The commands, in order, that install the named modules as they should be."""
    wrong = set(modules)
    if "torch" in wrong and found["mmcv"]:
        wrong.add("mmcv")  # its compiled part belongs to one torch
    originals = _keeps_originals(found)
    if wrong & set(OPENMMLAB) and not originals:
        # A distribution of the one set requires others of its set: replace them all.
        wrong |= {module for module in OPENMMLAB if _has_original(module, found)}
    replaced = [one.name for module in OPENMMLAB if module in wrong for one in found[module]]
    if replaced:
        yield f"pip uninstall -y {' '.join(replaced)}"
    plain = [module for module in RANGES if module in wrong and module not in OPENMMLAB]
    if "torchvision" in plain and "torch" not in plain:
        yield f"pip install --force-reinstall {_torch_pair(found['torch'][0].version)}"
        plain.remove("torchvision")
    if plain:
        yield f"pip install {' '.join(map(_requirement, plain))}"
    openmmlab = [_requirement(module, originals) for module in OPENMMLAB if module in wrong]
    if openmmlab:
        # mmcv is built here, against the torch that is installed; numpy would be upgraded else.
        yield 'pip install "setuptools>=80,<81" packaging ninja'
        openmmlab.insert(0, _requirement("numpy"))
        yield f"pip install --no-build-isolation --no-cache-dir {' '.join(openmmlab)}"


def _problems_of(module: str, found: list[Installed]) -> Iterator[Problem]:
    """What is wrong with one module by itself."""
    if not found:
        yield Problem(f"{module} is missing", (module,))
    elif len(found) > 1:
        names = " and ".join(one.name for one in found)
        yield Problem(f"{names} both install {module}: each overwrites the other", (module,))
    elif not _within(found[0].version, wanted := RANGES[module][found[0].name]):
        yield Problem(f"{found[0].name} is {found[0].version}, wanted is {wanted}", (module,))
    elif module == "mmcv" and not _has_compiled_ops():
        yield Problem(f"{found[0].name} was installed without its compiled ops", (module,))


def _problems_between(found: Mapping[str, Installed]) -> Iterator[Problem]:
    """What is wrong with modules that are fine one by one."""
    torch, torchvision = found["torch"].version, found["torchvision"].version
    mmengine, mmcv, mmdet = (found[module] for module in OPENMMLAB)
    if not _torchvision_fits(torch, torchvision):
        trap = "operator torchvision::nms does not exist"
        reason = f'torchvision {torchvision} was not built for torch {torch} ("{trap}")'
        yield Problem(reason, ("torchvision",))
    if mmengine.name == "mmengine" and not _within(torch, MMENGINE_TORCH):
        reason = f"mmengine {mmengine.version} can't load checkpoints under torch {torch}"
        yield Problem(f"{reason}, only {MMENGINE_TORCH}", OPENMMLAB)
    if mmdet.name == "mmdet" and not _within(mmcv.version, MMDET_MMCV):
        reason = f"mmdet {mmdet.version} refuses {mmcv.name} {mmcv.version}, only {MMDET_MMCV}"
        yield Problem(reason, ("mmdet",))


def _within(version: str, specifier: str) -> bool:
    """Compare the release alone: 2.11.0a0+nv counts as 2.11.0."""
    return SpecifierSet(specifier).contains(Version(version).base_version)


def _torchvision_fits(torch: str, torchvision: str) -> bool:
    """Whether the two are of one family, in release and in build (+cpu, +cu128, none)."""
    if Version(torch).minor + TORCHVISION_AHEAD != Version(torchvision).minor:
        return False
    if Version(torch).local == Version(torchvision).local:
        return True
    try:  # differing builds may or may not work; only here is the heavy import needed to know
        import_module("torchvision")
    except (ImportError, RuntimeError):
        return False
    return True


def _has_compiled_ops() -> bool:
    """Whether mmcv's extension module is there, without importing mmcv, and with it torch."""
    spec = find_spec("mmcv")
    places = (spec.submodule_search_locations if spec else None) or []
    names = [f"_ext{suffix}" for suffix in EXTENSION_SUFFIXES]
    return any(Path(place, name).is_file() for place in places for name in names)


def _keeps_originals(found: Mapping[str, list[Installed]]) -> bool:
    """Whether to stay with the original distributions: they alone are there, and torch suits."""
    names = {one.name for module in OPENMMLAB for one in found[module]}
    return (
        bool(names)
        and names.isdisjoint(next(iter(RANGES[module])) for module in OPENMMLAB)
        and bool(found["torch"])
        and _within(found["torch"][0].version, MMENGINE_TORCH)
    )


def _has_original(module: str, found: Mapping[str, list[Installed]]) -> bool:
    """Whether a distribution other than the default one provides the module."""
    return any(one.name != next(iter(RANGES[module])) for one in found[module])


def _requirement(module: str, original: bool = False) -> str:
    """What to hand to pip for the module; the original bears the module's own name."""
    name = module if original else next(iter(RANGES[module]))
    return f'"{name}{RANGES[module][name]}"'


def _torch_pair(torch: str) -> str:
    """The release of torch that is there, and its torchvision, both from one source."""
    minor = Version(torch).minor
    return f'"torch==2.{minor}.*" "torchvision==0.{minor + TORCHVISION_AHEAD}.*"'
